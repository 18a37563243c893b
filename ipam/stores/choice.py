"""Which address of a pool an ask is to get. Pure: nothing is asked or written here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core.types import Attachment
from ipam.ranges import first_free, merge
from ipam.stores import COOLING, exhausted, held, taken, withheld
from ipam.stores.pool import is_over, podref

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from cni.core.errors import CniError
    from ipam.ranges import Range
    from ipam.stores import Ask, Hold, Owner
    from ipam.stores.pool import Allocation, Pool


class Choice(NamedTuple):
    """An address, and what the pool has there: what a change of it tests."""

    address: int
    found: Allocation | None
    is_own: bool = False  #: the attachment's, or its pod's under an earlier container


def choose(
    pool: Pool,
    owner: Owner,
    ask: Ask,
    *,
    now: int,
    spread: int = 1,
    used: Collection[int] = (),
    denied: dict[int, CniError] | None = None,
    beside: Sequence[Range] = (),
) -> Choice:
    """The address for an ask, see Store.lease; `ask.range` has the pool's network.

    Of the free ones any of the lowest `spread`: who collides then will not do so again. `used` is
    what the attachment has for another ask; `denied` what another pool has; `beside` the
    ranges of the attachment's other asks of the pool. Raises CniError 100.
    """
    denied = denied or {}
    picks = _Picks(pool, owner, ask, now)
    for address in picks.own():
        if address not in used and address not in denied:
            return Choice(address, pool.allocations[address], is_own=True)
    if ask.wanted is not None:
        return picks.claim(ask.wanted, denied)
    for address in picks.waiting():
        if address not in denied:
            return Choice(address, pool.allocations.get(address))
    if ask.strict and (missed := picks.missed(denied, beside)) is not None:
        raise missed
    if (preferred := picks.preferred(denied)) is not None:
        return picks.claim(preferred, denied)
    free = picks.lowest_free(spread, denied)
    if free:
        address = free[0] if len(free) == 1 else _any_of(free)
        return Choice(address, pool.allocations.get(address))
    for address in picks.resting():
        if address not in denied:
            return Choice(address, pool.allocations.get(address))
    full = exhausted(ask.range)
    if elsewhere := sum(ask.range.offers(ask.range.version, each) for each in denied):
        full.details = f"{elsewhere} of its addresses are reserved by other pools"
    raise full


class _Picks:
    """What a pool has for one ask."""

    def __init__(self, pool: Pool, owner: Owner, ask: Ask, now: int) -> None:
        self._pool = pool
        self._owner = owner
        self._ask = ask
        self._now = now

    def own(self) -> Iterator[int]:
        """What is leased to the attachment, or to its pod and interface, and answers the ask."""
        _, container_id, ifname = self._owner.attachment
        pod = podref(self._owner)
        for address, each in sorted(self._pool.allocations.items()):
            is_own = each.id == container_id or (pod != "" and each.podref == pod)
            if is_own and each.ifname == ifname and self._offers(address):
                yield address

    def waiting(self) -> list[int]:
        """What is held for the pod: a reservation first, what rests last."""
        found = [each for each in self._kept() if self._offers(each.address)]
        found.sort(key=lambda each: (each.kind == COOLING, each.kind, each.address))
        return [each.address for each in found]

    def missed(self, denied: dict[int, CniError], beside: Sequence[Range]) -> CniError | None:
        """Why the pod cannot have what is held for it; None when nothing is but what rests."""
        version = self._ask.range.version
        for hold in self._kept():
            if hold.kind == COOLING:
                continue
            if self._offers(hold.address):
                return denied.get(hold.address)
            if not any(each.offers(version, hold.address) for each in beside):
                return withheld(self._ask, version, hold.address, hold.kind)
        return None

    def _kept(self) -> list[Hold]:
        """The holds for the pod."""
        return [
            each
            for each in self._pool.holds()
            if each.is_for(self._owner) and not is_over(each, self._now)
        ]

    def resting(self) -> list[int]:
        """What only rests, that which has for the longest time first."""
        found = [
            each
            for each in self._pool.holds()
            if each.kind == COOLING and self._offers(each.address)
        ]
        return [each.address for each in sorted(found, key=lambda each: each.until)]

    def is_free(self, address: int) -> bool:
        hold = self._pool.hold(address)
        return is_over(hold, self._now) if hold else address not in self._pool.allocations

    def lowest_free(self, count: int, denied: Collection[int]) -> list[int]:
        """The lowest addresses that nothing is known about, as many as there are."""
        known = {*self._pool.allocations, *self._pool.reserved}
        taken = [each for each in known if not self.is_free(each)]
        without = [(each, each) for each in (*taken, *denied)]
        left = self._ask.range._replace(exclude=merge([*self._ask.range.exclude, *without]))
        found: list[int] = []
        while len(found) < count and (address := first_free(left, _nobody)) is not None:
            found.append(address)
            left = left._replace(first=address + 1)
        return found

    def claim(self, address: int, denied: dict[int, CniError]) -> Choice:
        """Raises CniError 100 when the address is another's, or waits for another."""
        ask, text = self._ask, self._ask.range.text(address)
        found, hold = self._pool.allocations.get(address), self._pool.hold(address)
        if found is not None and hold is None:
            raise taken(ask, text, Attachment("", found.id, found.ifname))
        if hold is not None and not self._may_take(hold):
            raise held(ask, text, hold)
        if address in denied:
            raise denied[address]
        return Choice(address, found)

    def preferred(self, denied: Collection[int]) -> int | None:
        """The preferred address if it is to be tried: when strict, whatever it is."""
        ask = self._ask
        if ask.preferred is None or not self._offers(ask.preferred):
            return None
        is_free = self.is_free(ask.preferred) and ask.preferred not in denied
        return ask.preferred if ask.strict or is_free else None

    def _may_take(self, hold: Hold) -> bool:
        return hold.kind == COOLING or is_over(hold, self._now) or hold.is_for(self._owner)

    def _offers(self, address: int) -> bool:
        wanted: Range = self._ask.range
        return self._ask.wanted in (None, address) and wanted.offers(wanted.version, address)


def _any_of(addresses: Sequence[int]) -> int:
    import random  # 1 ms that the first try does not pay

    return random.choice(addresses)  # noqa: S311 (no secret)


_nobody: Callable[[int], None] = lambda address: None  # noqa: E731
