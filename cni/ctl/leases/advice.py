"""What to do when the database of the file store cannot be used."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

#: what the reason says -> the way out; the first that fits
_WAYS = (
    (
        ("malformed", "not a database", "is encrypted", "disk image"),
        (
            "it is damaged: move it aside together with its -wal and -shm, then make the leases of "
            "running pods anew with `plait ipam import`, or restart these pods"
        ),
    ),
    (
        ("its schema version is",),
        (
            "another version of Plait, or another program, has made it: use that version, or move "
            "it aside and make the leases anew with `plait ipam import`"
        ),
    ),
    (
        ("is full", "No space left", "Disk quota"),
        "free some space on its file system; deleting pods needs none",
    ),
    (
        ("readonly", "Read-only"),
        "its file system is read-only: see dmesg for why, and remount it",
    ),
    (("disk I/O error", "Input/output error"), "see dmesg: the disk may be failing"),
    (("Permission denied", "unable to open"), "run plait as root"),
    (("database is locked",), "a program has it open: see fuser, and try again"),
)


@contextmanager
def advised() -> Iterator[None]:
    """An error of the body about the leases of this node says how to go on, in the same line."""
    try:
        yield
    except CniError as error:
        way = advice(error)
        if not way:
            raise
        raise CniError(error.code, error.msg, f"{error.details}: {way}") from None


def advice(error: CniError) -> str:
    """Empty for an error that is about something else."""
    if error.code not in (Code.IO_FAILURE, Code.TRY_AGAIN_LATER) or "leases" not in error.msg:
        return ""
    return next((way for says, way in _WAYS if any(each in error.details for each in says)), "")
