"""Which containers were deleted a while ago: the kubelet sends a pod's DEL two or three times.

The later ones find no record, and would have every plugin look for what is long gone.
"""

from __future__ import annotations

import os
import time

from cni.core import log
from cni.store import files
from meta.multus import disk

_LASTING = 3600  #: seconds; the kubelet needs twenty


def mark(run_dir: str, container_id: str, ifname: str) -> None:
    """Remember that nothing is left of the attachment; not worth an error."""
    path = _path(run_dir, container_id, ifname)
    try:
        files.write(path, b"", durable=False)
        _forget_old(os.path.dirname(path))
    except OSError as error:
        log.warning("the next DEL will look again", file=path, reason=error)


def unmark(run_dir: str, container_id: str, ifname: str) -> None:
    files.remove(_path(run_dir, container_id, ifname))


def is_marked(run_dir: str, container_id: str, ifname: str) -> bool:
    return os.path.exists(_path(run_dir, container_id, ifname))


def _path(run_dir: str, container_id: str, ifname: str) -> str:
    return os.path.join(run_dir, "multus-deleted", f"{disk.short(container_id)}@{ifname}")


def _forget_old(directory: str) -> None:
    oldest = time.time() - _LASTING
    with os.scandir(directory) as entries:
        for each in entries:
            try:
                if each.stat(follow_symlinks=False).st_mtime < oldest:
                    files.remove(each.path)
            except FileNotFoundError:
                pass  # another DEL was here
