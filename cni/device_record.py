"""What a moved device was on the host: written before it is moved, dropped when it is back.

`<state>/host-device/<container ID>-<ifname>`, JSON. The original keeps only the host name, in the
device's alias; we write that too, so that either can delete what the other added.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.types import Attachment
from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.core.types import Request

_VERSION = 1
_NAME_MAX = 200  #: bytes of a file name that every file system takes, with room for a suffix


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
    netns_inode: int = 0

    @property
    def attachment(self) -> Attachment:
        return Attachment(self.network, self.container_id, self.ifname)


def path(state_dir: str, container_id: str, ifname: str) -> str:
    name = f"{container_id}-{ifname}"
    if len(name.encode()) > _NAME_MAX:
        name = hashlib.sha512(name.encode()).hexdigest()[:64]
    return f"{state_dir}/host-device/{name}"


def write(req: Request, record: Record) -> None:
    """Write the record; the device is on the host now, so any older record of it is stale."""
    for name in files.names(f"{req.state_dir}/host-device"):
        older = _read(f"{req.state_dir}/host-device/{name}")
        if older and (older.pci, older.host_name) == (record.pci, record.host_name):
            remove(req, older.attachment)
    fields: dict[str, Any] = {"version": _VERSION, **record._asdict()}
    target = path(req.state_dir, record.container_id, record.ifname)
    files.write(target, json.dumps(fields).encode())


def read(req: Request, attachment: Attachment) -> Record | None:
    """The record of the attachment; None when there is none, or none that can be understood."""
    record = _read(path(req.state_dir, attachment.container_id, attachment.ifname))
    # "a" and "b-c" have the file name of "a-b" and "c"
    return record if record and record.attachment[1:] == attachment[1:] else None


def of_network(req: Request) -> Iterator[Record]:
    """All records that this network made."""
    directory = f"{req.state_dir}/host-device"
    for name in files.names(directory):
        record = _read(f"{directory}/{name}")
        if record and record.network == req.network:
            yield record


def remove(req: Request, attachment: Attachment) -> None:
    files.remove(path(req.state_dir, attachment.container_id, attachment.ifname))


def remove_unreadable(req: Request) -> None:
    """Remove what has the name of the attachment's record and is none."""
    target = path(req.state_dir, req.container_id, req.ifname)
    if _read(target) is None:
        files.remove(target)


def sweep(req: Request) -> None:
    """Remove what killed ADDs were still writing."""
    files.sweep(f"{req.state_dir}/host-device")


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
