"""Marks in the code for `plait trace`: what the time until the mark's end is spent on.

They cost next to nothing while nobody asks; cni.core.tracing is imported when somebody does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from cni.core.tracing import Recorder

#: what time is spent on; time within two marks counts for the inner one
IMPORTS, VALIDATION, KERNEL, ADDRESSES = "imports", "validation", "kernel", "addresses"
DISK, API, PROCESSES, WAITING = "disk", "API server", "other processes", "waiting"

_recorder: Recorder | None = None


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


_NOTHING = _Nothing()


def span(kind: str) -> AbstractContextManager[None]:
    """The time of the body is spent on `kind`."""
    return _NOTHING if _recorder is None else _recorder.span(kind)


def directory(environ: Mapping[str, str]) -> str:
    """Who is there, and locked, asks for records of calls: PLAIT_TRACE, or that of this node."""
    run_dir = environ.get("PLAIT_RUN_DIR") or "/run/plait"
    return environ.get("PLAIT_TRACE") or f"{run_dir}/trace"


def begin(plugin: str, environ: Mapping[str, str]) -> None:
    """Record this call, if somebody wants to see it."""
    global _recorder
    _recorder = None
    target = directory(environ)
    if os.path.isdir(target):
        from cni.core.tracing import Recorder, is_watched

        if is_watched(target):
            _recorder = Recorder(target, plugin, environ, importing=IMPORTS)


def end(status: int) -> None:
    """Hand the record over."""
    global _recorder
    if _recorder is not None:
        _recorder.end(status)
        _recorder = None
