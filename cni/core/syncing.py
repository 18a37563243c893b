"""Files that become durable beside the work, before the world is told of it.

A sync takes milliseconds in which a call can go on: a power cut meanwhile takes what the call has
done to the kernel, too. What would outlive it waits first: the answer on standard output, a plugin
of others, an API server.
"""

from __future__ import annotations

import _thread
import os
from contextlib import suppress

from cni.core import trace

#: files of which a sync has failed in this process
failed: set[str] = set()

_begun: list[_Sync] = []


class _Sync:
    def __init__(self, path: str, directory: str) -> None:
        self._path, self._directory = path, directory
        self._error: OSError | None = None
        self._running = _thread.allocate_lock()
        self._running.acquire()
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _thread.start_new_thread(self._run, (fd,))
        except RuntimeError:  # the control group has no room for a thread
            self._run(fd)

    def _run(self, fd: int) -> None:
        try:
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)
            if self._directory:
                sync_directory(self._directory)
        except OSError as error:
            error.filename = error.filename or self._path
            self._error = error
            failed.add(self._path)
        finally:
            self._running.release()

    def wait(self) -> None:
        with self._running:
            if self._error is not None:
                raise self._error


def begin(path: str, *, directory: str = "") -> None:
    """Sync what the file holds now, and then the names in the directory.

    Raises OSError when the file cannot be opened; a file that is gone was synced when it went.
    """
    with suppress(FileNotFoundError):
        _begun.append(_Sync(path, directory))


def wait() -> None:
    """Until all that was begun is durable. Raises the OSError of the first sync that failed."""
    failure = None
    with trace.span(trace.DISK):
        while _begun:
            try:
                _begun.pop(0).wait()
            except OSError as error:
                failure = failure or error
    if failure is not None:
        raise failure


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
