"""Make the n-th call into the kernel, or onto the disk, fail; or let the process die there."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cni.core import spawn
from cni.core.undo import Undo
from cni.host import nft, sysctl
from cni.host.rtnl import Rtnl
from cni.store import files
from ipam.stores.file import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: the doors through which everything leaves the process
DOORS: tuple[tuple[Any, str], ...] = (
    (Rtnl, "request"),
    (Rtnl, "dump"),
    (sysctl, "write"),
    (sysctl, "read"),
    (nft, "apply"),
    (nft, "known_rules"),
    (files, "write"),
    (files, "remove"),
    (spawn, "run"),
    (FileStore, "lease"),
    (FileStore, "release"),
)


class Killed(BaseException):
    """The end of the process, for a test: nothing in it runs any more."""


class Fault:
    """Strikes at call number `nth`, once; `after` lets it happen first, as a late signal does."""

    def __init__(self, nth: int, *, after: bool, kill: bool) -> None:
        self.nth = nth
        self.after = after
        self.kill = kill
        self.calls = 0
        self.hit = ""

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls != self.nth:
                return call(*args, **kwargs)
            self.hit = f"call {self.nth}: {name} {kwargs.get('what', args[-1:])}"
            if self.after:
                call(*args, **kwargs)
            if self.kill:
                raise Killed
            error = OSError(errno.EIO, "made to fail by the test")
            error.add_note(self.hit)
            raise error

        return faulty


@contextmanager
def failing(nth: int, *, after: bool = False) -> Iterator[Fault]:
    """Call `nth` of the body raises OSError."""
    with _patched(Fault(nth, after=after, kill=False), DOORS) as fault:
        yield fault


@contextmanager
def killed(nth: int, *, after: bool = False) -> Iterator[Fault]:
    """The body ends at call `nth` as if by SIGKILL: no undo runs."""
    fault = Fault(nth, after=after, kill=True)
    unwind = Undo._unwind
    Undo._unwind = lambda *_: None  # type: ignore[method-assign]
    try:
        with _patched(fault, DOORS):
            yield fault
    except Killed:
        pass
    finally:
        Undo._unwind = unwind  # type: ignore[method-assign]


@contextmanager
def _patched(fault: Fault, doors: tuple[tuple[Any, str], ...]) -> Iterator[Fault]:
    originals = [(owner, name, getattr(owner, name)) for owner, name in doors]
    for owner, name, call in originals:
        setattr(owner, name, fault.wrap(name, call))
    try:
        yield fault
    finally:
        for owner, name, call in originals:
            setattr(owner, name, call)
