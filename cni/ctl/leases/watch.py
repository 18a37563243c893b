"""What happens to the leases of a store, told as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core import log, signals
from cni.core.errors import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni.ctl.leases.selection import Found
    from ipam.stores import Hold, Lease

THERE, ADDED, REMOVED = "there", "added", "removed"


class Event(NamedTuple):
    kind: str  #: THERE, ADDED or REMOVED
    about: Lease | Hold


def changes(before: Found | None, now: Found) -> list[Event]:
    """What is different, removals first; all that is there when nothing was known before."""
    had, has = before.both if before else [], now.both
    old, new = set(had), set(has)
    return [
        *(Event(REMOVED, each) for each in had if each not in new),
        *(Event(ADDED if before else THERE, each) for each in has if each not in old),
    ]


def watch(read: Callable[[], Found], interval: float) -> Iterator[Event]:
    """Events without end. A store that cannot be read is an error at first, later a warning."""
    before: Found | None = None
    told = ""
    while True:
        try:
            now = read()
        except Exception as error:
            failure = str(describe(error))
            if before is None:
                raise
            if failure != told:
                log.warning("the store cannot be read", reason=failure)
            told = failure
        else:
            yield from changes(before, now)
            before, told = now, ""
        signals.sleep(interval)
