"""Identifiers: which container IDs, network names and interface names are acceptable."""

from __future__ import annotations

_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_IDENTIFIER = _ALNUM | frozenset("_.-")

IFNAME_MAX = 15  #: bytes; IFNAMSIZ less the terminator


def is_identifier(text: str) -> bool:
    """Container IDs and network names: spec section 2, `^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`."""
    return bool(text) and text[0] in _ALNUM and _IDENTIFIER.issuperset(text)


def ifname_fault(name: str) -> str:
    """What is wrong with an interface name as the kernel sees it; empty when nothing is."""
    if not name:
        return "interface name is empty"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:  # JSON could not tell it
        return "interface name is not UTF-8"
    if size > IFNAME_MAX:
        return f"interface name is longer than {IFNAME_MAX} bytes"
    if name in (".", ".."):
        return "interface name is . or .."
    if any(c in "/:\0" or c.isspace() for c in name):
        return "interface name contains / or : or whitespace characters"
    if "%" in name:  # the kernel would make "eth%d" the first free eth0, eth1, ...
        return "interface name contains %"
    return ""


def is_plugin_type(text: str) -> bool:
    """A plugin type is a file name, not a path."""
    return bool(text) and "/" not in text and "\0" not in text and text not in (".", "..")
