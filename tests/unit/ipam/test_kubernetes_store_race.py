"""Several nodes at one pool, of ours and of the original: no address given twice, none lost."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

import os
import random
import threading
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError, Code
from ipam.stores import Ask
from tests.unit.ipam.go_writer import GoWriter
from tests.unit.ipam.pools import ROOT, cluster, started  # noqa: F401
from tests.unit.ipam.store_world import NET, SMALL, lease, owner, pool, release

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.ipam.pools import Cluster

WINDOW = pool("10.0.0.0/24", "", "10.0.0.30")


def in_threads(works: list[Callable[[], None]]) -> None:
    """All at once, and then whatever one of them raised."""
    raised: list[BaseException] = []
    ready = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        try:
            ready.wait(60)
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if raised:
        raise raised[0]


def in_processes(works: list[Callable[[], None]]) -> None:
    """All at once; each has to end well."""
    start, go = os.pipe()
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            try:
                os.close(go)
                os.read(start, 1)
                work()
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(1)
        pids.append(pid)
    os.close(go)
    ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    os.close(start)
    assert ended == [0] * len(works)


def void(result: object) -> None:
    """For a lambda."""


def agree(cluster: Cluster, names: tuple[str, ...] = ("10.0.0.0-24",)) -> None:
    """Each address is in one pool only, and reserved for the one that has it there."""
    seen: dict[str, str] = {}
    for name in names:
        for key, each in cluster.allocations(name).items():
            address = f"10.0.0.{key}"
            assert address not in seen
            seen[address] = each["podref"]
            assert cluster.reservation(address)["podref"] == each["podref"]
    assert cluster.reservations() == sorted(seen)


def test_many_adds_at_once(cluster: Cluster) -> None:
    """On one node, as when it has started: then all are gone at once."""

    def add(number: int) -> Callable[[], None]:
        who = owner(f"c{number}", f"web-{number}")
        return lambda: void(lease(cluster.store(), who, Ask(NET)))

    def delete(number: int) -> Callable[[], None]:
        who = owner(f"c{number}", f"web-{number}")
        return lambda: void(release(cluster.store(), who))

    in_processes([add(number) for number in range(20)])
    assert sorted(cluster.ids().values()) == sorted(f"c{number}" for number in range(20))
    agree(cluster)
    in_processes([delete(number) for number in range(20)])
    assert cluster.ids() == {}
    assert cluster.reservations() == []
    assert cluster.journal().every() == []


@pytest.mark.parametrize("window", [WINDOW, SMALL])
def test_nodes_of_both_kinds(cluster: Cluster, window: object) -> None:
    """In a small window, so that it is full at times; and one of us in an overlapping pool."""

    def ours(node: str, wanted: object) -> Callable[[], None]:
        def work() -> None:
            store, chance = cluster.store(node), random.Random(node)
            mine: dict[str, str] = {}
            for number in range(25):
                who = owner(f"{node}-c{number}", f"{node}-{number}")
                try:
                    (mine[who.attachment.container_id],) = lease(store, who, Ask(wanted))  # type: ignore[arg-type]
                except CniError as error:
                    assert error.code == Code.RANGE_EXHAUSTED, error
                if mine and chance.random() < 0.5:
                    gone = chance.choice(sorted(mine))
                    del mine[gone]
                    assert release(store, owner(gone)) == 1
            assert len(set(mine.values())) == len(mine)
            for gone in sorted(mine)[::2]:
                assert release(store, owner(gone)) == 1

        return work

    def theirs(node: str) -> Callable[[], None]:
        def work() -> None:
            writer, chance = (
                GoWriter(cluster.client(attempts=1), ROOT, last=30),
                random.Random(node),
            )
            mine: list[str] = []
            for number in range(25):
                name = f"{node}-c{number}"
                if writer.add(name, f"default/{node}-{number}"):
                    mine.append(name)
                if mine and chance.random() < 0.5:
                    assert writer.delete(mine.pop(chance.randrange(len(mine))))

        return work

    in_threads([
        ours("node1", window), ours("node2", window), ours("node3", SMALL),
        theirs("go1"), theirs("go2"),
    ])  # fmt: skip
    agree(cluster, ("10.0.0.0-24", "10.0.0.0-29"))
    known = {
        each.owner.attachment.container_id
        for node in ("node1", "node2", "node3")
        for each in cluster.journal(node).every()
    }
    there = {*cluster.ids().values(), *cluster.ids("10.0.0.0-29").values()}
    assert known == {each for each in there if each.startswith("node")}


def test_a_full_pool_is_shared_out(cluster: Cluster) -> None:
    """Six addresses, twelve pods: six get one, and six are told that there is none."""
    got: list[str] = []

    def work(node: str) -> Callable[[], None]:
        def run() -> None:
            store = cluster.store(node)
            for number in range(4):
                try:
                    got.extend(
                        lease(store, owner(f"{node}{number}", f"{node}{number}"), Ask(SMALL))
                    )
                except CniError as error:
                    assert error.code == Code.RANGE_EXHAUSTED, error

        return run

    in_threads([work(f"node{number}") for number in range(3)])
    assert sorted(got) == [f"10.0.0.{n}" for n in range(1, 7)]
    agree(cluster, ("10.0.0.0-29",))
