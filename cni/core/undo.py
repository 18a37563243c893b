"""Undo: a stack of reverse steps, pushed before each step that changes the world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import log, signals, syncing
from cni.core.errors import describe

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import ParamSpec, Self

    P = ParamSpec("P")


class Undo:
    """Unwinds on an exception or a signal, which is raised here, before a step or at the end;
    `keep()` says that the work is done.

    A step that fails is logged and the next one runs: an undo never hides the cause.
    """

    _open = 0  #: stacks that are open now: a delegate's is within its caller's

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    @classmethod
    def is_open(cls) -> bool:
        """Whether a stack is open, whose `keep` waits until all is durable and undoes it if not."""
        return cls._open > 0

    def push(self, step: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        self._steps.append(lambda: step(*args, **kwargs))
        signals.check()

    def keep(self) -> None:
        """The work is done. Of the outermost stack: it is durable, and a signal comes too late from
        now on. Raises the OSError of a sync that failed; the work is undone then.
        """
        is_outermost = Undo._open == 1
        if is_outermost:
            syncing.wait()
        signals.check()
        if is_outermost:
            signals.ignore()
        self._steps.clear()

    def __enter__(self) -> Self:
        Undo._open += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        Undo._open -= 1
        if self._steps:
            self._unwind(error)

    def _unwind(self, error: BaseException | None) -> None:
        with signals.blocked():
            while self._steps:
                try:
                    self._steps.pop()()
                except Exception as failure:
                    log.error("undo failed", reason=describe(failure), cause=error or "")
            if not Undo._open:
                signals.ignore()  # one that came meanwhile has nothing left to end
