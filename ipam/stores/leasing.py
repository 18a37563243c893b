"""One lease call at the cluster's pools: addresses claimed one after the other, or given back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from cni.core import log, signals
from cni.core.errors import CniError, Code
from cni.core.types import Attachment
from cni.kube.failures import ApiError
from ipam.stores import COOLING, Owner, taken
from ipam.stores.choice import Choice, choose
from ipam.stores.objects import Change
from ipam.stores.places import place
from ipam.stores.pool import (
    Allocation,
    Pool,
    Reservation,
    hold_of,
    is_over,
    podref,
    reservation_name,
    reserved_address,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipam.stores import Ask, Hold
    from ipam.stores.journal import Place
    from ipam.stores.objects import Objects
    from ipam.stores.pool import Key

_ROUNDS = 200  #: of a claim that others are faster than
_ONE_BY_ONE = 8  #: addresses that other pools have, before they are asked for all they have
_SPREAD = 16  #: lowest free addresses to choose among after a collision; doubled with each
_WIDEST = 128
_PAUSE, _LONGEST_PAUSE = 0.005, 0.1  #: seconds at most before the pool is read again; doubled
_SWEPT = 16  #: holds that have run out, cleared beside a claim
_SWEPT_KEPT = 2  #: of them, those with a reservation: two requests each
_LARGE = 4000  #: allocations of a pool from which on a warning says so


class _Made(NamedTuple):
    """A change of a pool, perhaps made; and what its address was reserved for before."""

    key: Key
    change: Change
    name: str = ""  #: of the reservation; empty: none was touched
    before: Reservation | None = None


class Leasing:
    """The claims of one call. After an exception `undo` tells whether nothing is left of them."""

    def __init__(
        self,
        objects: Objects,
        owner: Owner,
        asks: Sequence[tuple[Key, Ask]],
        write: Callable[[Sequence[Place]], None],
        is_anothers: Callable[[str, int], bool],
    ) -> None:
        """`asks` are all of the call, each with its pool.

        `write` notes durably what would be lost when the process died behind it.

        `is_anothers` tells whether another attachment of this node has (pool, address).
        """
        self._objects = objects
        self._owner = owner
        self._asks = asks
        self._write = write
        self._written: list[Place] = []
        self._is_anothers = is_anothers
        self._pools: dict[str, Pool] = {}
        self._made: list[_Made] = []
        self.touched: list[Place] = []  #: whatever was reserved, or was about to be
        _, container_id, ifname = owner.attachment
        self._mine = Allocation(container_id, podref(owner), ifname)

    def pool(self, key: Key) -> Pool:
        """As this call has seen it last; made if there is none."""
        while key.name not in self._pools:
            found = self._objects.pool(key) or self._objects.make_pool(key)
            if found is not None:
                self._pools[key.name] = found
        return self._pools[key.name]

    def claim(self, key: Key, ask: Ask, slot: int, own: list[Place]) -> Place:
        """An address for an ask whose range is that of the pool; `own` has what it has already.

        Raises CniError 100 when there is none, 11 when others were always faster.
        """
        denied: dict[int, CniError] = {}
        if ask.unique:
            denied = self._elsewhere(key, ask, own)
        used = {each.address for each in own if each.extra["pool"] == key.name} - {None}
        beside = [each.range for where, each in self._asks if where == key]
        collisions = refusals = 0
        while collisions < _ROUNDS:
            pool, now = self.pool(key), int(time.time())
            choice = choose(
                pool, self._owner, ask, now=now, used=used,  # type: ignore[arg-type]
                denied=denied, beside=beside, spread=_spread(collisions),
            )  # fmt: skip
            address = choice.address
            if choice.is_own and self._is_anothers(key.name, address):
                denied[address] = taken(ask, ask.range.text(address), self._owner.attachment)
                continue
            name, before = "", None
            if ask.unique:
                name = reservation_name(ask.network_name, ask.range.version, address)
                before = self._objects.reservation(name)
                if before is not None and not self._may_take(before, key, address, now):
                    denied[address] = _reserved(ask, address, before)
                    self._leave(key, choice)
                    refusals += 1
                    if refusals == _ONE_BY_ONE:
                        denied |= self._reserved_by_others(key, ask, now)
                    continue
            was, held = _replaced(pool, choice, before, now)
            new = place(key, ask, slot, address, was=was, held=held)
            swept = [] if collisions else self._sweep(pool, address, now)
            if not self._take(pool, new, choice, swept):
                collisions += 1
                _pause(collisions)
                continue
            got = None
            if ask.unique:
                self.touched.append(new)
                self._made[-1] = self._made[-1]._replace(name=name, before=before)
                got = self._reserve(name, before, key, address, now)
                if got is None:
                    denied[address] = _reserved(ask, address, before)
                    self._take_back(self._made[-1]._replace(name=""))
                    self._made.pop()
                    del self._pools[key.name]
                    continue
            return place(key, ask, slot, address, got, held=held)
        raise CniError(
            Code.TRY_AGAIN_LATER, f"no address of IPPool {key.name}: others were always faster"
        )

    def is_certain(self, error: BaseException) -> bool:
        """Whether the server cannot do later what it has not said to have done."""
        if isinstance(error, ApiError):
            # whatever it says: an earlier try of the same change may still be waiting
            return not self._made
        return isinstance(error, CniError) and error.code != Code.TRY_AGAIN_LATER

    def undo(self) -> bool:
        """Give back what this call has claimed; False when something of it may be left."""
        with signals.blocked():
            try:
                while self._made:
                    self._take_back(self._made[-1])
                    self._made.pop()
            except CniError as error:
                log.warning("addresses not given back yet: a later call will", reason=error)
                return False
        return True

    def _take(self, pool: Pool, new: Place, choice: Choice, swept: list[Change]) -> bool:
        """Write the choice into the pool; False when another was faster."""
        key, address = pool.key, choice.address
        if new.extra["was"] or new.extra["held"]:
            self._written.append(new._replace(extra={**new.extra, "is_new": True}))
            self._write(self._written)
        change = Change(address, choice.found, self._mine)
        self._made.append(_Made(key, change))
        if choice.found == self._mine:  # by a call of which we know nothing
            return True
        changed = self._objects.change(key, [change, *swept])
        if changed is None:
            del self._pools[key.name]
            # an answer may have been lost, and the change been made
            if self.pool(key).allocations.get(address) == self._mine:
                return True
            self._made.pop()
            return False
        self._pools[key.name] = changed
        if len(changed.allocations) >= _LARGE:
            log.warning(
                "a pool is large: every writer is slow, and it will be full soon; node slices or "
                "smaller ranges are faster",
                pool=key.name,
                allocations=len(changed.allocations),
            )
        return True

    def _sweep(self, pool: Pool, address: int, now: int) -> list[Change]:
        """Holds that have run out: whoever leases in a pool clears some of them."""
        over = [
            each
            for each in pool.holds()
            if is_over(each, now) and each.address != address and each.address in pool.allocations
        ]
        resting = [each for each in over if each.kind == COOLING][:_SWEPT]
        kept = [each for each in over if each.kind != COOLING][:_SWEPT_KEPT]
        try:
            for hold in kept:
                self._drop_reservation(pool, hold)
        except CniError as error:
            log.debug("holds that have run out are not cleared", reason=error)
            kept = []
        found = ((each.address, pool.allocations[each.address]) for each in (*resting, *kept))
        return [Change(*each, None) for each in found]

    def _drop_reservation(self, pool: Pool, hold: Hold) -> None:
        """First of the two: the pool's allocation is what tells a later call of both."""
        name = reservation_name(hold.network_name, hold.version, hold.address)
        found = self._objects.reservation(name)
        if found is not None and found.containerid == pool.allocations[hold.address].id:
            self._objects.drop_reservation(name, found)

    def _reserved_by_others(self, key: Key, ask: Ask, now: int) -> dict[int, CniError]:
        """All that is reserved for others; nothing where they cannot be listed."""
        try:
            every = self._objects.reservations()
        except ApiError as error:
            log.warning("reservations cannot be listed: one by one is slow", reason=error)
            return {}
        version = ask.range.version
        found = ((reserved_address(ask.network_name, version, name), each) for name, each in every)
        return {
            address: _reserved(ask, address, each)
            for address, each in found
            if address is not None
            and ask.range.offers(version, address)
            and not self._may_take(each, key, address, now)
        }

    def _reserve(
        self, name: str, found: Reservation | None, key: Key, address: int, now: int
    ) -> Reservation | None:
        """Make the reservation ours; None when it is another's."""
        wanted = Reservation(self._mine.podref, self._mine.ifname, self._mine.id, "", "")
        for _ in range(_ROUNDS):
            if found is None:
                got = self._objects.make_reservation(name, wanted)
            elif found.containerid == wanted.containerid and found.ifname == wanted.ifname:
                got = found
            elif self._may_take(found, key, address, now):
                got = self._objects.change_reservation(name, found, wanted)
            else:
                return None
            if got is not None:
                return got
            found = self._objects.reservation(name)
        return None

    def _may_take(self, found: Reservation, key: Key, address: int, now: int) -> bool:
        hold = hold_of(key, address, found)
        if hold is not None:
            return is_over(hold, now) or hold.is_for(self._owner)
        if found.containerid == self._mine.id:
            return found.ifname == self._mine.ifname
        return found.podref == self._mine.podref != "" and found.ifname in ("", self._mine.ifname)

    def _elsewhere(self, key: Key, ask: Ask, own: list[Place]) -> dict[int, CniError]:
        """What the attachment itself has of other pools, whose reservations it could take."""
        return {
            each.address: taken(ask, ask.range.text(each.address), self._owner.attachment)
            for each in own
            if each.address is not None
            and each.extra["pool"] != key.name
            and (each.network_name, each.version) == (ask.network_name, ask.range.version)
        }

    def _leave(self, key: Key, choice: Choice) -> None:
        """Nobody is to have what another pool has too: the original does not take it back."""
        if choice.found is not None and choice.found == self._mine:
            self._objects.change(key, [Change(choice.address, choice.found, None)])
            del self._pools[key.name]

    def _take_back(self, made: _Made) -> None:
        """First the reservation: the pool's allocation is what tells a later call of both."""
        if made.name:
            found = self._objects.reservation(made.name)
            while found is not None and found.containerid == self._mine.id:
                if made.before is None:
                    if self._objects.drop_reservation(made.name, found):
                        break
                elif made.before.containerid == self._mine.id or (
                    self._objects.change_reservation(made.name, found, made.before)
                ):
                    break
                found = self._objects.reservation(made.name)
        before = made.change.found
        if before == self._mine:
            return
        back = Change(made.change.address, self._mine, before)
        while self._objects.change(made.key, [back]) is None:
            pool = self._objects.pool(made.key)
            found_now = pool.allocations.get(back.address) if pool else None
            if found_now != self._mine:
                return


def _spread(collisions: int) -> int:
    return min(_SPREAD << (collisions - 1), _WIDEST) if collisions else 1


def _pause(collisions: int) -> None:
    import random  # 1 ms that the first try does not pay

    longest = min(_PAUSE * 2**collisions, _LONGEST_PAUSE)
    signals.sleep(random.uniform(0, longest))  # noqa: S311 (no secret)


def _replaced(pool: Pool, choice: Choice, before: Reservation | None, now: int) -> tuple[str, str]:
    """The ids of the holds that a choice replaces, of this pool and of another.

    Empty for none, and for one that is not to come back.
    """
    hold = pool.hold(choice.address)
    if hold is not None:
        is_kept = hold.kind != COOLING and choice.found is not None
        return choice.found.id if is_kept and choice.found else "", ""
    elsewhere = hold_of(pool.key, choice.address, before) if before else None
    is_kept = elsewhere is not None and not is_over(elsewhere, now)
    return "", before.containerid if is_kept and before else ""


def _reserved(ask: Ask, address: int, found: Reservation | None) -> CniError:
    holder = Attachment("", "", "") if found is None else _holder(found)
    return taken(ask, ask.range.text(address), holder)


def _holder(found: Reservation) -> Attachment:
    return Attachment("", found.containerid or found.podref, found.ifname)
