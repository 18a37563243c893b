"""libcni's cache, `<cniDir>/results/<network>-<container>-<ifname>`: what each delegate answered.

The format is libcni's ("cniCacheV1"), so that the original finds the previous result of a pod that
Plait attached. When the container's own record is lost, this is what names its attachments.
"""

from __future__ import annotations

import binascii
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import log, names, versions
from cni.core.errors import CniError, Code, invalid
from cni.store import files
from meta.multus import disk, network
from meta.multus.delegates import Delegate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni.core.types import Json, Result
    from meta.multus.network import Network

DIRECTORY = "results"  #: in `cniDir`, beside the records

_KIND = "cniCacheV1"


class Cached(NamedTuple):
    """A delegate that was added; the last three are known only of our own entries."""

    container_id: str
    delegate: Delegate
    netns: str = ""
    parent: str = ""  #: the CNI_IFNAME of the multus that added it
    position: int | None = None
    owner: str = ""  #: the network name of that multus


def directory(cni_dir: str) -> str:
    return os.path.join(cni_dir, DIRECTORY)


def refuse_long_names(delegates: Iterable[Delegate], container_id: str) -> None:
    """Raises CniError 7 when an answer could not be written, which would be known only after ADD.

    The names of the container's record are shorter.
    """
    for each in delegates:
        name = _name(each.network.name, container_id, each.ifname)
        if disk.is_too_long(name):
            raise invalid(
                f'network "{each.network.name}": its name is too long for a file with container'
                f' "{container_id}" and interface "{each.ifname}" in its name',
                name,
            )


def write(cni_dir: str, attached: Cached, result: Result) -> None:
    """Remember the delegate's answer."""
    delegate = attached.delegate
    entry: Json = {
        "kind": _KIND,
        "containerId": attached.container_id,
        "config": encode(delegate.network.document),
        "ifName": delegate.ifname,
        "networkName": delegate.network.name,
        "netns": attached.netns,
        "cniArgs": [list(pair) for pair in (*delegate.args, *delegate.wishes)],
        "capabilityArgs": delegate.runtime_config,
        "result": tell(result, delegate.network.cni_version),
        # libcni ignores it
        "plait": {
            "network": attached.owner,
            "parent": attached.parent,
            "position": attached.position,
        },
    }
    entry = {key: value for key, value in entry.items() if value or key == "config"}
    path = _path(cni_dir, delegate.network.name, attached.container_id, delegate.ifname)
    files.write(path, json.dumps(entry, separators=(",", ":")).encode(), durable=False)


def result_of(cni_dir: str, delegate: Delegate, container_id: str) -> Result | None:
    """The cached answer; None when there is none that can be read."""
    path = _path(cni_dir, delegate.network.name, container_id, delegate.ifname)
    try:
        entry = disk.read_json(path)
        if not isinstance(entry, dict) or entry.get("result") is None:
            return None
        return versions.parse(entry["result"], f"cached result {path}")
    except (disk.DamagedError, CniError) as error:
        log.warning("a cached result cannot be used", file=path, reason=error)
        return None


def remove(cni_dir: str, delegate: Delegate, container_id: str) -> None:
    """Forget the answer; gone is fine."""
    files.remove(_path(cni_dir, delegate.network.name, container_id, delegate.ifname))


def entries(cni_dir: str, container_id: str = "") -> Iterator[Cached]:
    """The cached attachments, of one container or of all; what cannot be read is left out."""
    for name in files.names(directory(cni_dir)):
        if f"-{container_id}-" in name or not container_id:
            found = _read(cni_dir, name)
            if found and container_id in ("", found.container_id):
                yield found


def entries_of(cni_dir: str, container_id: str, delegates: Iterable[Delegate]) -> Iterator[Cached]:
    """The cached attachments of a container to these."""
    for each in delegates:
        name = _name(each.network.name, container_id, each.ifname)
        if os.path.lexists(os.path.join(directory(cni_dir), name)) and (
            found := _read(cni_dir, name)
        ):
            yield found


def _read(cni_dir: str, name: str) -> Cached | None:
    try:
        return _parse(disk.read_json(os.path.join(directory(cni_dir), name)), name)
    except (disk.DamagedError, CniError) as error:
        log.warning("a cached result cannot be used", file=name, reason=error)
        return None


def tell(result: Result, version: str) -> Json:
    """The result for a file or a delegate; in 0.1.0 and 0.2.0 one without addresses is empty."""
    try:
        return versions.render(result, version)
    except CniError as error:
        if error.code != Code.INCOMPATIBLE_VERSION:
            raise
        return {"cniVersion": version, "dns": {}}


def encode(document: Json) -> str:
    """Go's []byte in JSON."""
    text = json.dumps(document, separators=(",", ":")).encode()
    return binascii.b2a_base64(text, newline=False).decode()


def decode(value: object, name: str = "") -> Network:
    """The network of base64 text from a file, of version 0.1.0 and called `name`
    when it does not say.

    Raises CniError when it is none.
    """
    try:
        document = json.loads(binascii.a2b_base64(str(value), strict_mode=True).decode())
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
    except (ValueError, RecursionError) as error:
        raise CniError(Code.DECODE_FAILURE, "cannot decode the network", str(error)) from None
    return network.parse(document, "0.1.0", name)


def pairs(value: object) -> tuple[tuple[str, str], ...]:
    """CNI_ARGS from a file; what is no pair of printable strings is left out."""
    return tuple(
        (pair[0], pair[1])
        for pair in (value if isinstance(value, list) else ())
        if isinstance(pair, list) and len(pair) == 2 and all(_is_printable(x) for x in pair)
    )


def _parse(entry: Any, name: str) -> Cached:
    if not isinstance(entry, dict) or entry.get("kind") != _KIND:
        raise CniError(Code.DECODE_FAILURE, "not an entry of libcni's cache")
    container_id, ifname = entry.get("containerId"), entry.get("ifName")
    found = decode(entry.get("config"))
    # the content decides what is deleted: it has to be what the name says
    is_named = name == _name(found.name, str(container_id), str(ifname))
    if not is_named or entry.get("networkName") != found.name:
        raise CniError(Code.DECODE_FAILURE, "the content belongs to another name")
    _check(str(container_id), str(ifname))
    own = entry.get("plait")
    own = own if isinstance(own, dict) else {}
    wanted = entry.get("capabilityArgs")
    return Cached(
        container_id=str(container_id),
        delegate=Delegate(
            network=found,
            ifname=str(ifname),
            args=pairs(entry.get("cniArgs")),
            runtime_config=wanted if isinstance(wanted, dict) else {},
            requests={},
        ),
        netns=_text(entry.get("netns")),
        parent=_text(own.get("parent")),
        position=own["position"] if isinstance(own.get("position"), int) else None,
        owner=_text(own.get("network")),
    )


def _is_printable(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _path(cni_dir: str, name: str, container_id: str, ifname: str) -> str:
    _check(container_id, ifname)
    return os.path.join(directory(cni_dir), _name(name, container_id, ifname))


def _name(network_name: str, container_id: str, ifname: str) -> str:
    return f"{network_name}-{container_id}-{ifname}"


def _check(container_id: str, ifname: str) -> None:
    """Nothing that could leave the directory; network names are checked by `network.parse`."""
    fault = names.ifname_fault(ifname)
    if fault or not names.is_identifier(container_id):
        raise CniError(
            Code.DECODE_FAILURE, f"no record for container {container_id!r}, {ifname!r}", fault
        )
