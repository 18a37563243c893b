"""The steps of a call of sriov: any of them can fail, be refused for a while, or be the last.

Each is tried with a VF that belongs to a program. With one that the kernel drives that takes too
long here: every PLAIT_STRIDE-th is tried, from a random one (PLAIT_SEED) on; 1 is for all.
"""

from __future__ import annotations

import errno
import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cni.core.undo import Undo
from cni.host import netns, rtnl, sysctl
from cni.host.rtnl import Rtnl
from cni.sriov import allocation
from cni.store import files
from ipam.stores.file import FileStore
from tests.netns import faults
from tests.netns.faults import Killed, _patched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST = 120  #: steps of one verb; a test that needs more never comes to its end
SEED = os.environ.get("PLAIT_SEED") or str(random.SystemRandom().randrange(10**6))
STRIDE = int(os.environ.get("PLAIT_STRIDE") or 3)

Doors = tuple[tuple[Any, str], ...]

#: those of the other plugins' tests, and the locks and files that sriov looks into
DOORS: Doors = (
    *faults.DOORS,
    (files, "read"),
    (files, "names"),
    (netns, "open_if_present"),
    (allocation, "exclusive"),
    (allocation, "exclusive_pf"),
)

_CHANGES = {
    (sysctl, "write"),
    (files, "write"),
    (files, "remove"),
    (FileStore, "lease"),
    (FileStore, "release"),
}
_READING = (rtnl.RTM_GETLINK, rtnl.RTM_GETADDR, rtnl.RTM_GETROUTE)


def numbers(what: str, first: int = 1, *, every: bool = False) -> range:
    """The numbers of the steps at which to strike, one after another, until one is too high."""
    stride = 1 if every else STRIDE
    return range(first + random.Random(f"{SEED} {what}").randrange(stride), MOST, stride)


class Steps(faults.Fault):
    """Counts the steps of a call, and strikes at those of the given numbers.

    With `changes` only what changes something is a step. With `after` what changes something is
    done before the strike; a step that reads leaves the world the same anyway.
    """

    def __init__(self, *numbers: int, changes: bool, after: bool = False, kill: bool = False):
        super().__init__(0, after=after, kill=kill)
        self.numbers = numbers
        self.changes = changes
        self.hits = 0

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        if self.changes and not _can_change(name, call):
            return call

        def step(*args: Any, **kwargs: Any) -> Any:
            if self.changes and name == "request" and args[2] in _READING:
                return call(*args, **kwargs)
            self.calls += 1
            if self.calls not in self.numbers:
                return call(*args, **kwargs)
            self.hits += 1
            about = kwargs.get("what", args[-1:])
            self.hit = "; ".join(filter(None, (self.hit, f"step {self.calls}: {name} {about}")))
            if self.after:
                call(*args, **kwargs)
            if self.kill:
                raise Killed
            raise _error(errno.EIO, self.hit)

        return step


class Refusal(faults.Fault):
    """The kernel refuses requests that are called so, each so many times, with that errno."""

    def __init__(self, code: int, called: tuple[str, ...], but: str, times: float) -> None:
        super().__init__(0, after=False, kill=False)
        self.code = code
        self.called = called
        self.but = but
        self.times = times
        self.met: dict[str, int] = {}  #: how often each was asked

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            what = str(kwargs.get("what", ""))
            if what.startswith(self.called) and not (self.but and self.but in what):
                self.met[what] = self.met.get(what, 0) + 1
                if self.met[what] <= self.times:
                    raise _error(self.code, what)
            return call(*args, **kwargs)

        return step


def _can_change(name: str, call: Callable[..., Any]) -> bool:
    return name == "request" or any(getattr(owner, key) is call for owner, key in _CHANGES)


def _error(code: int, note: str) -> OSError:
    error = OSError(code, "made to fail by the test")
    error.add_note(note)
    return error


@contextmanager
def failing(
    *numbers: int, changes: bool = False, after: bool = False, doors: Doors = DOORS
) -> Iterator[Steps]:
    """Those steps of the body raise OSError; with `after`, when they are done."""
    steps = Steps(*numbers, changes=changes, after=after)
    with _patched(steps, doors):
        yield steps


@contextmanager
def killed(number: int) -> Iterator[Steps]:
    """The body ends after that change as if by SIGKILL: nothing is undone, the locks are free."""
    steps = Steps(number, changes=True, after=True, kill=True)
    unwind = Undo._unwind
    Undo._unwind = lambda *_: None  # type: ignore[method-assign]
    try:
        with _patched(steps, DOORS):
            yield steps
    except Killed:
        pass
    finally:
        Undo._unwind = unwind  # type: ignore[method-assign]


@contextmanager
def refused(
    code: int, called: tuple[str, ...], *, but: str = "", times: float = float("inf")
) -> Iterator[Refusal]:
    """Requests whose name begins so are refused, unless they are about `but`."""
    refusal = Refusal(code, called, but, times)
    with _patched(refusal, ((Rtnl, "request"),)):
        yield refusal
