"""sriov when a node starts and ends many pods at once, each call in a process of its own."""

from __future__ import annotations

import fcntl
import json
from typing import TYPE_CHECKING, Any

from tests.vm.card import VFS, wait_for
from tests.vm.suite.process import at_once, start

if TYPE_CHECKING:
    from tests.netns.node import Node, Pod, Reply
    from tests.vm.card import Pf, Vf

Conf = dict[str, Any]


def attachment(vf: Vf) -> Conf:
    """Nothing that another VF has as well."""
    return {
        "cniVersion": "1.1.0",
        "name": "crowd",
        "type": "sriov",
        "deviceID": vf.address,
        "vlan": 100 + vf.index,
        "mac": f"02:aa:00:00:00:0{vf.index}",
        "ipam": {"type": "whereabouts", "range": "10.1.2.0/24"},
    }


def assert_has(pod: Pod, vf: Vf, reply: Reply) -> str:
    """The pod has that VF, with its settings, and what it was told; returns the address."""
    conf, result = attachment(vf), reply.ok()
    link = pod.link("net1")
    assert (link["parentdev"], link["address"]) == (vf.address, conf["mac"])
    assert "UP" in link["flags"]
    told = result["interfaces"][0]
    assert (told["pciID"], told["mac"]) == (vf.address, conf["mac"])
    assert vf.info["vlan_list"][0]["vlan"] == conf["vlan"]
    assert vf.info["address"] == conf["mac"]
    (address,) = pod.addresses("net1")
    assert [each["address"] for each in result["ips"]] == [address]
    return address


def assert_taken(reply: Reply, owner: Pod) -> None:
    error = reply.error(11)
    assert "already allocated" in error["msg"], error
    assert f"crowd/{owner.name}/net1" in error["details"], error


def records(machine: Node) -> list[str]:
    return sorted(each.name for each in machine._records())


def test_seven_pods_at_once_again_and_again(cards: list[Pf], machine: Node) -> None:
    vfs = cards[0].vfs
    for attempt in range(2):
        pods = [machine.pod() for _ in vfs]
        pairs = list(zip(vfs, pods, strict=True))
        replies = at_once(machine, *(("ADD", attachment(vf), pod) for vf, pod in pairs))
        addresses = {
            assert_has(pod, vf, reply) for (vf, pod), reply in zip(pairs, replies, strict=True)
        }
        assert len(addresses) == VFS
        assert len(records(machine)) == 2 * VFS

        eighth = machine.pod("eighth")
        wanted = attachment(vfs[4])
        assert_taken(machine.call("ADD", wanted, eighth, "net1"), pods[4])
        machine.call("DEL", wanted, eighth, "net1").ok()
        assert_has(pods[4], vfs[4], replies[4])

        if attempt == 0:
            for reply in at_once(machine, *(("DEL", attachment(vf), pod) for vf, pod in pairs)):
                reply.ok()
        else:
            for vf, pod in pairs:
                machine.call("DEL", attachment(vf), pod, "net1").ok()
        assert (records(machine), machine.leases()) == ([], [])


def test_two_pods_race_for_one_vf(cards: list[Pf], machine: Node) -> None:
    vf = cards[1].vfs[0]
    pods = [machine.pod(), machine.pod()]
    replies = at_once(machine, *(("ADD", attachment(vf), pod) for pod in pods))
    assert sorted(each.status for each in replies) == [0, 1]
    winner = [each.status for each in replies].index(0)
    assert_has(pods[winner], vf, replies[winner])
    assert_taken(replies[1 - winner], pods[winner])
    assert [held[0] for held in machine.leases()] == [pods[winner].name]

    machine.call("DEL", attachment(vf), pods[1 - winner], "net1").ok()
    assert_has(pods[winner], vf, replies[winner])
    machine.call("DEL", attachment(vf), pods[winner], "net1").ok()
    assert (records(machine), machine.leases()) == ([], [])


def test_a_pod_that_goes_races_with_one_that_comes(cards: list[Pf], machine: Node) -> None:
    vf = cards[1].vfs[1]
    former = machine.pod()
    machine.call("ADD", attachment(vf), former, "net1").ok()
    for _ in range(2):
        later = machine.pod()
        gone, come = at_once(
            machine, ("DEL", attachment(vf), former), ("ADD", attachment(vf), later)
        )
        gone.ok()
        if come.status:
            assert_taken(come, former)
            come = machine.call("ADD", attachment(vf), later, "net1")
        assert_has(later, vf, come)
        former = later
    machine.call("DEL", attachment(vf), former, "net1").ok()
    assert (records(machine), machine.leases()) == ([], [])


def test_settings_of_a_card_are_changed_by_one_call_at_a_time(
    cards: list[Pf], machine: Node
) -> None:
    """Under the lock that the original has for it; who changes none does not need it."""
    card, (vf, plain) = cards[1], cards[1].vfs[2:4]
    pod, another = machine.pod(), machine.pod()
    locks = machine.state / "sriov/pci/pf_lock"
    locks.mkdir(parents=True)
    record = machine.state / "sriov" / f"{pod.name}-net1"
    with (locks / f"{card.address}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = start(machine, "ADD", attachment(vf), pod)
        waiting.feed()
        wait_for("its record", record.exists)
        conf = {key: attachment(plain)[key] for key in ("cniVersion", "name", "type", "deviceID")}
        machine.call("ADD", conf, another, "net1").ok()
        machine.call("DEL", conf, another, "net1").ok()
        assert vf.netdev == vf.name
        assert vf.info["vlan_list"] == [{}]
    assert_has(pod, vf, waiting.finish())
    assert json.loads(record.read_text())["x"]["phase"] == "done"
    machine.call("DEL", attachment(vf), pod, "net1").ok()
