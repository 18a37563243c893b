"""ADD and DEL of whole attachments, one after the other in every round: A B C A B C.

Ours are measured twice: cold, and through the agent of the node.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from tests.bench import clock, warm
from tests.conformance.node import GO, OURS, Node, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.clock import Sample
    from tests.conformance.kernel import Json
    from tests.conformance.node import Pod

VERBS = ("ADD", "DEL")


class Call(NamedTuple):
    """One attachment as one side makes it: its plugins, one after the other."""

    path: tuple[Path, ...]
    confs: tuple[Json, ...]
    devices: tuple[str, ...] = ()


class Row(NamedTuple):
    """The same work by both; what Debian does not have is left out or put together."""

    name: str
    ours: Call | None
    go: Call | None
    note: str = ""


_PLAIT, _GO = (OURS, GO), (GO,)
_COMMON = {"cniVersion": "1.0.0"}


def rows(directory: Path) -> list[Row]:
    """`directory`: where the Go plugins are to keep their records."""
    numbers = iter(range(1, 250))

    def whereabouts() -> Json:
        number = next(numbers)
        return {
            "type": "whereabouts",
            "range": f"10.{number}.0.0/16",
            "gateway": f"10.{number}.0.1",
            "exclude": [f"10.{number}.0.1/32"],
        }

    def host_local() -> Json:
        ranges = [[{"subnet": f"10.{next(numbers)}.0.0/16"}]]
        return {"type": "host-local", "ranges": ranges, "dataDir": str(directory)}

    def bridge(ipam: Json, **more: object) -> Json:
        number = next(numbers)
        name = {"name": f"net{number}", "bridge": f"br{number}"}
        return {**_COMMON, "type": "bridge", **name, "isGateway": True, "ipam": ipam, **more}

    def device(name: str, ipam: Json | None = None) -> Json:
        conf = {**_COMMON, "type": "host-device", "name": f"net-{name}", "device": name}
        return conf if ipam is None else {**conf, "ipam": ipam}

    def multus(count: int) -> Json:
        delegates = [bridge(whereabouts()) for _ in range(count)]
        return {**_COMMON, "type": "multus", "name": f"multus{count}", "delegates": delegates}

    lo = {**_COMMON, "type": "loopback", "name": "lo"}
    found = [
        Row("loopback", Call(_PLAIT, (lo,)), Call(_GO, (lo,))),
        Row(
            "bridge + addresses",
            Call(_PLAIT, (bridge(whereabouts()),)),
            Call(_GO, (bridge(host_local()),)),
            "whereabouts (durable: one fsync) beside host-local",
        ),
        Row(
            "bridge + addresses + masquerading",
            Call(_PLAIT, (bridge(whereabouts(), ipMasq=True),)),
            Call(_GO, (bridge(host_local(), ipMasq=True),)),
            "nftables beside iptables",
        ),
        Row(
            "bridge + host-local",
            Call(_PLAIT, (bridge(host_local()),)),
            Call(_GO, (bridge(host_local()),)),
            "each suite's own: in the same process, durable; an executable, not durable",
        ),
        Row(
            "host-device",
            Call(_PLAIT, (device("dev0"),), ("dev0",)),
            Call(_GO, (device("dev1"),), ("dev1",)),
        ),
        Row(
            "host-device + addresses",
            Call(_PLAIT, (device("dev2", whereabouts()),), ("dev2",)),
            Call(_GO, (device("dev3", host_local()),), ("dev3",)),
        ),
    ]
    for count in (1, 2, 3):
        found.append(
            Row(
                f"multus, {count} x (bridge + addresses)",
                Call(_PLAIT, (multus(count),)),
                Call(_GO, tuple(bridge(host_local()) for _ in range(count))),
                "Go: the same bridges, one after the other, with no meta plugin at all",
            )
        )
    return found


class Side:
    """One side of a row on a node: its pod, its samples; `run` is how it runs an executable."""

    def __init__(self, node: Node, call: Call, run: Callable[..., Sample]) -> None:
        self._node = node
        self._call = call
        self._run = run
        self._pod: Pod = node.pod("bench")
        self.samples: dict[str, list[Sample]] = {verb: [] for verb in VERBS}

    def go_round(self, *, record: bool) -> None:
        for verb in VERBS:
            sample = clock.Sample(0)
            for index, conf in enumerate(self._call.confs):
                # every plugin of this side has its own interface in the pod
                ifname = "lo" if conf["type"] == "loopback" else f"eth{index}"
                environ = self._node.environ(verb, self._pod, ifname, self._call.path)
                executable = find(conf["type"], self._call.path)
                sample += self._run([executable], environ, json.dumps(conf).encode())
            if record:
                self.samples[verb].append(sample)


def measure(node: Node, rounds: int, only: str = "") -> Iterator[tuple[Row, str, Side]]:
    """Yields (row, "ours", "warm" or "go", its samples); two rounds before the first are not
    counted. Cold and warm calls are of the same configuration.
    """
    chosen = [row for row in rows(node.root / "host-local") if only in row.name]
    if not chosen:
        return
    for device in {
        name for row in chosen for call in (row.ours, row.go) for name in _devices(call)
    }:
        node.device(device)
    with warm.agent(node) as agent:
        sides = [
            (row, who, Side(node, call, run))
            for row in chosen
            for who, call, run in (
                ("ours", row.ours, warm.cold),
                ("warm", row.ours, agent.run),
                ("go", row.go, clock.run),
            )
            if call is not None
        ]
        for number in range(-2, rounds):
            for _, _, side in sides:
                side.go_round(record=number >= 0)
    yield from sides


def _devices(call: Call | None) -> tuple[str, ...]:
    return call.devices if call else ()
