"""SIGTERM and SIGINT become an exception, so that an ADD the runtime gives up on is undone."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # the second signal of an impatient runtime must not break the undoing of the first
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def install() -> None:
    """Raise Interrupted in the main thread on the first SIGTERM or SIGINT; ignore later ones."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)


@contextmanager
def blocked() -> Iterator[None]:
    """Hold SIGTERM and SIGINT back while the body runs; they arrive when it ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
