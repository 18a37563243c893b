"""Imports what a call could need, so that no child of the agent has to."""

from __future__ import annotations

import ctypes
import importlib
import sys
from contextlib import suppress

from cni.core import registry
from cni.core.load import prepared

#: what our modules import only where it is needed
_LATER = (
    *(
        "copy",
        "encodings.idna",
        "fcntl",
        "hashlib",
        "ipaddress",
        "random",
        "sqlite3",
        "traceback",
        "yaml",
    ),
)
_LIBRARIES = ("libnftables.so.1",)


def preload() -> None:
    """Import all modules of the frozen plugins, those first that a cold call has first; make the
    validators of all configurations; load the libraries of the system that they use.
    """
    for name in (*registry.PLUGINS.values(), *_ours(), *_LATER):
        importlib.import_module(name)
    from cni.core.schemas import SCHEMAS

    for model in SCHEMAS:
        prepared(model)
    for library in _LIBRARIES:
        with suppress(OSError):
            ctypes.CDLL(library)


def _ours() -> list[str]:
    """The plugins' modules, which packaging/boot.py finds; a tool's are none of them."""
    names: set[str] = set()
    for finder in sys.meta_path:
        names.update(getattr(finder, "names", ()))
    packages = ("cni.", "ipam.", "meta.")
    return sorted(each for each in names if each.startswith(packages) and each != "cni.__main__")
