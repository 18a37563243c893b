"""What an ADD spends its time on, as the plugins record it for whoever asks (cni.core.tracing).

profile.py looks closer, at the source tree; this is what the executables do.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import trace, tracing
from tests.bench import attachments, warm
from tests.conformance.node import GO, OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.clock import Sample
    from tests.conformance.kernel import Json
    from tests.conformance.node import Node

#: what no record can hold: the executable before and after it, and with an agent the way there
AROUND = "before and after"
ORDER = (
    tracing.START,
    trace.IMPORTS,
    trace.VALIDATION,
    trace.KERNEL,
    trace.ADDRESSES,
    trace.API,
    trace.PROCESSES,
    trace.WAITING,
    tracing.OWN,
    AROUND,
)
WORKS = {
    "bridge + whereabouts": "bridge + addresses",
    "multus, 3 x (bridge + whereabouts)": "multus, 3 x (bridge + addresses)",
}


class Spent(NamedTuple):
    """Medians of so many calls, in milliseconds: of each kind, and of the whole."""

    work: str
    who: str  #: "ours" or "warm"
    calls: int
    wall: float
    ms: dict[str, float]


def measure(node: Node, calls: int) -> list[Spent]:
    """Cold and warm in turns; empty when the executables record nothing."""
    rows = {row.name: row.ours for row in attachments.rows(node.root / "host-local")}
    confs = {work: call.confs[0] for work, name in WORKS.items() if (call := rows[name])}
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    with warm.agent(node) as agent, _watched(node.root / "trace") as directory:
        ways: dict[str, Callable[..., Sample]] = {"ours": warm.cold, "warm": agent.run}
        pods = {(work, who): node.pod("traced") for work in confs for who in ways}
        for number in range(-2, calls):
            for (work, who), pod in pods.items():
                conf = confs[work]
                argv, stdin = [OURS / conf["type"]], json.dumps(conf).encode()
                asked = {"PLAIT_TRACE": str(directory)}
                add = {**node.environ("ADD", pod, path=(OURS, GO)), **asked}
                sample = ways[who](argv, add, stdin)
                records = _taken(directory, conf["type"])
                ways[who](argv, node.environ("DEL", pod, path=(OURS, GO)), stdin)
                if number >= 0 and records:
                    found.setdefault((work, who), []).append(_parts(sample, records))
    return [_spent(work, who, parts) for (work, who), parts in found.items()]


@contextmanager
def _watched(directory: Path) -> Iterator[Path]:
    """A directory that calls write their records to."""
    directory.mkdir()
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(fd)


def _taken(directory: Path, plugin: str) -> list[Json]:
    """The records of a plugin, which are gone then; those of what it started are a part of them."""
    records = []
    for each in sorted(directory.glob("*.json")):
        records.append(json.loads(each.read_text()))
        each.unlink()
    return [each for each in records if each["plugin"] == plugin]


def _parts(sample: Sample, records: list[Json]) -> dict[str, float]:
    """The kinds of one call, which add up to its wall clock."""
    parts: dict[str, Any] = {}
    for record in records:
        for kind, spent in record["ms"].items():
            parts[kind] = parts.get(kind, 0.0) + spent
    return {**parts, AROUND: max(0.0, sample.wall - sum(parts.values()))}


def _spent(work: str, who: str, calls: list[dict[str, float]]) -> Spent:
    kinds = {kind for parts in calls for kind in parts}
    known = [kind for kind in ORDER if kind in kinds] + sorted(kinds.difference(ORDER))
    ms = {kind: round(median(parts.get(kind, 0.0) for parts in calls), 3) for kind in known}
    wall = round(median(sum(parts.values()) for parts in calls), 3)
    return Spent(work, who, len(calls), wall, ms)
