"""An ADD that is killed at any moment leaves nothing that a DEL does not find.

PLAIT_SEED repeats the moments of an earlier run, PLAIT_KILLS sets how many there are per scenario.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.conformance.networks import whereabouts
from tests.conformance.node import AGENT, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node, Pod

SEED = os.environ.get("PLAIT_SEED") or str(random.SystemRandom().randrange(10**6))
KILLS = int(os.environ.get("PLAIT_KILLS") or 50)

_BRIDGE: Json = {
    "cniVersion": "1.0.0",
    "name": "killed",
    "type": "bridge",
    "bridge": "br0",
    "isDefaultGateway": True,
    "ipam": whereabouts("10.9.0.0/16"),
}


class Scenario(NamedTuple):
    """A network, and the devices of the host that its ADD takes."""

    conf: Json
    devices: tuple[str, ...] = ()


SCENARIOS = {
    "bridge": Scenario({**_BRIDGE, "ipMasq": True, "ipMasqBackend": "nftables"}),
    "bridge-iptables": Scenario({**_BRIDGE, "ipMasq": True, "ipMasqBackend": "iptables"}),
    "bridge-spoofcheck": Scenario({**_BRIDGE, "ipMasq": True, "macspoofchk": True}),
    "host-device": Scenario(
        {**_BRIDGE, "type": "host-device", "device": "dev0"}, devices=("dev0",)
    ),
    "multus": Scenario(
        {
            "cniVersion": "1.0.0",
            "name": "killed",
            "type": "multus",
            "delegates": [
                {**_BRIDGE, "name": "first", "ipMasq": True},
                {**_BRIDGE, "name": "second", "bridge": "br1", "isDefaultGateway": False,
                 "ipam": whereabouts("10.10.0.0/16")},
                {"name": "third", "type": "host-device", "device": "dev0",
                 "ipam": whereabouts("10.11.0.0/16")},
            ],
        },
        devices=("dev0",),
    ),
}  # fmt: skip


class Execution:
    """ADDs of one scenario on one node, and the world as it must be again after each."""

    def __init__(self, node: Node, scenario: Scenario) -> None:
        self.node = node
        self.conf = scenario.conf
        self.devices = scenario.devices
        self.before: Json = {}
        self.durations: list[float] = []
        self.forget()
        for number in range(3):
            self.durations.append(self._whole(node.pod(f"warm{number}")))

    def _whole(self, pod: Pod) -> float:
        started = time.monotonic()
        self.node.call("ADD", self.conf, pod).result()
        took = time.monotonic() - started
        self.node.call("DEL", self.conf, pod).silent()
        return took

    def forget(self) -> None:
        """A node on which no ADD ever ran: the next one makes bridges, tables, files."""
        for name, each in self.node.net.links().items():
            if _stands_alone(each):
                self.node.net.run("ip", "link", "delete", name)
        self.node.net.run("nft", "flush", "ruleset")
        shutil.rmtree(self.node.state, ignore_errors=True)
        for path in self.node.run_dir.glob("*"):
            if path.is_file():
                path.unlink()
            elif path.name != "agent":
                shutil.rmtree(path)
        for device in self.devices:
            # MAC and MTU of its own, an alternative name, and up: all of it must come back
            self.node.device(device, mtu="1400", address="02:00:00:00:00:01", alias="rack 7")
            self.node.net.run("ip", "link", "property", "add", "dev", device, "altname", "nic-a")
            self.node.net.run("ip", "link", "set", device, "up")
        self.before = self.node.traces()

    def moments(self, rng: random.Random, count: int) -> Iterator[float]:
        """Seconds after the start, spread over the whole ADD and a little beyond, in any order."""
        whole = median(self.durations) * 1.05
        slots = list(range(count))
        rng.shuffle(slots)
        yield from ((slot + rng.random()) / count * whole for slot in slots)

    def interrupted(
        self, pod: Pod, moment: float, number: signal.Signals, command: str = "ADD"
    ) -> int:
        """Start a call and signal it after `moment` seconds; returns how it ended."""
        process = self.node.start(command, self.conf, pod)
        time.sleep(moment)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        return process.returncode

    def differences(self, pod: Pod, *, wait: float = 0) -> list[str]:
        """What is not as before; `wait`: the kernel removes a dead namespace's links when it can.

        A pod that is destroyed is not looked into.
        """
        deadline = time.monotonic() + wait
        while (now := self.node.traces()) != self.before and time.monotonic() < deadline:
            time.sleep(0.05)
        found = [
            f"{kind}: {now[kind]} instead of {before}"
            for kind, before in self.before.items()
            if now[kind] != before
        ]
        inside = list(pod.net.links()) if pod.exists else ["lo"]
        return found + ([f"in the pod: {inside}"] if inside != ["lo"] else [])


def _stands_alone(link: Json) -> bool:
    """A bridge, or that end of a device's veth pair which takes the device along."""
    is_bridge: bool = link.get("linkinfo", {}).get("info_kind") == "bridge"
    return is_bridge or link["ifname"].endswith("-wire")


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_sigkill_then_del(node: Node, scenario: str) -> None:
    rng = random.Random(f"{SEED} kill {scenario}")
    execution = Execution(node, SCENARIOS[scenario])
    seen: Counter[str] = Counter()
    found: list[str] = []
    for index, moment in enumerate(execution.moments(rng, KILLS)):
        if index % 10 == 9:
            execution.forget()
        pod = node.pod("victim")
        status = execution.interrupted(pod, moment, signal.SIGKILL)
        left = node.traces()
        seen.update(["killed"] if status else ["ended"])
        seen.update(kind for kind, found in execution.before.items() if left[kind] != found)
        # a device that is virtual would die with the namespace; others wait for no namespace
        gone = index % 3 == 2 and not SCENARIOS[scenario].devices
        if gone:
            pod.destroy()
        reply = node.call("DEL", execution.conf, pod, extra={"CNI_NETNS": ""} if gone else None)
        faults = execution.differences(pod, wait=5 if gone else 0)
        if (reply.status, reply.stdout) != (0, ""):
            faults.append(f"DEL: {reply}")
        if faults:
            when = f"number {index}, status {status} after {moment * 1000:.1f} ms"
            found += [f"{when}: {each}" for each in faults]
            execution.forget()
        pod.destroy()
    assert not found, f"PLAIT_SEED={SEED}\n" + "\n".join(found)
    # the moments were worth something: they met the ADD in all its stages
    assert seen["killed"] > KILLS / 2, seen
    # few moments may miss a stage; an agent undoes what was killed, mostly before it can be seen
    if KILLS >= 50 and not AGENT:
        assert all(0 < seen[kind] < KILLS for kind in ("links", "leases")), seen


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_sigterm_undoes_at_once(node: Node, scenario: str) -> None:
    rng = random.Random(f"{SEED} term {scenario}")
    execution = Execution(node, SCENARIOS[scenario])
    found: list[str] = []
    for index, moment in enumerate(execution.moments(rng, max(1, KILLS // 3))):
        if index % 5 == 4:
            execution.forget()
        pod = node.pod("victim")
        status = execution.interrupted(pod, moment, signal.SIGTERM)
        faults = [] if status == 0 else execution.differences(pod)
        # before its first line the interpreter has the default: it dies, and has done nothing
        if status not in (0, 1, -signal.SIGTERM):
            faults.append(f"exit status {status}")
        reply = node.call("DEL", execution.conf, pod)
        if (reply.status, reply.stdout) != (0, ""):
            faults.append(f"DEL: {reply}")
        faults += execution.differences(pod)
        if faults:
            when = f"number {index}, status {status} after {moment * 1000:.1f} ms"
            found += [f"{when}: {each}" for each in faults]
            execution.forget()
        pod.destroy()
    assert not found, f"PLAIT_SEED={SEED}\n" + "\n".join(found)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_sigkill_then_gc(node: Node, scenario: str) -> None:
    """The runtime died as well, and nobody will ever ask for a DEL; its neighbour lives on."""
    rng = random.Random(f"{SEED} gc {scenario}")
    execution = Execution(node, SCENARIOS[scenario])
    others = [] if SCENARIOS[scenario].devices else ["neighbour"]
    valid = [{"containerID": "neighbour", "ifname": "eth0"}]
    conf = {**execution.conf, "cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}
    found: list[str] = []
    faults: list[str] = []
    for index, moment in enumerate(execution.moments(rng, max(1, KILLS // 4))):
        if index % 8 == 0 or faults:
            execution.forget()
            for name in others:
                neighbour = node.pod()
                neighbour.container_id = name
                node.call("ADD", execution.conf, neighbour).result()
            execution.before = node.traces()
        pod = node.pod("victim")
        status = execution.interrupted(pod, moment, signal.SIGKILL)
        reply = node.call("GC", conf)
        faults = execution.differences(pod)
        if (reply.status, reply.stdout) != (0, ""):
            faults.append(f"GC: {reply}")
        when = f"number {index}, status {status} after {moment * 1000:.1f} ms"
        found += [f"{when}: {each}" for each in faults]
        node.call("DEL", execution.conf, pod)
        pod.destroy()
    assert not found, f"PLAIT_SEED={SEED}\n" + "\n".join(found)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_sigkill_of_del_then_del(node: Node, scenario: str) -> None:
    """A runtime that repeats its DEL until it succeeds gets there, wherever the first one ended."""
    rng = random.Random(f"{SEED} del {scenario}")
    execution = Execution(node, SCENARIOS[scenario])
    found: list[str] = []
    for index, moment in enumerate(execution.moments(rng, max(1, KILLS // 4))):
        pod = node.pod("victim")
        node.call("ADD", execution.conf, pod).result()
        status = execution.interrupted(pod, moment, signal.SIGKILL, "DEL")
        reply = node.call("DEL", execution.conf, pod)
        faults = execution.differences(pod)
        if (reply.status, reply.stdout) != (0, ""):
            faults.append(f"DEL: {reply}")
        if faults:
            when = f"number {index}, status {status} after {moment * 1000:.1f} ms"
            found += [f"{when}: {each}" for each in faults]
            execution.forget()
        pod.destroy()
    assert not found, f"PLAIT_SEED={SEED}\n" + "\n".join(found)
