"""The file store against a model that tries every address, over random histories.

The ranges overlap, share pools with different windows and excludes, and are asked for with and
without looking at other pools: whatever happened before, both must give the same addresses.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from cni.core.errors import CniError, Code
from cni.core.types import Attachment
from ipam.bounds import RangeText, read
from ipam.stores import Ask, Lease, Owner
from ipam.stores.file import FileStore
from tests.unit.ipam import ledger_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipam.ranges import Range

# 10.0.0.0/27 by every kind of window, two pools inside it, and the same in IPv6
TEXTS: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("10.0.0.0/27", "", "", ()),
    ("10.0.0.0/27", "10.0.0.4", "10.0.0.6", ()),
    ("10.0.0.0/27", "10.0.0.8", "10.0.0.20", ("10.0.0.10/31", "10.0.0.13")),
    ("10.0.0.0/27", "", "", ("10.0.0.0/29", "10.0.0.16/30", "10.0.0.20/30")),
    ("10.0.0.0/28", "", "", ()),
    ("10.0.0.8/29", "", "", ("10.0.0.9",)),
    ("fd00::/124", "", "", ()),
    ("fd00::8/125", "fd00::a", "", ("fd00::b",)),
    ("::a00:0/125", "", "", ()),  # the IPv6 addresses that have the numbers of 10.0.0.0/29
]
RANGES = [read(RangeText("r", *text)) for text in TEXTS]

ranges = st.sampled_from(RANGES)
attachments = st.builds(
    Attachment,
    st.sampled_from(["net-a", "net-b"]),
    st.sampled_from([f"c{i}" for i in range(6)]),
    st.sampled_from(["eth0", "net1"]),
)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    chosen = draw(ranges)
    wanted = st.none() | st.integers(chosen.first, chosen.last).filter(
        lambda address: chosen.offers(chosen.version, address)
    )
    return Ask(
        chosen,
        network_name=draw(st.sampled_from(["", "", "blue"])),
        unique=draw(st.booleans()),
        wanted=draw(wanted),
    )


class Model:
    """The obvious way: a list of leases, and a look at every address."""

    def __init__(self) -> None:
        self.leases: list[tuple[Lease, int]] = []

    def lease(self, attachment: Attachment, wanted: list[Ask]) -> list[int] | None:
        """The addresses, or None, and then nothing has changed."""
        before = list(self.leases)
        held = self.held(attachment)
        given = []
        for slot, ask in enumerate(wanted):
            mine = next((lease for lease in held if self._fits(lease, ask)), None)
            if mine is not None:
                held.remove(mine)
                given.append(mine.address)
                continue
            address = self._lowest(ask)
            if address is None:
                self.leases = before
                return None
            pool = (ask.network_name, ask.range.cidr, ask.range.version)
            self.leases.append((Lease(attachment, *pool, address), slot))
            given.append(address)
        return given

    def held(self, attachment: Attachment) -> list[Lease]:
        mine = [(lease, slot) for lease, slot in self.leases if lease.attachment == attachment]
        mine.sort(key=lambda each: (each[1], each[0].network_name, _blob(each[0]), each[0].cidr))
        return [lease for lease, _ in mine]

    def drop(self, doomed: Callable[[Attachment], bool]) -> int:
        before = len(self.leases)
        self.leases = [each for each in self.leases if not doomed(each[0].attachment)]
        return before - len(self.leases)

    def _fits(self, lease: Lease, ask: Ask) -> bool:
        return (
            (lease.network_name, lease.cidr) == (ask.network_name, ask.range.cidr)
            and lease.address in _candidates(ask.range)
            and ask.wanted in (None, lease.address)
        )

    def _lowest(self, ask: Ask) -> int | None:
        taken = {
            lease.address
            for lease, _ in self.leases
            if lease.network_name == ask.network_name
            and lease.version == ask.range.version
            and (ask.unique or lease.cidr == ask.range.cidr)
        }
        candidates = _candidates(ask.range) if ask.wanted is None else [ask.wanted]
        return next((address for address in candidates if address not in taken), None)


def _candidates(each: Range) -> list[int]:
    return [
        address
        for address in range(each.first, each.last + 1)
        if not any(first <= address <= last for first, last in each.exclude)
    ]


def _blob(lease: Lease) -> bytes:
    return lease.address.to_bytes(4 if lease.version == 4 else 16)


class Histories(RuleBasedStateMachine):
    seen = Bundle("seen")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.store = FileStore(self.directory.name)
        self.database = Path(self.directory.name) / "plait" / "leases.db"
        self.model = Model()

    def teardown(self) -> None:
        self.directory.cleanup()

    @rule(attachment=attachments, wanted=st.lists(asks(), min_size=1, max_size=3), target=seen)
    def lease(self, attachment: Attachment, wanted: list[Ask]) -> tuple[Attachment, list[Ask]]:
        expected = self.model.lease(attachment, wanted)
        try:
            given = self.store.lease(Owner(attachment), wanted)
        except CniError as error:
            assert error.code == Code.RANGE_EXHAUSTED
            given = None
        assert given == expected
        return attachment, wanted

    @rule(before=seen)
    def lease_again(self, before: tuple[Attachment, list[Ask]]) -> None:
        self.lease(*before)

    @rule(attachment=attachments)
    def release(self, attachment: Attachment) -> None:
        expected = self.model.drop(lambda each: each == attachment)
        assert self.store.release(attachment) == expected

    @rule(network=st.sampled_from(["net-a", "net-b"]), valid=st.sets(attachments, max_size=8))
    def collect(self, network: str, valid: set[Attachment]) -> None:
        kept = {(each.container_id, each.ifname) for each in valid}
        expected = self.model.drop(
            lambda each: each.network == network and (each.container_id, each.ifname) not in kept
        )
        assert self.store.keep_only(network, kept) == expected

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        for attachment in {lease.attachment for lease, _ in self.model.leases}:
            found = [each._replace(created=0) for each in self.store.leases(attachment)]
            assert found == self.model.held(attachment)

    @invariant()
    def agrees_with_itself(self) -> None:
        if self.database.exists():
            ledger_state.check(self.database)
            assert len(ledger_state.leases(self.database)) == len(self.model.leases)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
