"""The cost of one process: wall clock from spawn to exit, and processor time."""

from __future__ import annotations

import ctypes
import os
import select
import time
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_IN_OPEN = 0x20
_IN_CLOEXEC = os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class Sample(NamedTuple):
    """Milliseconds of wall clock, and of the processor for it and its children."""

    wall: float
    cpu: float = 0.0

    def __add__(self, other: object) -> Sample:
        """Two processes one after the other."""
        if not isinstance(other, Sample):
            return NotImplemented
        return Sample(self.wall + other.wall, self.cpu + other.cpu)


class Summary(NamedTuple):
    """Of several samples: the middle one, the best one, the mean of the processor, how many."""

    wall: float
    wall_min: float
    cpu: float
    samples: int

    def __str__(self) -> str:
        return f"{self.wall:.1f} ({self.wall_min:.1f})"


def summary(samples: Sequence[Sample]) -> Summary:
    return Summary(
        round(median(each.wall for each in samples), 3),
        round(min(each.wall for each in samples), 3),
        round(fmean(each.cpu for each in samples), 3),
        len(samples),
    )


def run(argv: Sequence[str | Path], environ: Mapping[str, str], stdin: bytes = b"") -> Sample:
    """Run a process that must succeed. Nothing of ours happens between its start and its end.

    Files in memory take the place of pipes: nobody has to be awake to feed or to read.
    """
    given, taken = _memory(stdin), _memory()
    try:
        actions = [
            (os.POSIX_SPAWN_DUP2, given, 0),
            (os.POSIX_SPAWN_DUP2, taken, 1),
            (os.POSIX_SPAWN_DUP2, taken, 2),
        ]
        words = [os.fspath(each) for each in argv]
        variables = dict(environ)
        started = time.perf_counter()
        pid = os.posix_spawn(words[0], words, variables, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - started
        if status:
            os.lseek(taken, 0, os.SEEK_SET)
            said = os.read(taken, 10_000).decode(errors="replace")
            raise RuntimeError(f"{' '.join(words)}: {os.waitstatus_to_exitcode(status)}\n{said}")
    finally:
        os.close(given)
        os.close(taken)
    cpu = usage.ru_utime + usage.ru_stime
    return Sample(wall * 1000, cpu * 1000)


def until_opened(file: Path, argv: Sequence[str | Path], environ: Mapping[str, str]) -> Sample:
    """From spawn until the process opens that file; then it runs to its end unmeasured."""
    watch = _libc.inotify_init1(_IN_CLOEXEC)
    if watch < 0 or _libc.inotify_add_watch(watch, os.fsencode(file), _IN_OPEN) < 0:
        raise OSError(ctypes.get_errno(), f"inotify on {file}")
    words = [os.fspath(each) for each in argv]
    variables = dict(environ)
    silent = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    try:
        started = time.perf_counter()
        pid = os.posix_spawn(words[0], words, variables, file_actions=silent)
        opened, _, _ = select.select([watch], [], [], 5)
        wall = time.perf_counter() - started
        os.waitpid(pid, 0)
    finally:
        os.close(watch)
    if not opened:
        raise RuntimeError(f"{words[0]} did not open {file}")
    return Sample(wall * 1000)


def _memory(content: bytes = b"") -> int:
    fd = os.memfd_create("bench", os.MFD_CLOEXEC)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
