"""What the benchmark makes of its samples."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.bench import document, pods, report, spending
from tests.bench.clock import Sample

if TYPE_CHECKING:
    from pathlib import Path

FILLED = pods.Outcome((Sample(5.0, 2.0), Sample(1.0, 4.0), Sample(3.0, 3.0)), (), 0.5)


def fails() -> Sample:
    raise RuntimeError("bridge: 1\nno address")


def test_a_failure_is_counted_and_the_others_go_on() -> None:
    outcome = pods.run([lambda: Sample(1.0), fails, lambda: Sample(2.0), fails], 2)
    assert outcome.samples == (Sample(1.0), Sample(2.0))
    assert outcome.failures == ("bridge: 1\nno address",) * 2


def test_so_many_run_at_a_time() -> None:
    barrier = threading.Barrier(4, timeout=60)

    def meets() -> Sample:
        barrier.wait()
        return Sample(1.0)

    assert pods.run([meets] * 8, 4).failures == ()


def test_a_burst_in_numbers() -> None:
    (entry,) = document.pods([pods.Measured("warm", 4, "ADD", FILLED)])
    assert entry == {
        "who": "warm",
        "at once": 4,
        "verb": "ADD",
        "pods": 3,
        "failures": 0,
        "error": "",
        "pods per second": 6.0,
        "p50": 3.0,
        "p99": 5.0,
        "cpu": 3.0,
    }


def test_a_burst_of_failures_is_told() -> None:
    lost = pods.Outcome((), ("bridge: 1\nno address",), 0.5)
    measured = [pods.Measured("go", 1, "ADD", FILLED), pods.Measured("ours", 1, "ADD", lost)]
    text = report._pods(document.pods(measured))
    assert "failures: 1." in text
    assert "1 of 1 FAILED" in text
    assert "- FAILED: Plait, cold, ADD, 1 at a time: bridge: 1 no address" in text


def test_every_way_has_networks_of_its_own(tmp_path: Path) -> None:
    taken = [
        network["bridge"]
        for index in range(len(pods.AT_ONCE))
        for way in pods.ways(tmp_path, first=1 + index * 3 * pods.NETWORKS)
        for conf in way.confs
        for network in conf.get("delegates", [conf])
    ]
    assert len(set(taken)) == len(taken) == len(pods.AT_ONCE) * 3 * pods.NETWORKS


def test_the_parts_of_a_call_are_the_call() -> None:
    records = [{"ms": {"imports": 4.0, "kernel": 1.5}}]
    parts = spending._parts(Sample(10.0), records)
    assert parts == {"imports": 4.0, "kernel": 1.5, spending.AROUND: 4.5}


def test_spending_is_of_medians_in_the_order_of_a_call() -> None:
    calls = [{"kernel": 2.0, "imports": 5.0}, {"imports": 1.0}, {"imports": 3.0, "new": 1.0}]
    spent = spending._spent("bridge", "ours", calls)
    assert spent.ms == {"imports": 3.0, "kernel": 0.0, "new": 0.0}
    assert list(spent.ms) == ["imports", "kernel", "new"]
    assert (spent.calls, spent.wall) == (3, 4.0)
    assert "| the whole call | 4.0" in report._spending(document.spending([spent]))
