"""Make the n-th call into the kernel, or onto the disk, fail."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cni.host import nft, sysctl
from cni.host.rtnl import Rtnl
from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: the doors through which everything leaves the process
DOORS: tuple[tuple[Any, str], ...] = (
    (Rtnl, "request"),
    (Rtnl, "dump"),
    (sysctl, "write"),
    (sysctl, "read"),
    (nft, "apply"),
    (nft, "rules"),
    (files, "write"),
)


class Fault:
    """Fails call number `nth`, once; `after` lets it happen first, as a late interruption does."""

    def __init__(self, nth: int, *, after: bool) -> None:
        self.nth = nth
        self.after = after
        self.calls = 0
        self.hit = ""

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls != self.nth:
                return call(*args, **kwargs)
            self.hit = f"{name} {kwargs.get('what', args[-1:])}"
            if self.after:
                call(*args, **kwargs)
            error = OSError(errno.EIO, "made to fail by the test")
            error.add_note(self.hit)
            raise error

        return faulty


@contextmanager
def failing(nth: int, *, after: bool = False) -> Iterator[Fault]:
    fault = Fault(nth, after=after)
    originals = [(owner, name, getattr(owner, name)) for owner, name in DOORS]
    for owner, name, call in originals:
        setattr(owner, name, fault.wrap(name, call))
    try:
        yield fault
    finally:
        for owner, name, call in originals:
            setattr(owner, name, call)
