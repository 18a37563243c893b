"""The plugins of this suite by type name. The Makefile and the frozen build read this list too."""

from __future__ import annotations

import importlib

# `typing` itself has to wait until it is known whether a plugin runs, or the tool, which needs more
# of it than the plugins' own has (packaging/slim)
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from cni.core.types import Request, Result

    class Plugin(Protocol):
        """A plugin is a module with these five functions."""

        def add(self, req: Request) -> Result: ...
        def check(self, req: Request) -> None: ...
        def delete(self, req: Request) -> None: ...
        def gc(self, req: Request) -> None: ...
        def status(self, req: Request) -> None: ...


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


def find(plugin_type: str) -> Plugin | None:
    """The plugin of that type, imported on first use; None for a foreign type."""
    name = PLUGINS.get(plugin_type)
    if name is None:
        return None
    module: Any = importlib.import_module(name)
    plugin: Plugin = module
    return plugin
