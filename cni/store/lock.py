"""flock with a bound: who holds it too long makes us say so instead of hanging the pod."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core import signals
from cni.core.errors import CniError, Code
from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def locked(
    path: str, timeout: float = 60, *, what: str = "", remove: bool = False
) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made if absent) while the body runs.

    The kernel drops it when the process dies. With `remove` the file goes when the body ends, for
    locks of which there would be many. Raises CniError 11, saying `what` is being used, when
    another process holds it for `timeout` seconds.
    """
    files.ensure_dir(os.path.dirname(path))
    fd = _take(path, time.monotonic() + timeout)
    if fd is None:
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f"{what or path} is in use by another call",
            f"waited {timeout:g} s for {path}",
        )
    try:
        yield
    finally:
        if remove:
            _remove(path)
        os.close(fd)


def _remove(path: str) -> None:
    """While the lock is held: whoever waits for it sees that the file is gone (_is_current)."""
    try:
        files.remove(path)
    except OSError:
        pass  # the work is done; a file too many is used by the next call


def _take(path: str, deadline: float) -> int | None:
    """A descriptor of the file with the lock on it; None when the time has run out."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            is_locked = _wait(fd, deadline)
            if is_locked and _is_current(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        if not is_locked:
            return None


def _wait(fd: int, deadline: float) -> bool:
    """Lock the file; False when the time has run out."""
    if _try(fd):
        return True
    pause = 0.001
    with signals.waiting():  # whom a signal ends closes the file
        while time.monotonic() <= deadline:
            time.sleep(pause)
            if _try(fd):
                return True
            pause = min(pause * 2, 0.003)  # a burst of ADDs: longer sleeps leave the lock idle
    return False


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(fd: int, path: str) -> bool:
    """Whether the path still names this file: another holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
