"""SIGTERM and SIGINT end a call between two steps or in a wait, so that it can be undone.

A signal is noted when it comes and raised where that is safe: before the next step is pushed on an
undo stack, before the next attempt, while waiting. An exception in the midst of anything, an
import for one, would leave that half done: the interpreter's import lock then stays taken for ever.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core import trace
from cni.core.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: the names here, not of `signal`: a handler imports nothing, it may have come amid an import
_NAMES: dict[int, str] = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "SIGINT"}

_noted = ""  #: the first signal that came
_waiting = False
_blocked = 0  #: how many `blocked` bodies are running, one within another
_over = False  #: raised once, or ignored: later ones change nothing


def install() -> None:
    """Note the first SIGTERM or SIGINT from now on."""
    global _noted, _waiting, _blocked, _over
    _noted, _waiting, _blocked, _over = "", False, 0, False
    for number in _NAMES:
        signal.signal(number, _note)
    # a caller's "ignore" would be inherited, and with it the exit status of every child be lost
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _note(number: int, frame: FrameType | None) -> None:
    global _noted
    _noted = _noted or _NAMES[number]
    if _waiting:
        check()


def check() -> None:
    """Raises Interrupted if a signal has come; once, so that none breaks the undoing."""
    global _over
    if _noted and not _over and not _blocked:
        _over = True
        raise Interrupted(_noted)


def ignore() -> None:
    """From now on a signal changes nothing, one that has come already included."""
    global _over
    _over = True


@contextmanager
def waiting() -> Iterator[None]:
    """A wait that a signal ends: nothing in the body may be left half done."""
    global _waiting
    before, _waiting = _waiting, True
    try:
        check()
        yield
    finally:
        _waiting = before


def sleep(seconds: float) -> None:
    """time.sleep that a signal ends."""
    with waiting(), trace.span(trace.WAITING):
        time.sleep(seconds)


@contextmanager
def blocked() -> Iterator[None]:
    """No signal is raised while the body runs; one that comes is raised at the next chance."""
    global _blocked
    _blocked += 1
    try:
        yield
    finally:
        _blocked -= 1
