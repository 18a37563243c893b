"""How full ranges are.

netaddr has what the ranges can hand out, as sets whose addresses nobody counts one by one; what
is leased or held is looked up in them.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from netaddr.ip import IPAddress, IPRange
from netaddr.ip.sets import IPSet

from ipam.ranges import text
from ipam.stores import COOLING, RESERVED, STICKY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cni.ctl.leases.selection import Found
    from cni.ctl.leases.source import Pool
    from ipam.ranges import Interval
    from ipam.stores import Hold, Lease


class Usage(NamedTuple):
    """Numbers of addresses; capacity is the sum of all but `outside`."""

    network_name: str
    cidr: str
    first: str  #: of the window that is handed out
    last: str
    capacity: int
    leased: int
    cooling: int
    sticky: int
    reserved: int
    elsewhere: int  #: taken by other ranges of the same network_name
    free: int
    outside: int  #: leased, and the range would not hand them out any more
    oldest: int  #: when the oldest lease was made, seconds since 1970; 0: not known

    @property
    def held(self) -> int:
        return self.cooling + self.sticky + self.reserved

    def percent(self, count: int) -> float:
        return 100 * count / self.capacity if self.capacity else 0.0


def of(pools: Iterable[Pool], found: Found) -> list[Usage]:
    """The usage of each pool: of the windows together that configurations have in one."""
    grouped: dict[tuple[str, str], list[Pool]] = {}
    for each in pools:
        grouped.setdefault((each.network_name, each.range.cidr), []).append(each)
    return [_usage(each, found) for each in grouped.values()]


def _usage(windows: Sequence[Pool], found: Found) -> Usage:
    pool = windows[0]
    version, is_of = pool.range.version, _member(pool)
    capacity = IPSet()
    for each in windows:
        capacity |= _intervals(version, [(each.range.first, each.range.last)]) - _intervals(
            version, each.range.exclude
        )
    for each in windows:  # a configuration excludes them for all other pods
        capacity |= _intervals(version, [(at, at) for at in each.reserved])
    spans = [(each.first, each.last) for each in capacity.iter_ipranges()]
    own = [each for each in found.leases if is_of(each)]
    every = {each.address for each in own}
    leased = _inside(spans, every)
    taken = set(leased)
    counts = {}
    for kind in (RESERVED, STICKY, COOLING):
        held = {each.address for each in found.holds if each.kind == kind and is_of(each)}
        if kind == RESERVED:
            held = held.union(*(each.reserved for each in windows))
        held = _inside(spans, held - taken)
        counts[kind] = len(held)
        taken |= held
    elsewhere: set[int] = set()
    if any(each.unique for each in windows):
        elsewhere = _inside(spans, _elsewhere(pool, found) - taken)
    return Usage(
        network_name=pool.network_name,
        cidr=pool.range.cidr,
        first=text(version, min(each.range.first for each in windows)),
        last=text(version, max(each.range.last for each in windows)),
        capacity=capacity.size,
        leased=len(leased),
        cooling=counts[COOLING],
        sticky=counts[STICKY],
        reserved=counts[RESERVED],
        elsewhere=len(elsewhere),
        free=capacity.size - len(taken) - len(elsewhere),
        outside=len(every - leased),
        oldest=min((each.created for each in own if each.created), default=0),
    )


def _member(pool: Pool) -> Callable[[Lease | Hold], bool]:
    """What tells whether a lease or hold is of the pool."""
    name, version, cidr = pool.network_name, pool.range.version, pool.range.cidr

    def is_of(each: Lease | Hold) -> bool:
        if each.network_name != name or each.version != version:
            return False
        is_part = pool.is_sliced and pool.range.in_network(each.version, each.address)
        return each.cidr == cidr or is_part

    return is_of


def _elsewhere(pool: Pool, found: Found) -> set[int]:
    is_of = _member(pool)
    return {
        each.address
        for each in found.both
        if (each.network_name, each.version) == (pool.network_name, pool.range.version)
        and not is_of(each)
    }


def _inside(spans: Sequence[Interval], addresses: Iterable[int]) -> set[int]:
    """Those that lie in one of the spans, which are sorted."""
    starts = [first for first, _ in spans]
    return {
        each
        for each in addresses
        if (at := bisect_right(starts, each)) and each <= spans[at - 1][1]
    }


def _intervals(version: int, intervals: Sequence[Interval]) -> IPSet:
    return IPSet(
        [IPRange(*(IPAddress(each, version) for each in interval)) for interval in intervals]
    )
