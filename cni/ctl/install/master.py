"""The node's default network, which multus attaches every pod to: its file among the runtime's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import CniError, Code, describe, invalid
from cni.store import files
from meta.multus import confdir, network

if TYPE_CHECKING:
    from cni.core.types import Json
    from meta.multus.network import Network

_EXTENSIONS = (".conf", ".conflist", ".json")
_MULTUS = ("multus", "multus-shim")


class Master(NamedTuple):
    """`document` is the file's, with the plugins that libcni would add to a list."""

    file: str  #: its name in the directory
    document: Json
    network: Network


class Found(NamedTuple):
    """The networks of a directory, each in the order of the files' names."""

    masters: list[Master]
    multus: list[str]  #: files of multus, the original's or ours
    faults: dict[str, CniError]  #: files that cannot be used, and why


def look(directory: str) -> Found:
    """What a runtime would find there; raises OSError."""
    found = Found([], [], {})
    for name in files.names(directory):
        path = os.path.join(directory, name)
        if not name.endswith(_EXTENSIONS):
            continue
        if os.path.islink(path) and not os.path.exists(path):
            found.faults[name] = invalid("it leads to nothing that can be seen from here")
            continue
        if not os.path.isfile(path):
            continue
        try:
            document = confdir.by_value(path, directory)
            if _is_multus(document):
                found.multus.append(name)
                continue
            parsed = network.parse(document, "")
            # what many nodes have beside their network; alone it would make the node look ready
            if any(each["type"] != "loopback" for each in parsed.plugins):
                found.masters.append(Master(name, document, parsed))
        except (CniError, OSError) as error:
            found.faults[name] = describe(error)
    return found


def choose(found: Found, wanted: str, recorded: str) -> Master:
    """The network or the file called `wanted`; else the first.

    `recorded` is the file that the conflist in place was made from: while that is there and cannot
    be read, it is being written. Raises CniError 7 or 11 when there is none now.
    """
    faults = "; ".join(f"{name}: {fault}" for name, fault in found.faults.items())
    if wanted:
        for each in found.masters:
            if wanted in (each.file, each.network.name):
                return each
        raise invalid(f'no network or file is called "{wanted}"', faults)
    first = found.masters[0] if found.masters else None
    if recorded in found.faults and (first is None or first.file > recorded):
        fault = found.faults[recorded]
        raise CniError(Code.TRY_AGAIN_LATER, f"{recorded} cannot be used now", str(fault))
    if first is None:
        raise CniError(Code.TRY_AGAIN_LATER, "no default network yet", faults)
    return first


def _is_multus(document: Json) -> bool:
    plugins = document.get("plugins")
    return any(
        isinstance(each, dict) and each.get("type") in _MULTUS
        for each in (document, *(plugins if isinstance(plugins, list) else ()))
    )
