"""The cluster's store against a model that tries every address, over random histories of two nodes.

As for the file store, but that a network_name has either unique pools or others: a pool that is not
has no reservations that unique ones would see.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from cni.core.errors import CniError, Code
from cni.core.types import Attachment
from ipam.bounds import RangeText, read
from ipam.stores import Ask, Owner
from tests.apiserver.server import ApiServer
from tests.apiserver.store import Store as Objects
from tests.unit.ipam.pools import Cluster
from tests.unit.ipam.test_file_store_model import TEXTS, Model

RANGES = [read(RangeText("r", *text)) for text in TEXTS if not text[0].startswith("::")]
NODES = ("node1", "node2")
FAULTS = [None, None, {"kind": "lost-answer"}, {"kind": "cut"}, {"status": 500}]

#: a container has an interface of a name once, whatever the network: a pool knows no networks
attachments = st.builds(
    lambda network, number, ifname: Attachment(network, f"{network}-{number}", ifname),
    st.sampled_from(["net-a", "net-b"]),
    st.integers(0, 5),
    st.sampled_from(["eth0", "net1"]),
)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    chosen = draw(st.sampled_from(RANGES))
    wanted = st.none() | st.integers(chosen.first, chosen.last).filter(
        lambda address: chosen.offers(chosen.version, address)
    )
    name = draw(st.sampled_from(["", "", "blue"]))
    return Ask(chosen, network_name=name, unique=not name, wanted=draw(wanted))


def node_of(attachment: Attachment) -> str:
    return NODES[int(attachment.container_id[-1]) % 2]


@cache
def server() -> ApiServer:
    """One for all histories, to the end of the process."""
    started = ApiServer(Path(tempfile.mkdtemp()))
    started.start()
    return started


class Histories(RuleBasedStateMachine):
    seen = Bundle("seen")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        path = Path(self.directory.name)
        self.api = server()
        self.api.world.store = Objects()
        self.api.clear()
        self.api.kubeconfig(path / "kubeconfig", form="json")
        self.cluster = Cluster(self.api, path)
        self.stores = {node: self.cluster.store(node) for node in NODES}
        self.model = Model()

    def teardown(self) -> None:
        self.api.heal()
        self.directory.cleanup()

    @rule(
        attachment=attachments,
        wanted=st.lists(asks(), min_size=1, max_size=3),
        fault=st.sampled_from(FAULTS),
        target=seen,
    )
    def lease(
        self, attachment: Attachment, wanted: list[Ask], fault: dict[str, str] | None
    ) -> tuple[Attachment, list[Ask]]:
        """One answer is lost at times, which changes nothing."""
        if fault is not None:
            self.api.fail(1, **fault)  # type: ignore[arg-type]
        expected = self.model.lease(attachment, wanted)
        try:
            given = self.stores[node_of(attachment)].lease(Owner(attachment), wanted)
        except CniError as error:
            assert error.code == Code.RANGE_EXHAUSTED, error
            given = None
        self.api.heal()
        assert given == expected
        return attachment, wanted

    @rule(before=seen)
    def lease_again(self, before: tuple[Attachment, list[Ask]]) -> None:
        self.lease(*before, None)

    @rule(attachment=attachments)
    def release(self, attachment: Attachment) -> None:
        expected = self.model.drop(lambda each: each == attachment)
        assert self.stores[node_of(attachment)].release(attachment) == expected

    @rule(network=st.sampled_from(["net-a", "net-b"]), valid=st.sets(attachments, max_size=8))
    def collect(self, network: str, valid: set[Attachment]) -> None:
        kept = {(each.container_id, each.ifname) for each in valid}
        expected = self.model.drop(
            lambda each: each.network == network and (each.container_id, each.ifname) not in kept
        )
        assert sum(each.keep_only(network, kept) for each in self.stores.values()) == expected

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        for attachment in {lease.attachment for lease, _ in self.model.leases}:
            store = self.stores[node_of(attachment)]
            found = [each._replace(created=0) for each in store.leases(attachment)]
            assert found == self.model.held(attachment)

    @invariant()
    def has_nothing_else(self) -> None:
        leases = [lease for lease, _ in self.model.leases]
        assert len(self.stores["node1"].every()) == len(leases)
        unique = [each for each in leases if not each.network_name]
        assert len(self.cluster.reservations()) == len(unique)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    derandomize=True,  # a server's timing is random enough
    max_examples=8,
    stateful_step_count=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
