"""flock with a bound: who holds it too long makes us say so instead of hanging the pod."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def locked(path: str, timeout: float = 60) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made if absent) while the body runs.

    The kernel drops it when the process dies. Raises CniError 11 after `timeout` seconds.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout
        pause = 0.001
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CniError(
                        Code.TRY_AGAIN_LATER,
                        f"lock {path} is held by another process",
                        f"waited {timeout:g} s",
                    ) from None
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        yield
    finally:
        os.close(fd)
