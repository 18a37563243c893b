"""bridge when a node starts many pods at once: processes side by side on one fresh bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.netns import confs

if TYPE_CHECKING:
    from tests.netns.node import Node

PODS = 8
CONF = confs.bridge(
    isDefaultGateway=True, ipMasq=True, macspoofchk=True,
    ipam=confs.whereabouts("10.1.2.0/24", range_start="10.1.2.10"),
)  # fmt: skip


def test_many_at_once(node: Node) -> None:
    before = node.snapshot()
    pods = [node.pod() for _ in range(PODS)]
    running = [node.start("ADD", CONF, pod) for pod in pods]
    results = [each.finish().ok() for each in running]

    addresses = {result["ips"][0]["address"] for result in results}
    assert addresses == {f"10.1.2.{10 + number}/24" for number in range(PODS)}
    assert len(node.nft_rules("inet cni_plugins_masquerade", "masq_checks")) == PODS
    assert len(node.nft_rules("bridge nat", "PREROUTING")) == PODS
    assert node.addresses("br0") == ["10.1.2.1/24"]
    pods[0].run("ping", "-c1", "-W5", results[-1]["ips"][0]["address"].split("/")[0])

    for each in [node.start("DEL", CONF, pod) for pod in pods]:
        each.finish().ok()
    node.ip("link", "delete", "br0")
    assert node.snapshot() == before


def test_those_that_fail_leave_those_that_do_not(node: Node) -> None:
    """Who made the bridge, and fails, must not take it from the others."""
    failing = CONF | {
        "ipam": CONF["ipam"] | {"routes": [{"dst": "192.0.2.0/24", "gw": "198.51.100.1"}]}
    }
    pods = [node.pod() for _ in range(PODS)]
    running = [
        (node.start("ADD", failing if number % 2 == 0 else CONF, pod), number % 2)
        for number, pod in enumerate(pods)
    ]
    for process, good in running:
        reply = process.finish()
        assert reply.status == 1 - good, reply.value
    assert node.addresses("br0") == ["10.1.2.1/24"]
    assert len(node.leases()) == PODS // 2
    assert len(node.nft_rules("inet cni_plugins_masquerade", "masq_checks")) == PODS // 2
    assert len(node.nft_rules("bridge nat", "PREROUTING")) == PODS // 2
    for pod in pods[1::2]:
        pod.run("ping", "-c1", "-W5", "10.1.2.1")


def test_all_fail(node: Node) -> None:
    before = node.snapshot()
    conf = CONF | {
        "ipam": CONF["ipam"] | {"routes": [{"dst": "192.0.2.0/24", "gw": "198.51.100.1"}]}
    }
    for each in [node.start("ADD", conf, node.pod()) for _ in range(PODS // 2)]:
        each.finish().error(101)
    assert node.snapshot() == before
