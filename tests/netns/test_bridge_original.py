"""bridge beside the original: either deletes, and checks, what the other added."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.netns import confs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.netns.node import Node, Reply


class Pair(NamedTuple):
    """Who adds and who deletes."""

    add: Callable[..., Reply]
    delete: Callable[..., Reply]


@pytest.fixture(params=["original-then-ours", "ours-then-original"])
def pair(request: pytest.FixtureRequest, node: Node) -> Pair:
    if not os.path.exists(f"{node.bin_path}/bridge"):
        pytest.skip("needs Debian's containernetworking-plugins")
    adds, _, deletes = request.param.partition("-then-")
    calls = {"ours": node.call, "original": node.foreign}
    return Pair(calls[adds], calls[deletes])


def test_links_and_addresses(pair: Pair, node: Node) -> None:
    pod = node.pod()
    conf = confs.bridge(isDefaultGateway=True, ipam=confs.static("10.1.2.3/24", "fd00:1::3/64"))
    conf["prevResult"] = pair.add("ADD", conf, pod).ok()
    pair.delete("CHECK", conf, pod).ok()
    pair.delete("DEL", conf, pod).ok()
    assert pod.links() == ["lo"]
    assert node.links() == ["lo", "br0"]


def test_masquerading(pair: Pair, node: Node) -> None:
    """The original of this age knows iptables only."""
    pod = node.pod()
    conf = confs.bridge(
        isGateway=True, ipMasq=True, ipMasqBackend="iptables",
        ipam=confs.static("10.1.2.3/24", "fd00:1::3/64"),
    )  # fmt: skip
    conf["prevResult"] = pair.add("ADD", conf, pod).ok()
    for command in ("iptables", "ip6tables"):
        assert "CNI-" in node.run(command, "-t", "nat", "-S")
    pair.delete("CHECK", conf, pod).ok()
    pair.delete("DEL", conf, pod).ok()
    for command in ("iptables", "ip6tables"):
        assert "CNI-" not in node.run(command, "-t", "nat", "-S")


def test_source_mac_lock(pair: Pair, node: Node) -> None:
    pod = node.pod()
    conf = confs.bridge(macspoofchk=True, ipam=confs.static("10.1.2.3/24"))
    conf["prevResult"] = pair.add("ADD", conf, pod).ok()
    assert len(node.nft_rules("bridge nat", f"cni-br-iface-{pod.name}-eth0-mac")) == 2
    pair.delete("CHECK", conf, pod).ok()
    pair.delete("DEL", conf, pod).ok()
    assert "cni-br-iface" not in node.nft()


def test_one_bridge_for_the_pods_of_both(pair: Pair, node: Node) -> None:
    """Both ADDs see the same bridge, and the second pod finds the first."""
    pods = [node.pod(), node.pod()]
    for number, (call, pod) in enumerate(zip(pair, pods, strict=True), start=2):
        ipam = confs.static(f"10.1.2.{number}/24")
        call("ADD", confs.bridge(isDefaultGateway=True, ipam=ipam), pod).ok()
    assert node.addresses("br0") == ["10.1.2.1/24"]
    pods[0].run("ping", "-c1", "-W5", "10.1.2.3")
    pods[1].run("ping", "-c1", "-W5", "10.1.2.1")
