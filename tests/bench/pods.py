"""A node that fills up with pods of three networks each: ours cold, ours warm, the originals.

110 pods come, some at a time, and then all of them go. A call that fails is counted and told, and
the others go on. (burst.py fills a node with one network each, to compare IPAM stores.)
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from tests.bench import clock, warm
from tests.bench.clock import Sample
from tests.conformance.node import GO, OURS, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node, Pod

PODS = 110  #: what a kubelet takes
NETWORKS = 3
AT_ONCE = (1, 2, 4, 8)
VERBS = ("ADD", "DEL")


class Way(NamedTuple):
    """How a pod gets its networks: plugins one after the other, found on `path`."""

    who: str  #: "ours", "warm", or "go"
    path: tuple[Path, ...]
    confs: tuple[Json, ...]
    extra: dict[str, str]


class Outcome(NamedTuple):
    """Of calls made beside each other: the costs of those that went well, what the others said,
    seconds for all of them.
    """

    samples: tuple[Sample, ...]
    failures: tuple[str, ...]
    seconds: float


class Measured(NamedTuple):
    who: str
    at_once: int
    verb: str
    outcome: Outcome


def measure(
    node: Node, pods: int = PODS, at_once: Sequence[int] = AT_ONCE
) -> Iterator[tuple[Measured, ...]]:
    """For each number at a time, all ways: each finds a node with none of its bridges."""
    guests = [node.pod("pod") for _ in range(pods)]
    with warm.agent(node) as agent:
        for index, number in enumerate(at_once):
            found = []
            for way in ways(node.root / "host-local", first=1 + index * 3 * NETWORKS):
                for verb in VERBS:
                    calls = [_call(node, verb, way, pod) for pod in guests]
                    before = agent.cpu()
                    outcome = run(calls, number)
                    agent.rest()
                    spent = agent.cpu() - before
                    found.append(Measured(way.who, number, verb, _shared(outcome, spent)))
            _remove_bridges(node)
            yield tuple(found)


def ways(directory: Path, first: int) -> list[Way]:
    """`directory`: where host-local keeps its records; `first`: number of the first network."""
    numbers = iter(range(first, 255))

    def bridge(number: int, ipam: Json) -> Json:
        names = {"name": f"pods{number}", "bridge": f"pods{number}"}
        return {"cniVersion": "1.0.0", "type": "bridge", "isGateway": True, **names, "ipam": ipam}

    def whereabouts() -> Json:
        number = next(numbers)
        cidr, gateway = f"10.{number}.0.0/16", f"10.{number}.0.1"
        ipam = {"type": "whereabouts", "range": cidr, "gateway": gateway}
        return bridge(number, {**ipam, "exclude": [f"{gateway}/32"]})

    def host_local() -> Json:
        number = next(numbers)
        ranges = [[{"subnet": f"10.{number}.0.0/16"}]]
        ipam = {"type": "host-local", "ranges": ranges, "dataDir": str(directory)}
        return bridge(number, ipam)

    def multus() -> Json:
        delegates = [whereabouts() for _ in range(NETWORKS)]
        return {"cniVersion": "1.0.0", "type": "multus", "name": "pods", "delegates": delegates}

    return [
        Way("ours", (OURS, GO), (multus(),), warm.COLD),
        Way("warm", (OURS, GO), (multus(),), warm.WARM),
        Way("go", (GO,), tuple(host_local() for _ in range(NETWORKS)), {}),
    ]


def run(calls: Sequence[Callable[[], Sample]], at_once: int) -> Outcome:
    """All calls, so many at a time, in the namespace of the caller.

    What a call raises, RuntimeError or OSError, is its failure.
    """

    def tried(call: Callable[[], Sample]) -> Sample | str:
        try:
            return call()
        except (OSError, RuntimeError) as failure:
            return str(failure)

    with ThreadPoolExecutor(at_once) as workers:
        started = time.perf_counter()
        found = list(workers.map(tried, calls))
        seconds = time.perf_counter() - started
    samples = tuple(each for each in found if isinstance(each, Sample))
    return Outcome(samples, tuple(each for each in found if isinstance(each, str)), seconds)


def _call(node: Node, verb: str, way: Way, pod: Pod) -> Callable[[], Sample]:
    """All plugins of one pod; the first that fails ends an ADD, as in a runtime."""
    made = [
        (
            [find(conf["type"], way.path)],
            {**node.environ(verb, pod, f"eth{index}", way.path), **way.extra},
            json.dumps(conf).encode(),
        )
        for index, conf in enumerate(way.confs)
    ]

    def call() -> Sample:
        sample = Sample(0)
        for argv, environ, stdin in made:
            sample += clock.run(argv, environ, stdin)
        return sample

    return call


def _shared(outcome: Outcome, agent: float) -> Outcome:
    """With what the agent has spent on them, in equal parts."""
    samples = outcome.samples
    each = agent / max(1, len(samples))
    return outcome._replace(samples=tuple(s._replace(cpu=s.cpu + each) for s in samples))


def _remove_bridges(node: Node) -> None:
    for name, link in node.net.links().items():
        if link.get("linkinfo", {}).get("info_kind") == "bridge":
            node.net.run("ip", "link", "delete", name)
