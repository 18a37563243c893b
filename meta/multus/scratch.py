"""The container's record, `<cniDir>/<containerID>`: its delegates, written before the first runs.

The format is the original's, a JSON array whose elements name a network, its wishes and in `Bytes`
the configuration as it was used. What Plait adds is under a key that the original ignores. A second
attachment of one container (podman: another network of this type) has a file of its own,
`<containerID>@<ifname>`; `@` cannot be part of a container ID.

How far an ADD came is in the run directory, which a killed process leaves behind; a machine without
power does not, and then all delegates may have been started.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import log, names, syncing
from cni.core.errors import CniError, Code, invalid
from cni.store import files
from meta.multus import deleted, disk, lock, results
from meta.multus.delegates import Delegate, default_ifname

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from cni.core.types import Json

_SEPARATOR = "@"
_STARTED = ".started"

MASTER_IFNAME = "eth0"  #: what runtimes call it; the original's record does not say

#: what a selection asked for, in the spelling of the record
_TEXTS = ("ifnameRequest", "macRequest", "infinibandGUIDRequest", "deviceID", "resourceName")
_LISTS = ("ipRequest", "default-route")


class Home(NamedTuple):
    """Where records are: `cni_dir` survives a boot, `run_dir` does not."""

    cni_dir: str
    run_dir: str


class Record:
    """A container's delegates and which of them are still to be deleted."""

    def __init__(self, home: Home, name: str, delegates: Iterable[Delegate]) -> None:
        self.home = home
        self.name = name  #: of the file
        self.container_id = name.partition(_SEPARATOR)[0]
        self.delegates = list(delegates)
        self.pending: set[int] = set()
        self.network = ""  #: of the multus configuration that made it; empty when another did
        self.parent = ""  #: the CNI_IFNAME of that ADD
        self.netns = ""
        self.netns_id = ""  #: what `sandbox.identity` said of it at the ADD
        self.is_complete = True  #: every delegate was added
        self.is_damaged = False  #: something of it could not be read

    @property
    def path(self) -> str:
        return os.path.join(self.home.cni_dir, self.name)

    @property
    def _progress(self) -> str:
        stem = disk.short(self.name)
        return os.path.join(lock.directory(self.home.run_dir), f"{stem}{_STARTED}")

    def create(self) -> None:
        """Write it down; from here on a lost process is found again.

        It is durable when `syncing.wait` returns. A power cut before that leaves it, or an empty
        one, or none, of a container of which nothing else is left on this node.
        """
        deleted.unmark(self.home.run_dir, self.container_id, self.parent)
        files.write(self._progress, b"0", durable=False)
        files.write(self.path, self._encoded(), durable=False)
        syncing.begin(self.path, directory=self.home.cni_dir)

    def start(self, index: int) -> None:
        """Say that the delegate may exist from now on."""
        self.pending.add(index)
        files.overwrite(self._progress, b"%d" % (index + 1))

    def finish(self) -> None:
        """Say that all were added."""
        files.remove(self._progress)

    def settle(self) -> None:
        """Drop the record when nothing is left to delete, else keep exactly what is."""
        if self.pending:
            files.write(self.path, self._encoded(set(range(len(self.delegates))) - self.pending))
        else:
            files.remove(self.path)
            deleted.mark(self.home.run_dir, self.container_id, self.parent)
        files.remove(self._progress)

    def attached(self, index: int) -> results.Cached:
        return results.Cached(
            self.container_id,
            self.delegates[index],
            self.netns,
            self.parent,
            position=index,
            owner=self.network,
        )

    def limit_to_started(self) -> None:
        """Leave out what an interrupted ADD had not reached."""
        try:
            started = disk.read_json(self._progress)
        except disk.DamagedError as error:
            log.warning("progress unknown", file=self._progress, reason=error)
            return
        if isinstance(started, int):
            self.is_complete = False
            self.pending = {index for index in self.pending if index < started}

    def _encoded(self, gone: Collection[int] = ()) -> bytes:
        is_routed = any(each.default_route is not None for each in self.delegates)
        elements = [
            {
                **_element(each, is_routed=is_routed),
                "plait": self._own(each, is_deleted=index in gone),
            }
            for index, each in enumerate(self.delegates)
        ]
        data = json.dumps(elements, separators=(",", ":")).encode()
        if len(data) > disk.MAX_RECORD:
            raise invalid(
                f"the configurations of {len(elements)} networks are too large for a record",
                f"{len(data)} bytes, {disk.MAX_RECORD} at most",
            )
        return data

    def _own(self, delegate: Delegate, *, is_deleted: bool) -> Json:
        own: Json = {
            "network": self.network,
            "parent": self.parent,
            "netns": self.netns,
            "netnsId": self.netns_id,
            "ifname": delegate.ifname,
            "cniArgs": [list(pair) for pair in delegate.args],
            "runtimeConfig": delegate.runtime_config,
        }
        return {**own, "deleted": True} if is_deleted else own


def read(home: Home, name: str, ifname: str = "") -> Record | None:
    """The record in the file of that name; `ifname` is the master's when the file does not say.

    None when there is no file. A record that cannot be read is empty or partial, and damaged.
    """
    path = os.path.join(home.cni_dir, name)
    if os.path.isdir(path):  # that of the results, say
        return None
    record = Record(home, name, ())
    try:
        elements = disk.read_json(path)
        if elements is None and not os.path.exists(path):
            return None
        if not isinstance(elements, list) or not elements:
            raise disk.DamagedError("not a list of delegates")
    except disk.DamagedError as error:
        log.warning("a container's record is damaged", file=path, reason=error)
        record.is_damaged = True
        return record
    for index, element in enumerate(elements):
        try:
            _read_element(record, element, index, ifname)
        except CniError as error:
            log.warning("a container's record is damaged", file=path, index=index, reason=error)
            record.is_damaged = True
    if not record.is_damaged:
        record.limit_to_started()
    return record


def find(home: Home, container_id: str, ifname: str) -> Record | None:
    """The record of the attachment that the runtime knows by (container ID, ifname)."""
    record = read(home, f"{container_id}{_SEPARATOR}{ifname}", ifname)
    if record is None:
        record = read(home, container_id, ifname)
    if record is None or record.parent not in ("", ifname):
        return None
    record.parent = ifname
    return record


def new(home: Home, container_id: str, ifname: str, delegates: Iterable[Delegate]) -> Record:
    """A record for a new attachment, under the original's name when no other has it."""
    name = container_id
    if name == results.DIRECTORY or os.path.lexists(os.path.join(home.cni_dir, name)):
        name = f"{container_id}{_SEPARATOR}{ifname}"
    record = Record(home, name, delegates)
    record.parent = ifname
    return record


def of_container(home: Home, container_id: str) -> list[Record]:
    """The records of all its attachments, the damaged ones too."""
    found = []
    for name in files.names(home.cni_dir):
        owner, _, ifname = name.partition(_SEPARATOR)
        if owner == container_id and (record := read(home, name, ifname or MASTER_IFNAME)):
            found.append(record)
    return found


def every(home: Home) -> Iterator[Record]:
    """All readable records; a file of the directory that is none is left alone."""
    for name in files.names(home.cni_dir):
        container_id, _, ifname = name.partition(_SEPARATOR)
        if not names.is_identifier(container_id):
            continue
        record = read(home, name, ifname or MASTER_IFNAME)
        if record is not None and record.delegates:
            yield record


def forget_unwritten(home: Home) -> None:
    """Remove how far those ADDs came that were killed before their record was there."""
    directory = lock.directory(home.run_dir)
    started = {
        each.removesuffix(_STARTED) for each in files.names(directory) if each.endswith(_STARTED)
    }
    for stem in started - _stems(home):
        try:
            with lock.container(home.run_dir, stem.partition(_SEPARATOR)[0], timeout=0):
                if stem not in _stems(home):
                    files.remove(os.path.join(directory, f"{stem}{_STARTED}"))
        except CniError:
            pass  # an ADD is about to write the record


def _stems(home: Home) -> set[str]:
    return {disk.short(name) for name in files.names(home.cni_dir)}


def _read_element(record: Record, element: Any, index: int, master: str) -> None:
    """Add one element of the file to the record; raises CniError when it cannot be used."""
    if not isinstance(element, dict):
        raise CniError(Code.DECODE_FAILURE, "an element must be an object")
    own = element.get("plait")
    own = own if isinstance(own, dict) else {}
    record.network = record.network or _text(own.get("network"))
    record.parent = record.parent or _text(own.get("parent"))
    record.netns = record.netns or _text(own.get("netns"))
    record.netns_id = record.netns_id or _text(own.get("netnsId"))
    asked = _text(element.get("ifnameRequest"))
    ifname = _text(own.get("ifname")) or asked or default_ifname(index, record.parent or master)
    if fault := names.ifname_fault(ifname):
        raise CniError(Code.DECODE_FAILURE, f'interface "{ifname}": {fault}')
    wanted = own.get("runtimeConfig")
    label = _text(element.get("Name"))
    network = results.decode(element.get("Bytes"), label.rpartition("/")[2])
    delegate = Delegate(
        network=network,
        ifname=ifname,
        args=results.pairs(own.get("cniArgs")),
        runtime_config=wanted if isinstance(wanted, dict) else {},
        requests=_requests(element),
        label=label if label != network.name else "",
    )
    if own.get("deleted") is not True:
        record.pending.add(len(record.delegates))
    record.delegates.append(delegate)


def _requests(element: Json) -> Json:
    requests: Json = {key: element[key] for key in _TEXTS if _text(element.get(key))}
    for key in _LISTS:
        value = element.get(key)
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            requests[key] = value
    return requests


def _element(delegate: Delegate, *, is_routed: bool) -> Json:
    """The delegate as the original records it; the filters count once any delegate has a wish."""
    found = delegate.network
    summary = {"cniVersion": found.cni_version, "name": found.name}
    conf: Json = {**summary, "ipam": {}}
    conflist: Json = {}
    if found.is_list:
        conflist = {**summary, "plugins": [_summary(plugin) for plugin in found.plugins]}
    else:
        conf = {**summary, **_summary(found.plugins[0])}
    families = [":" in gateway for gateway in delegate.default_route or ()]
    return {
        "Conf": conf,
        "ConfList": conflist,
        "Name": delegate.name,
        **delegate.requests,
        "IsFilterV4Gateway": is_routed and False not in families,
        "IsFilterV6Gateway": is_routed and True not in families,
        "Bytes": results.encode(found.document),
    }


def _summary(plugin: Json) -> Json:
    """The few keys of a plugin that the original's type keeps; its reader takes `Bytes` instead."""
    ipam = plugin.get("ipam", {})
    summary: Json = {"type": plugin["type"], "ipam": {k: ipam[k] for k in ("type",) if k in ipam}}
    if plugin.get("capabilities"):
        summary["capabilities"] = plugin["capabilities"]
    return summary


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
