"""The etcd store in trouble: killed processes, a killed or silent etcd, answers that are lost."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError, Code
from ipam.stores import Ask
from ipam.stores.etcd_gateway import Limits
from tests.unit.ipam.etcd_cluster import (
    PATIENT,
    SHORT,
    Cluster,
    child,
    code_of,
    reports,
    run_until,
)
from tests.unit.ipam.etcd_fixtures import *  # noqa: F403
from tests.unit.ipam.etcd_proxy import CUT, HOLD, PASS, REFUSE, Proxy, is_change
from tests.unit.ipam.etcd_server import EtcdServer
from tests.unit.ipam.store_world import NET, NET6, SMALL, lease, leased, owner, pool, release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def hold_first_change() -> Callable[[bytes], str]:
    """A plan by which nothing is answered after the first change, which is held."""
    held = False

    def plan(request: bytes) -> str:
        nonlocal held
        if is_change(request) and not held:
            held = True
            return HOLD
        return REFUSE if held else PASS

    return plan


class TestLostAnswers:
    def test_of_a_claim(self, cluster: Cluster, proxy: Proxy) -> None:
        """It came true, and is found."""
        fates = itertools.chain([CUT], itertools.repeat(PASS))
        proxy.plan = lambda request: next(fates) if is_change(request) else PASS
        store = cluster.store(url=proxy.url)
        assert lease(store, "c1", Ask(NET), Ask(NET6)) == ["10.0.0.1", "fd00::1"]
        assert len(cluster.store().every()) == 2
        assert cluster.intents() == ["leased"]

    def test_of_every_claim(self, cluster: Cluster, proxy: Proxy) -> None:
        proxy.plan = lambda request: CUT if is_change(request) else PASS
        assert lease(cluster.store(url=proxy.url), "c1", Ask(NET)) == ["10.0.0.1"]
        assert release(cluster.store(url=proxy.url), "c1") == 0  # it was somebody else, as it seems
        assert cluster.remains() == []
        assert cluster.intents() == []

    def test_of_everything_after_the_claim(self, cluster: Cluster, proxy: Proxy) -> None:
        lost = False

        def plan(request: bytes) -> str:
            nonlocal lost
            lost = lost or is_change(request)
            return CUT if lost else PASS

        proxy.plan = plan
        store = cluster.store(url=proxy.url, limits=SHORT)
        assert code_of(lambda: lease(store, "c1", Ask(NET))) == Code.TRY_AGAIN_LATER
        assert cluster.intents() == ["leasing"]
        assert leased(cluster.store()) == [("c1", "10.0.0.1")]
        assert lease(cluster.store(), "c2", Ask(NET)) == ["10.0.0.1"]
        assert leased(cluster.store()) == [("c2", "10.0.0.1")]
        assert cluster.intents() == ["leased"]

    @pytest.mark.parametrize("then", ["DEL", "ADD", "another ADD"])
    def test_a_claim_that_arrives_after_all_is_over(
        self, cluster: Cluster, proxy: Proxy, then: str
    ) -> None:
        proxy.plan = hold_first_change()
        store = cluster.store(url=proxy.url, limits=SHORT)
        assert code_of(lambda: lease(store, "c1", Ask(NET))) == Code.TRY_AGAIN_LATER
        if then == "DEL":
            assert release(cluster.store(), "c1") == 0
        else:
            name = "c1" if then == "ADD" else "c2"
            assert lease(cluster.store(), name, Ask(NET)) == ["10.0.0.1"]
            assert release(cluster.store(), name) == 1
        assert cluster.intents() == []
        assert proxy.let_go() == 0
        assert cluster.remains() == []

    def test_a_claim_that_arrives_after_its_second_try(
        self, cluster: Cluster, proxy: Proxy
    ) -> None:
        fates = itertools.chain([HOLD], itertools.repeat(PASS))
        proxy.plan = lambda request: next(fates) if is_change(request) else PASS
        assert lease(cluster.store(url=proxy.url), "c1", Ask(NET)) == ["10.0.0.1"]
        assert release(cluster.store(), "c1") == 1
        assert proxy.held
        assert proxy.let_go() == 0
        assert cluster.remains() == []

    def test_a_claim_for_what_another_has_claimed_for(self, cluster: Cluster, proxy: Proxy) -> None:
        """One attachment, and two journals: the list of its addresses is one all the same."""
        proxy.plan = hold_first_change()
        store = cluster.store("node-1", url=proxy.url, limits=SHORT)
        assert code_of(lambda: lease(store, "c1", Ask(NET))) == Code.TRY_AGAIN_LATER
        assert lease(cluster.store("node-2"), "c1", Ask(NET6)) == ["fd00::1"]
        assert proxy.let_go() == 0
        assert leased(cluster.store()) == [("c1", "fd00::1")]

    def test_a_claim_that_fills_a_block(self, cluster: Cluster, proxy: Proxy) -> None:
        """A mark says that nothing is free in a block: it must not come when that is over."""
        block = pool("10.0.0.0/24", "10.0.0.32", "10.0.0.63")
        cluster.store().lease(owner("others"), [Ask(block)] * 31)
        proxy.plan = hold_first_change()
        store = cluster.store("node-2", url=proxy.url, limits=SHORT)
        assert code_of(lambda: lease(store, "c1", Ask(block))) == Code.TRY_AGAIN_LATER
        assert release(cluster.store(), "others") == 31
        assert proxy.let_go() == 0
        assert cluster.remains() == []

    def test_a_release_that_arrives_after_all_is_over(self, cluster: Cluster, proxy: Proxy) -> None:
        """The container is there again, with the same address: that must stay its own."""
        lease(cluster.store(), "c1", Ask(NET))
        proxy.plan = lambda request: HOLD if is_change(request) else PASS
        assert release(cluster.store(url=proxy.url, limits=SHORT), "c1") == 0
        assert lease(cluster.store(), "c1", Ask(NET)) == ["10.0.0.1"]
        assert proxy.held
        assert proxy.let_go() == 0
        assert leased(cluster.store()) == [("c1", "10.0.0.1")]


class TestKilled:
    @pytest.mark.parametrize("then", ["DEL", "ADD", "another ADD"])
    def test_adding_at_every_step(self, cluster: Cluster, then: str) -> None:
        who, asks = owner("c1", "web-0"), (Ask(NET, sticky=0), Ask(NET6))
        steps = 0
        for step in itertools.count():
            status = run_until(step, lambda: lease(cluster.store(), who, *asks))
            if then == "DEL":
                release(cluster.store(), who)
            else:
                again = who if then == "ADD" else owner("c2")
                assert lease(cluster.store(), again, *asks)[0] in ("10.0.0.1", "10.0.0.2")
                release(cluster.store(), again)
                release(cluster.store(), who)
            assert cluster.remains() == [], step
            assert cluster.intents() == [], step
            if status == 0:
                break
            steps += 1
        assert steps >= 10

    @pytest.mark.parametrize("then", ["DEL", "ADD", "another ADD"])
    def test_deleting_at_every_step(self, cluster: Cluster, then: str) -> None:
        asks = Ask(NET), Ask(NET6)
        for step in itertools.count():
            lease(cluster.store(), "c1", *asks)
            status = run_until(step, lambda: release(cluster.store(), "c1"))
            if then == "DEL":
                release(cluster.store(), "c1")
            else:
                name = "c1" if then == "ADD" else "c2"
                assert lease(cluster.store(), name, *asks)[0] in ("10.0.0.1", "10.0.0.2")
                release(cluster.store(), name)
                release(cluster.store(), "c1")
            assert cluster.remains() == [], step
            assert cluster.intents() == [], step
            if status == 0:
                break
        assert step >= 8

    def test_what_an_earlier_boot_leased_rests(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lease(cluster.store(), "c1", Ask(NET))
        lease(cluster.store(), owner("c2", "web-0"), Ask(NET))
        for module in ("ipam.stores.journal", "ipam.stores.etcd"):
            monkeypatch.setattr(f"{module}.boot_id", lambda: "the next")
        assert lease(cluster.store(), "new", Ask(NET)) == ["10.0.0.3"]
        assert leased(cluster.store()) == [("new", "10.0.0.3")]
        assert lease(cluster.store(), "c1", Ask(NET)) == ["10.0.0.1"]
        assert lease(cluster.store(), owner("c9", "web-0"), Ask(NET)) == ["10.0.0.2"]


class TestManyProcesses:
    def test_no_address_twice(self, cluster: Cluster) -> None:
        """16 processes of 4 nodes; some of them are killed, and their nodes clean up."""
        wide = pool("10.0.0.0/22")

        def body(number: int) -> Callable[[Callable[[object], None]], None]:
            def run(report: Callable[[object], None]) -> None:
                for i in range(15):
                    store, name = cluster.store(f"node-{number % 4}"), f"{number}-{i}"
                    report([name, lease(store, name, Ask(wide))[0]])
                    if i % 5 == 4:
                        report([name, ""])
                        release(store, name)

            return run

        processes = [child(body(number)) for number in range(16)]
        for pid, _ in processes[:4]:
            time.sleep(0.1)
            os.kill(pid, signal.SIGKILL)
        expected: dict[str, str] = {}
        for process in processes:
            _, lines = reports(process)
            expected |= dict(lines)
        expected = {name: address for name, address in expected.items() if address}
        for node in range(4):  # settles what was killed
            store = cluster.store(f"node-{node}")
            lease(store, f"settle-{node}", Ask(wide))
            release(store, f"settle-{node}")
        found = dict(leased(cluster.store()))
        assert len(set(found.values())) == len(found)
        assert expected.items() <= found.items()
        cluster.remains()
        # one whose process was killed between the durable lease and its report
        assert len(found) <= len(expected) + 4
        for node in range(4):
            cluster.store(f"node-{node}").keep_only("net", set())
        assert cluster.remains() == []
        assert [cluster.intents(f"node-{node}") for node in range(4)] == [[]] * 4

    def test_the_last_address_has_one_winner(self, cluster: Cluster) -> None:
        def body(number: int) -> Callable[[Callable[[object], None]], None]:
            def run(report: Callable[[object], None]) -> None:
                try:
                    report(lease(cluster.store(f"node-{number}"), f"c{number}", Ask(SMALL)))
                except CniError as error:
                    report(int(error.code))

            return run

        ended = [reports(process) for process in [child(body(number)) for number in range(10)]]
        given = [line for _, (line,) in ended]
        assert given.count(Code.RANGE_EXHAUSTED) == 4
        assert len({each[0] for each in given if isinstance(each, list)}) == 6


class TestServer:
    """Of their own: they are killed, and stopped."""

    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[EtcdServer]:
        server = EtcdServer(tmp_path)
        server.start()
        yield server
        server.kill()

    def test_killed_and_started_again(self, own: EtcdServer, tmp_path: Path) -> None:
        cluster = Cluster(own, tmp_path)

        def body(number: int) -> Callable[[Callable[[object], None]], None]:
            def run(report: Callable[[object], None]) -> None:
                for i in range(25):
                    name = f"{number}-{i}"
                    store = cluster.store(f"node-{number}", limits=PATIENT)
                    report([name, lease(store, name, Ask(NET))[0]])

            return run

        processes = [child(body(number)) for number in range(3)]
        for _ in range(2):
            time.sleep(0.2)
            own.kill()
            time.sleep(0.1)
            own.start()
        ended = [reports(process) for process in processes]
        assert [status for status, _ in ended] == [0, 0, 0]
        expected = {name: address for _, lines in ended for name, address in lines}
        assert len(expected) == 75
        assert dict(leased(cluster.store())) == expected
        assert len(set(expected.values())) == 75

    def test_silent(self, own: EtcdServer, tmp_path: Path) -> None:
        cluster = Cluster(own, tmp_path)
        lease(cluster.store(), "c1", Ask(NET))
        open_store = cluster.store(limits=SHORT)
        open_store.probe()
        own.pause()
        try:
            for store in (open_store, cluster.store(limits=SHORT)):
                assert code_of(partial(lease, store, "c2", Ask(NET))) == Code.TRY_AGAIN_LATER
                assert release(store, "c1") == 0
            assert sorted(cluster.intents()) == ["releasing"]
        finally:
            own.go_on()
        assert lease(cluster.store(), "c3", Ask(NET)) == ["10.0.0.1"]
        assert leased(cluster.store()) == [("c3", "10.0.0.1")]

    def test_silent_for_a_moment(self, own: EtcdServer, tmp_path: Path) -> None:
        cluster = Cluster(own, tmp_path)
        own.pause()
        timer = threading.Timer(1, own.go_on)
        timer.start()
        limits = Limits(connect=0.3, call=0.3, total=60)
        assert lease(cluster.store(limits=limits), "c1", Ask(NET)) == ["10.0.0.1"]
        timer.join()
        assert leased(cluster.store()) == [("c1", "10.0.0.1")]
