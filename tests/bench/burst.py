"""A node that fills up: the kubelet's 110 pods, some at a time, each with a bridge and an address.

All of them come, then all of them go. How many are on the way at once is the runtime's choice.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from tests.bench import clock
from tests.conformance.node import GO, OURS, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.bench.clock import Sample
    from tests.conformance.kernel import Json
    from tests.conformance.node import Node, Pod

PODS = 110
AT_ONCE = (1, 4, 8)
VERBS = ("ADD", "DEL")


class Burst(NamedTuple):
    """Of calls that were made beside each other: each one's cost, and seconds for all of them."""

    samples: tuple[Sample, ...]
    seconds: float


class Measured(NamedTuple):
    """Of one kind of network, with so many calls at a time."""

    what: str
    at_once: int
    verb: str
    burst: Burst


def run(calls: Sequence[Callable[[], Sample]], at_once: int) -> Burst:
    """All calls, so many at a time; in the namespace of the caller, as threads are."""
    with ThreadPoolExecutor(at_once) as workers:
        started = time.perf_counter()
        samples = tuple(workers.map(lambda call: call(), calls))
        return Burst(samples, time.perf_counter() - started)


def networks(directory: Path) -> Iterator[tuple[str, tuple[Path, ...], Json]]:
    """Name, CNI_PATH, configuration; `directory`: where host-local keeps its records."""

    def bridge(number: int, ipam: Json) -> Json:
        names = {"name": f"full{number}", "bridge": f"full{number}"}
        common = {"cniVersion": "1.0.0", "type": "bridge", "isGateway": True}
        return {**common, **names, "ipam": ipam}

    def host_local(number: int) -> Json:
        ranges = [[{"subnet": f"10.{number}.0.0/16"}]]
        return {"type": "host-local", "ranges": ranges, "dataDir": str(directory)}

    whereabouts = {
        "type": "whereabouts",
        "range": "10.1.0.0/16",
        "gateway": "10.1.0.1",
        "exclude": ["10.1.0.1/32"],
    }
    yield "Plait bridge + whereabouts", (OURS, GO), bridge(1, whereabouts)
    yield "Plait bridge + host-local", (OURS, GO), bridge(2, host_local(2))
    yield "Go bridge + host-local", (GO,), bridge(3, host_local(3))


def measure(node: Node, pods: int = PODS) -> list[Measured]:
    """One burst of each network beside the others', for each number at a time."""
    found = []
    guests = [node.pod("burst") for _ in range(pods)]
    for at_once in AT_ONCE:
        for what, path, conf in networks(node.root / "host-local"):
            for verb in VERBS:
                calls = [caller(node, verb, conf, pod, path) for pod in guests]
                found.append(Measured(what, at_once, verb, run(calls, at_once)))
    return found


def caller(
    node: Node, verb: str, conf: Json, pod: Pod, path: tuple[Path, ...] = (OURS, GO)
) -> Callable[[], Sample]:
    """A call of a plugin that must succeed."""
    environ, stdin = node.environ(verb, pod, path=path), json.dumps(conf).encode()
    executable = find(conf["type"], path)
    return lambda: clock.run([executable], environ, stdin)
