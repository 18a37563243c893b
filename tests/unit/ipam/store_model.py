"""Random histories of any store, beside a model that looks at every address.

All asks are unique ones: how stores treat others beside them is their own matter.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from cni.core.errors import CniError, Code
from cni.core.types import Attachment
from ipam.stores import (
    COOLING,
    FOR_EVER,
    RESERVED,
    STAYS_RESERVED,
    Ask,
    Hold,
    Lease,
    Owner,
    after_release,
    match,
)
from tests.unit.ipam.store_world import Clock, pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipam.stores import Store

RANGES = [
    pool("10.0.0.0/29"),
    pool("10.0.0.0/28", "10.0.0.4", "10.0.0.9", ("10.0.0.5", "10.0.0.8/31")),
    pool("10.0.0.0/28"),
    pool("fd00::/125"),
]
SPOTS = [(each, address) for each in RANGES for address in range(each.first, each.last + 1)]


class Taken(NamedTuple):
    lease: Lease
    slot: int
    cooldown: int
    sticky: int


Place = tuple[str, int, int]  #: network_name, version, address

owners = st.builds(
    lambda number, pod, ifname, network: Owner(
        Attachment(network, f"{pod}-{number}", ifname), "default" if pod else "", pod
    ),
    st.integers(0, 2),
    st.sampled_from(["", "web-0", "web-1", "db-0"]),
    st.sampled_from(["eth0", "eth0", "net1"]),
    st.sampled_from(["net-a", "net-a", "net-b"]),
)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    chosen = draw(st.sampled_from(RANGES))
    addresses = st.integers(chosen.first, chosen.last).filter(
        lambda address: chosen.offers(chosen.version, address)
    )
    return Ask(
        chosen,
        draw(st.sampled_from(["", "", "blue"])),
        wanted=draw(st.none() | st.none() | addresses),
        preferred=draw(st.none() | addresses),
        cooldown=draw(st.sampled_from([0, 0, 10])),
        sticky=draw(st.sampled_from([0, 0, 20, FOR_EVER])),
    )


class Model:
    """What is at each address, in the pool that put it there: nothing else can be there."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.places: dict[Place, Taken | Hold] = {}

    @property
    def now(self) -> int:
        return int(self.clock.now)

    def lease(self, owner: Owner, wanted: list[Ask]) -> list[int] | None:
        """The addresses, or None, and then nothing has changed but what has ended."""
        self._end_holds()
        before = dict(self.places)
        held = match(wanted, self.leases(owner.attachment))
        given = []
        for slot, (ask, mine) in enumerate(zip(wanted, held, strict=True)):
            address = mine.address if mine else self._choose(owner, ask)
            if address is None:
                self.places = before
                return None
            given.append(address)
            if mine is None:
                lease = Lease(
                    owner.attachment, ask.network_name, ask.range.cidr, ask.range.version, address,
                    owner.pod_namespace, owner.pod_name, created=self.now,
                )  # fmt: skip
                place = (ask.network_name, ask.range.version, address)
                was = self.places.get(place)
                is_reserved = was and _is_reserved(was)
                sticky = STAYS_RESERVED if is_reserved else ask.sticky
                self.places[place] = Taken(lease, slot, ask.cooldown, sticky)
        return given

    def leases(self, attachment: Attachment) -> list[Lease]:
        mine = [each for each in self._taken() if each.lease.attachment == attachment]
        mine.sort(key=lambda e: (e.slot, e.lease.network_name, e.lease.version, e.lease.address))
        return [each.lease for each in mine]

    def every(self) -> list[Lease]:
        return sorted((each.lease for each in self._taken()), key=_by_address)

    def holds(self) -> list[Hold]:
        holds = [each for each in self.places.values() if isinstance(each, Hold)]
        return sorted((each for each in holds if not 0 < each.until <= self.now), key=_by_address)

    def drop(self, doomed: Callable[[Lease], bool]) -> int:
        found = [each for each in self._taken() if doomed(each.lease)]
        for each in found:
            lease = each.lease
            place = (lease.network_name, lease.version, lease.address)
            del self.places[place]
            if kept := after_release(each.cooldown, each.sticky, self.now):
                where = (lease.network_name, lease.cidr, lease.version, lease.address)
                ifname = "" if kept[0] == RESERVED else lease.attachment.ifname
                self.places[place] = Hold(*where, kept[0], _holder(lease), ifname, kept[1])
        return len(found)

    def reserve(self, hold: Hold) -> bool:
        self._end_holds()
        place = (hold.network_name, hold.version, hold.address)
        there = self.places.get(place)
        if isinstance(there, Taken):
            if _holder(there.lease) == hold.holder:
                self.places[place] = there._replace(sticky=STAYS_RESERVED)
            return _holder(there.lease) == hold.holder
        if there and there.kind != COOLING and there.holder != hold.holder:
            return False
        self.places[place] = hold
        return True

    def unreserve(self, place: Place) -> bool:
        self._end_holds()
        there = self.places.get(place)
        if isinstance(there, Taken) and _is_reserved(there):
            self.places[place] = there._replace(sticky=0)
            return True
        if isinstance(there, Hold):
            del self.places[place]
            return True
        return False

    def _end_holds(self) -> None:
        for place, each in list(self.places.items()):
            if isinstance(each, Hold) and 0 < each.until <= self.now:
                del self.places[place]

    def _taken(self) -> list[Taken]:
        return [each for each in self.places.values() if isinstance(each, Taken)]

    def _choose(self, owner: Owner, ask: Ask) -> int | None:
        name, version = ask.network_name, ask.range.version
        there = {
            address: self.places.get((name, version, address))
            for address in range(ask.range.first, ask.range.last + 1)
            if ask.range.offers(version, address)
        }
        if ask.wanted is not None:
            found = there[ask.wanted]
            is_mine = isinstance(found, Hold) and (found.kind == COOLING or found.is_for(owner))
            return ask.wanted if found is None or is_mine else None
        own = {
            address: each
            for address, each in there.items()
            if each and _cidr(each) == ask.range.cidr
        }
        if ask.sticky and owner.pod_name:
            for address, taken in own.items():
                if isinstance(taken, Taken) and self._is_former(taken.lease, owner):
                    return address
        holds = {address: each for address, each in own.items() if isinstance(each, Hold)}
        waiting = [
            (each.kind == COOLING, each.kind, address)
            for address, each in holds.items()
            if each.is_for(owner)
        ]
        if waiting:
            return min(waiting)[2]
        if ask.preferred is not None and there[ask.preferred] is None:
            return ask.preferred
        for address, found in there.items():
            if found is None:
                return address
        resting = [(each.until, address) for address, each in holds.items() if each.kind == COOLING]
        return min(resting)[1] if resting else None

    @staticmethod
    def _is_former(lease: Lease, owner: Owner) -> bool:
        other = lease.attachment
        return (
            (lease.pod_namespace, lease.pod_name) == (owner.pod_namespace, owner.pod_name)
            and other != owner.attachment
            and other._replace(container_id=owner.attachment.container_id) == owner.attachment
        )


class Histories(RuleBasedStateMachine):
    def __init__(self, fresh: Callable[[], Store]) -> None:
        super().__init__()
        self.clock = Clock()
        self.patch = mock.patch.object(time, "time", self.clock)
        self.patch.start()
        self.store = fresh()
        self.model = Model(self.clock)
        self.before: list[tuple[Owner, list[Ask]]] = []

    def teardown(self) -> None:
        self.patch.stop()

    @rule(owner=owners, wanted=st.lists(asks(), min_size=1, max_size=2))
    def lease(self, owner: Owner, wanted: list[Ask]) -> None:
        expected = self.model.lease(owner, wanted)
        try:
            given = self.store.lease(owner, wanted)
        except CniError as error:
            assert error.code == Code.RANGE_EXHAUSTED
            given = None
        assert given == expected
        self.before.append((owner, wanted))

    @rule(index=st.integers(0, 10), other=owners)
    def lease_again(self, index: int, other: Owner) -> None:
        """By the same, or by the next container of its pod."""
        if self.before:
            owner, wanted = self.before[-1 - index % len(self.before)]
            self.lease(owner, wanted)
            attachment = owner.attachment._replace(container_id=other.attachment.container_id)
            self.lease(owner._replace(attachment=attachment), wanted)

    @rule(owner=owners)
    def release(self, owner: Owner) -> None:
        expected = self.model.drop(lambda each: each.attachment == owner.attachment)
        assert self.store.release(owner.attachment) == expected

    @rule(network=st.sampled_from(["net-a", "net-b"]), valid=st.sets(owners, max_size=6))
    def keep_only(self, network: str, valid: set[Owner]) -> None:
        kept = {each.attachment[1:] for each in valid}
        expected = self.model.drop(
            lambda each: each.attachment.network == network and each.attachment[1:] not in kept
        )
        assert self.store.keep_only(network, kept) == expected

    @rule(index=st.integers(0, 30))
    def drop(self, index: int) -> None:
        leases = self.model.every()
        if leases:
            lease = leases[index % len(leases)]
            self.model.drop(lambda each: each == lease)
            assert self.store.drop(lease) is True

    @rule(seconds=st.sampled_from([1, 5, 10, 20]))
    def wait(self, seconds: int) -> None:
        self.clock.pass_by(seconds)

    @rule(
        spot=st.sampled_from(SPOTS),
        pod=st.sampled_from(["web-0", "web-1", "db-0"]),
        ifname=st.sampled_from(["", "eth0"]),
    )
    def reserve(self, spot: tuple[object, int], pod: str, ifname: str) -> None:
        wanted, address = next(each for each in SPOTS if each == spot)
        hold = Hold("", wanted.cidr, wanted.version, address, RESERVED, f"default/{pod}", ifname)
        try:
            self.store.reserve(hold)
            is_reserved = True
        except CniError as error:
            assert error.code == Code.RANGE_EXHAUSTED
            is_reserved = False
        assert is_reserved == self.model.reserve(hold)

    @rule(spot=st.sampled_from(SPOTS))
    def unreserve(self, spot: tuple[object, int]) -> None:
        wanted, address = next(each for each in SPOTS if each == spot)
        place = ("", wanted.version, address)
        assert self.store.unreserve(*place) is self.model.unreserve(place)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert self.store.every() == self.model.every()
        assert self.store.holds() == self.model.holds()
        for attachment in {each.attachment for each in self.model.every()}:
            assert self.store.leases(attachment) == self.model.leases(attachment)


def compare_with_model(fresh: Callable[[], Store], examples: int = 25, steps: int = 25) -> None:
    """`fresh` opens a store in which nothing is leased; once for each history."""
    run_state_machine_as_test(
        lambda: Histories(fresh),  # type: ignore[arg-type]  # it takes any factory
        settings=settings(
            derandomize=True,  # a server's timing is random enough
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def _by_address(each: Lease | Hold) -> tuple[str, int, int]:
    return each.network_name, each.version, each.address


def _cidr(each: Taken | Hold) -> str:
    return each.cidr if isinstance(each, Hold) else each.lease.cidr


def _is_reserved(each: Taken | Hold) -> bool:
    """As a hold, or as the lease that it has become."""
    if isinstance(each, Hold):
        return each.kind == RESERVED
    return each.sticky == STAYS_RESERVED


def _holder(lease: Lease) -> str:
    return Owner(lease.attachment, lease.pod_namespace, lease.pod_name).holder
