"""The records of all VFs that are attached: `<state>/sriov/<container ID>-<ifname>`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from cni.core import delegate
from cni.sriov.record import decode, encode
from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.core.types import Attachment, Request
    from cni.sriov.record import Record


def key_of(container_id: str, ifname: str) -> str:
    return files.name_for(f"{container_id}-{ifname}")


def write(req: Request, record: Record) -> None:
    # it holds for this boot only, and needs no fsync to survive one
    data = json.dumps(encode(record, req.cni_version, delegate.ipam_type(req)), sort_keys=True)
    files.write(_path(req.state_dir, record.key), data.encode(), durable=False)


def set_phase(state_dir: str, record: Record, phase: str) -> None:
    """Change that alone, in a record of either format."""
    path = _path(state_dir, record.key)
    fields = json.loads(files.read(path) or b"{}")
    fields["x"] = {**(fields.get("x") or {}), "phase": phase}
    files.write(path, json.dumps(fields, sort_keys=True).encode(), durable=False)


def read(state_dir: str, key: str) -> Record | None:
    """None when there is no such record, or none that can be understood.

    Raises OSError when it cannot be read: to take that for none would lose a VF.
    """
    path = _path(state_dir, key)
    content = files.read(path)
    if content is None:
        return None
    try:
        record = decode(key, json.loads(content))
        return record._replace(written=os.stat(path).st_mtime_ns)
    except FileNotFoundError:  # removed meanwhile
        return None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        return None


def of_attachment(state_dir: str, attachment: Attachment) -> Record | None:
    record = read(state_dir, key_of(attachment.container_id, attachment.ifname))
    # "a" and "b-c" have the file name of "a-b" and "c"
    if record and record.ifname not in ("", attachment.ifname):
        return None
    return record


def all_records(state_dir: str) -> Iterator[Record]:
    for name in files.names(_directory(state_dir)):
        record = read(state_dir, name)
        if record:
            yield record


def of_device(state_dir: str, device: str) -> list[Record]:
    """All records of the VF, the newest first, which alone is right."""
    found = [each for each in all_records(state_dir) if each.device == device]
    return sorted(found, key=lambda each: each.written, reverse=True)


def remove(state_dir: str, record: Record) -> None:
    files.remove(_path(state_dir, record.key))


def remove_unreadable(state_dir: str, key: str) -> None:
    """Remove what has the name of a record and is none."""
    if read(state_dir, key) is None:
        files.remove(_path(state_dir, key))


def sweep(state_dir: str) -> None:
    """Remove what killed ADDs were still writing."""
    files.sweep(_directory(state_dir))


def this_boot() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def is_of_this_boot(record: Record) -> bool:
    """An older record is about a VF that is no more. Of the original's only the date tells."""
    return record.boot == this_boot() if record.boot else record.written >= _boot_time()


def _boot_time() -> int:
    """ns since 1970."""
    with open("/proc/stat") as file:
        seconds = next(line.split()[1] for line in file if line.startswith("btime "))
    return int(seconds) * 10**9


def _directory(state_dir: str) -> str:
    return f"{state_dir}/sriov"


def _path(state_dir: str, key: str) -> str:
    return f"{_directory(state_dir)}/{key}"
