"""The lowest free addresses of a range, without reading what is leased.

Two ways. By marks: a mark says that a block of addresses is full, and the first blocks without one
are read. It is put by the transaction that takes a block's last address, on condition that the
others still are, and deleted by each that frees one: so it is never wrong. A block that was filled
in another way has none, until a search comes across it.

By counting, where marks do not help: a window that has as many keys as addresses is full, one that
has none is free. In one between, the taken addresses are mostly the lowest, so that the first free
one is where their number says; where it is not, the window is cut into parts. For this the server
walks over the keys of the windows: 20 ms for 100,000 of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ipam.stores import etcd_txn as txn
from ipam.stores.etcd_keys import BLOCK, address_of, number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cni.core.types import Json
    from ipam.ranges import Interval, Range
    from ipam.stores.etcd_gateway import Gateway

_SMALL = 32  #: addresses of a window whose keys are read
_PARTS = 16  #: into which a window is cut
_GROWTH = 16  #: each window is so many times the one before: pools fill from below
_READ = 2  #: windows without a mark that are read before the rest is counted


class Free(NamedTuple):
    """Free addresses, and of the blocks that were read to find them the taken ones."""

    addresses: list[int]
    blocks: dict[int, set[int]]


def free(
    gateway: Gateway, prefix: str, wanted: Range, count: int, given: Collection[int] = ()
) -> list[int]:
    """The lowest free addresses, at most `count`; those of `given` are not free.

    `prefix` is that of the keys whose ends are the taken addresses.
    """
    search = _Search(gateway, prefix, wanted.version, frozenset(given), count)
    if windows := list(_growing(wanted)):
        search.look(windows)
    return search.found


def free_beside_marks(
    gateway: Gateway, prefix: str, marks: str, wanted: Range, count: int, given: Collection[int]
) -> Free:
    """The same with `marks`, the prefix of the keys whose ends are the full blocks.

    Fewer than `count` even where there are more.
    """
    search = _Search(gateway, prefix, wanted.version, frozenset(given), count)
    blocks: dict[int, set[int]] = {}
    reads = 0
    for first, last in _offered(wanted):
        while first <= last:
            if reads == _READ:
                rest = wanted._replace(first=first)
                return Free(free(gateway, prefix, rest, count, given), blocks)
            reads += 1
            end = min(last, (first + count - 1) | (BLOCK - 1))
            taken = search.read((first, end))
            for block in range(-(-first // BLOCK), (end + 1) // BLOCK):
                blocks[block] = {each for each in taken if each // BLOCK == block}
            if search.found:
                return Free(search.found, blocks)
            first = end + 1
            if first <= last:
                first = max(first, BLOCK * _unmarked(gateway, marks, wanted, first, last))
    return Free([], blocks)


def _unmarked(gateway: Gateway, marks: str, wanted: Range, first: int, last: int) -> int:
    """The first block without a mark in a window; the one behind it when all have one."""
    blocks = wanted._replace(first=first // BLOCK, last=last // BLOCK, exclude=())
    found = free(gateway, marks, blocks, 1)
    return found[0] if found else blocks.last + 1


class _Search:
    def __init__(
        self, gateway: Gateway, prefix: str, version: int, given: frozenset[int], wanted: int
    ) -> None:
        self._gateway = gateway
        self._prefix = prefix
        self._version = version
        self._given = given
        self._wanted = wanted
        self.found: list[int] = []

    def look(self, windows: list[Interval]) -> None:
        """Find what is free in these windows, which are in order; a small first one is read."""
        first = windows[0]
        is_read = _length(first) <= _SMALL
        questions = [self._count(each) for each in windows]
        if is_read:
            questions[0] = self._keys(first)
        for window, answer in zip(windows, txn.ask(self._gateway, questions), strict=True):
            if len(self.found) >= self._wanted:
                return
            if answer.total == 0 or (is_read and window == first):
                self._take(window, {address_of(each.key) for each in answer.found})
            elif answer.total < _length(window):
                self._look_into(window, answer.total)

    def _look_into(self, window: Interval, taken: int) -> None:
        """Find what is free in a window in which that many addresses are taken, and some not."""
        first, last = window
        edge = max(first, min(first + taken, last + 1) - _SMALL // 2)
        around = edge, min(edge + _SMALL - 1, last)
        questions = [self._keys(around)]
        if first < edge:
            questions.append(self._count((first, edge - 1)))
        answers = txn.ask(self._gateway, questions)
        if first < edge and answers[1].total < edge - first:
            self._count_parts((first, edge - 1))
        self._take(around, {address_of(each.key) for each in answers[0].found})
        if around[1] < last and len(self.found) < self._wanted:
            self._count_parts((around[1] + 1, last))

    def _count_parts(self, window: Interval) -> None:
        """Find what is free in a window of which nothing is known."""
        parts = list(_cut(window))
        answers = txn.ask(self._gateway, [self._count(each) for each in parts])
        for part, answer in zip(parts, answers, strict=True):
            if len(self.found) >= self._wanted:
                return
            if answer.total == 0:
                self._take(part, set())
            elif answer.total < _length(part):
                if _length(part) <= _SMALL:
                    self.look([part])
                else:
                    self._count_parts(part)

    def read(self, window: Interval) -> set[int]:
        """What is taken in a window, all of which is read."""
        (answer,) = txn.ask(self._gateway, [self._keys(window)])
        taken = {address_of(each.key) for each in answer.found}
        self._take(window, taken)
        return taken

    def _take(self, window: Interval, taken: set[int]) -> None:
        for address in range(window[0], window[1] + 1):
            if len(self.found) >= self._wanted:
                return
            if address not in taken and address not in self._given:
                self.found.append(address)

    def _keys(self, window: Interval) -> Json:
        return txn.between(*self._ends(window))

    def _count(self, window: Interval) -> Json:
        return txn.count(*self._ends(window))

    def _ends(self, window: Interval) -> tuple[str, str]:
        first, last = (self._prefix + number(self._version, each) for each in window)
        return first, f"{last}\0"  # the very next key


def _offered(wanted: Range) -> Iterator[Interval]:
    """The window of the range without what is excluded."""
    start = wanted.first
    for first, last in wanted.exclude:
        if start < first:
            yield start, min(first - 1, wanted.last)
        start = max(start, last + 1)
        if start > wanted.last:
            return
    yield start, wanted.last


def _growing(wanted: Range) -> Iterator[Interval]:
    """What the range offers, in windows: small ones at first."""
    length = _SMALL
    for start, last in _offered(wanted):
        while start <= last:
            end = min(start + length - 1, last)
            yield start, end
            if end - start + 1 == length:
                length *= _GROWTH
            start = end + 1


def _cut(window: Interval) -> Iterator[Interval]:
    first, last = window
    step = max(_SMALL, -(-_length(window) // _PARTS))
    for start in range(first, last + 1, step):
        yield start, min(start + step - 1, last)


def _length(window: Interval) -> int:
    return window[1] - window[0] + 1
