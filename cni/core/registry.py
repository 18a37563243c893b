"""The plugins of this suite by type name. The Makefile and the frozen build read this list too."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from cni.core.types import Request, Result

#: type name -> module; literal, so that a typo fails a test and the freezer sees every name
PLUGINS = {
    "bridge": "cni.bridge",
    "host-device": "cni.host_device",
    "host-local": "ipam.host_local",
    "loopback": "cni.loopback",
    "multus": "meta.multus",
    "passthru": "cni.passthru",
    "sriov": "cni.sriov",
    "static": "ipam.static",
    "whereabouts": "ipam.whereabouts",
}


#: those of them that give addresses, and may stand in an `ipam` section
IPAM = frozenset({"host-local", "static", "whereabouts"})


class Plugin(Protocol):
    """A plugin is a module with these five functions."""

    def add(self, req: Request) -> Result: ...
    def check(self, req: Request) -> None: ...
    def delete(self, req: Request) -> None: ...
    def gc(self, req: Request) -> None: ...
    def status(self, req: Request) -> None: ...


def find(plugin_type: str) -> Plugin | None:
    """The plugin of that type, imported on first use; None for a foreign type."""
    module = PLUGINS.get(plugin_type)
    return cast("Plugin", importlib.import_module(module)) if module else None
