"""What a moved device was on the host: written before it is moved, dropped when it is back.

`<state>/host-device/<container ID>-<ifname>`, JSON. The original keeps only the host name, in the
device's alias; we write that too, so that either can delete what the other added.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.types import Attachment
from cni.store import files
from cni.store.lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from cni.core.types import Request

_VERSION = 1


class Record(NamedTuple):
    """A device and its attachment; `pci` is the PCI address, empty for a virtual device."""

    network: str
    container_id: str
    ifname: str
    host_name: str
    alias: str = ""
    mac: str = ""
    mtu: int = 0
    up: bool = False
    pci: str = ""
    kind: str = ""
    altnames: tuple[str, ...] = ()
    netns: str = ""
    netns_id: int = 0

    @property
    def attachment(self) -> Attachment:
        return Attachment(self.network, self.container_id, self.ifname)


def exclusive(req: Request) -> AbstractContextManager[None]:
    """For who looks at devices and moves them: another call would see them half done."""
    return locked(f"{req.run_dir}/host-device.lock", what="host-device")


def path(state_dir: str, container_id: str, ifname: str) -> str:
    return f"{_directory(state_dir)}/{files.name_for(f'{container_id}-{ifname}')}"


def write(req: Request, record: Record) -> None:
    """Write the record; the device is on the host now, so any older record of it is stale."""
    for older in list(_all(req)):
        if (older.pci, older.host_name) == (record.pci, record.host_name):
            remove(req, older.attachment)
    fields: dict[str, Any] = {"version": _VERSION, **record._asdict()}
    target = path(req.state_dir, record.container_id, record.ifname)
    files.write(target, json.dumps(fields).encode())


def read(req: Request, attachment: Attachment) -> Record | None:
    """The record of the container's interface; None when there is none that can be understood.

    It may be another network's, which was faster to have an interface of that name.
    """
    record = _read(path(req.state_dir, attachment.container_id, attachment.ifname))
    # "a" and "b-c" have the file name of "a-b" and "c"
    return record if record and record.attachment[1:] == attachment[1:] else None


def of_network(req: Request) -> Iterator[Record]:
    """All records that this network made."""
    return (each for each in _all(req) if each.network == req.network)


def is_current(req: Request, record: Record) -> bool:
    """Whether it still stands for its device: no later ADD has taken that."""
    if read(req, record.attachment) != record:
        return False
    # a later one that took the device before it was restored found our mark on it
    return not any(
        each.alias == record.host_name and (each.pci, each.mac) == (record.pci, record.mac)
        for each in _all(req)
        if each.attachment != record.attachment
    )


def remove(req: Request, attachment: Attachment) -> None:
    files.remove(path(req.state_dir, attachment.container_id, attachment.ifname))


def remove_unreadable(req: Request) -> None:
    """Remove what has the name of the attachment's record and is none."""
    target = path(req.state_dir, req.container_id, req.ifname)
    if _read(target) is None:
        files.remove(target)


def sweep(req: Request) -> None:
    """Remove what killed ADDs were still writing."""
    files.sweep(_directory(req.state_dir))


def _directory(state_dir: str) -> str:
    return f"{state_dir}/host-device"


def _all(req: Request) -> Iterator[Record]:
    directory = _directory(req.state_dir)
    for name in files.names(directory):
        record = _read(f"{directory}/{name}")
        if record:
            yield record


def _read(target: str) -> Record | None:
    try:
        fields = json.loads(files.read(target) or b"")
        del fields["version"]
        record = Record(**{key: value for key, value in fields.items() if key in Record._fields})
        record = record._replace(altnames=tuple(record.altnames))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    defaults = Record("", "", "", "")
    sound = all(
        isinstance(value, type(default)) for value, default in zip(record, defaults, strict=True)
    )
    return record if sound and record.host_name else None
