"""The resolver's file, as the `dns` of a result."""

from __future__ import annotations

from cni.core.errors import CniError, Code
from cni.core.types import DNS
from cni.store import files


def read(path: str) -> DNS:
    """What the file says; an empty path says nothing. Raises CniError 5 when it cannot be read."""
    if not path:
        return DNS()
    nameservers: list[str] = []
    domain = ""
    search: list[str] = []
    options: list[str] = []
    for line in _text(path).splitlines():
        keyword, *values = line.split() or [""]
        if not values or keyword.startswith(("#", ";")):
            continue
        if keyword == "nameserver":
            nameservers.append(values[0])
        elif keyword == "domain":
            domain = values[0]
        elif keyword == "search":
            search += values
        elif keyword == "options":
            options += values
    return DNS(tuple(nameservers), domain, tuple(search), tuple(options))


def _text(path: str) -> str:
    try:
        data = files.read(path)
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE, f'"ipam.resolvConf": cannot read {path}', str(error.strerror)
        ) from None
    if data is None:
        raise CniError(Code.IO_FAILURE, f'"ipam.resolvConf": no such file: {path}')
    return data.decode(errors="replace")
