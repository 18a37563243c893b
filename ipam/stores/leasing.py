"""One lease call at the cluster's pools: addresses claimed one after the other, or given back."""

from __future__ import annotations

import random
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
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipam.stores import Ask
    from ipam.stores.journal import Place
    from ipam.stores.objects import Objects
    from ipam.stores.pool import Key

_ROUNDS = 200  #: of choosing an address that turns out to be another's
_SPREAD = 16  #: lowest free addresses to choose among after a collision; doubled with each
_WIDEST = 128
_PAUSE, _LONGEST_PAUSE = 0.005, 0.1  #: seconds at most before the pool is read again; doubled
_SWEPT = 16  #: holds that have run out, cleared beside a claim
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
        write: Callable[[Place], None],
        is_anothers: Callable[[str, int], bool],
    ) -> None:
        """`write` notes durably what would be lost when the process died behind it.

        `is_anothers` tells whether another attachment of this node has (pool, address).
        """
        self._objects = objects
        self._owner = owner
        self._write = write
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
        collisions = 0
        for _ in range(_ROUNDS):
            pool, now = self.pool(key), int(time.time())
            choice = choose(
                pool, self._owner, ask, now=now, used=used,  # type: ignore[arg-type]
                denied=denied, spread=_spread(collisions),
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
                    continue
            if not self._take(pool, ask, slot, choice, now):
                collisions += 1
                _pause(collisions)
                continue
            got = None
            if ask.unique:
                self.touched.append(place(key, ask, slot, address, was=_was(pool, choice)))
                self._made[-1] = self._made[-1]._replace(name=name, before=before)
                got = self._reserve(name, before, key, address, now)
                if got is None:
                    denied[address] = _reserved(ask, address, before)
                    self._take_back(self._made[-1]._replace(name=""))
                    self._made.pop()
                    del self._pools[key.name]
                    continue
            return place(key, ask, slot, address, got)
        raise CniError(
            Code.TRY_AGAIN_LATER, f"no address of IPPool {key.name}: others were always faster"
        )

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

    def _take(self, pool: Pool, ask: Ask, slot: int, choice: Choice, now: int) -> bool:
        """Write the choice into the pool; False when another was faster."""
        key, address = pool.key, choice.address
        if was := _was(pool, choice):
            self._write(place(key, ask, slot, address, was=was, is_new=True))
        change = Change(address, choice.found, self._mine)
        self._made.append(_Made(key, change))
        if choice.found == self._mine:  # by a call of which we know nothing
            return True
        changed = self._objects.change(key, [change, *_sweep(pool, address, now)])
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


def is_certain(error: BaseException) -> bool:
    """Whether the server cannot do later what it has not said to have done."""
    if isinstance(error, ApiError):
        # 408 and 429: it was not this try that was late, an earlier one may still be waiting
        return 400 <= error.status < 500 and error.status not in (408, 429)
    return isinstance(error, CniError) and error.code != Code.TRY_AGAIN_LATER


def _spread(collisions: int) -> int:
    return min(_SPREAD << (collisions - 1), _WIDEST) if collisions else 1


def _pause(collisions: int) -> None:
    longest = min(_PAUSE * 2**collisions, _LONGEST_PAUSE)
    signals.sleep(random.uniform(0, longest))  # noqa: S311 (no secret)


def _sweep(pool: Pool, address: int, now: int) -> list[Change]:
    """Holds that have run out: whoever leases in a pool clears some of them."""
    over = [each.address for each in pool.holds() if is_over(each, now)]
    found = [each for each in over if each != address and each in pool.allocations]
    return [Change(each, pool.allocations[each], None) for each in found[:_SWEPT]]


def _was(pool: Pool, choice: Choice) -> str:
    """The id of the hold that a choice replaces, if it is to come back; else empty."""
    hold = pool.hold(choice.address)
    is_kept = hold is not None and hold.kind != COOLING and choice.found is not None
    return choice.found.id if is_kept and choice.found else ""


def _reserved(ask: Ask, address: int, found: Reservation | None) -> CniError:
    holder = Attachment("", "", "") if found is None else _holder(found)
    return taken(ask, ask.range.text(address), holder)


def _holder(found: Reservation) -> Attachment:
    return Attachment("", found.containerid or found.podref, found.ifname)
