"""DEL and GC attempt everything, and say at the end what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import log, signals
from cni.core.errors import CniError, describe

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


class Attempts:
    """Runs steps one after another; `finish` raises the first error, its message naming all."""

    def __init__(self) -> None:
        self.errors: list[CniError] = []

    def run(self, step: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether the step succeeded."""
        signals.check()
        try:
            step(*args, **kwargs)
        except Exception as error:
            if not isinstance(error, (CniError, OSError)):
                log.bug(error)
            self.errors.append(describe(error))
            return False
        return True

    def value(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What the step returned; None when it failed."""
        found: list[T] = []
        self.run(lambda: found.append(step(*args, **kwargs)))
        return found[0] if found else None

    def finish(self) -> None:
        if not self.errors:
            return
        first, *others = self.errors
        if not others:
            raise first
        raise CniError(first.code, " / ".join(str(each) for each in self.errors))
