"""What the Go plugins added, ours checks and deletes; and the other way round.

A node is upgraded, or rolled back, while its pods live. The originals are Debian's: version 1.1.1,
which speaks up to 1.0.0 and masquerades with iptables only. What newer ones write into nftables
is put there as they do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.node import GO, OURS
from tests.conformance.shapes import anonymous

if TYPE_CHECKING:
    from tests.conformance.kernel import Json
    from tests.conformance.node import Node, Pod

#: who adds and who deletes; the searching order is what makes a node run one or the other
PATHS = {"ours": (OURS, GO), "go": (GO,)}
BOTH_WAYS = [("go", "ours"), ("ours", "go")]
VERSIONS = ["0.3.1", "0.4.0", "1.0.0"]


class Pair:
    """An attachment of two suites: one adds, the other one takes over."""

    def __init__(self, node: Node, adder: str, successor: str, conf: Json) -> None:
        self.node = node
        self.adder, self.successor = PATHS[adder], PATHS[successor]
        self.pod: Pod = node.pod()
        self.conf = {"cniVersion": "1.0.0", "name": "shared", **conf}
        self.result: Json = {}
        if conf["type"] == "bridge":
            self._warm_up()
        self.before = self.world()

    def _warm_up(self) -> None:
        """Bridges, tables and base chains stay after a DEL: they are there before it begins."""
        pod = self.node.pod("warm")
        for path in (self.adder, self.successor):
            self.node.call("ADD", self.conf, pod, path=path).result()
            self.node.call("DEL", self.conf, pod, path=path).silent()

    def world(self) -> Json:
        return {**self.node.traces(self.pod), "host-local": host_local_leases(self.node)}

    def add(self) -> None:
        self.result = self.node.call("ADD", self.conf, self.pod, path=self.adder).result()
        assert self.world() != self.before

    def with_result(self) -> Json:
        return {**self.conf, "prevResult": self.result}

    def check(self) -> None:
        self.node.call("CHECK", self.with_result(), self.pod, path=self.successor).silent()

    def delete(self, *, told: bool = True, netns: str | None = None) -> None:
        """By the successor; `told`: the runtime still has the result of the ADD."""
        conf = self.with_result() if told else self.conf
        extra = None if netns is None else {"CNI_NETNS": netns}
        self.node.call("DEL", conf, self.pod, path=self.successor, extra=extra).silent()


def host_local(node: Node, *, v6: bool = True) -> Json:
    return {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.2.0/24"}], *([[{"subnet": "fd00:1::/64"}]] if v6 else [])],
        "routes": [{"dst": "0.0.0.0/0"}, *([{"dst": "::/0"}] if v6 else [])],
        "dataDir": str(node.root / "host-local"),
    }


def host_local_leases(node: Node) -> list[str]:
    found = (node.root / "host-local").rglob("*")
    return sorted(p.name for p in found if p.name.startswith(("10.", "fd00")))


def bridge(node: Node, **more: Any) -> Json:
    return {
        "type": "bridge",
        "bridge": "br0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": host_local(node),
        **more,
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("adder", "successor"), BOTH_WAYS)
def test_bridge(node: Node, adder: str, successor: str, version: str) -> None:
    pair = Pair(node, adder, successor, {**bridge(node), "cniVersion": version})
    pair.add()
    if version != "0.3.1":  # CHECK is younger
        pair.check()
    pair.delete()
    assert pair.world() == pair.before


@pytest.mark.parametrize("told", [True, False], ids=["with-result", "without"])
@pytest.mark.parametrize(
    "more",
    [{"ipMasq": True}, {"macspoofchk": True}, {"ipMasq": True, "macspoofchk": True}],
    ids=lambda more: "-".join(more),
)
@pytest.mark.parametrize(("adder", "successor"), BOTH_WAYS)
def test_bridge_with_rules(node: Node, adder: str, successor: str, more: Json, told: bool) -> None:
    if "ipMasq" in more and adder == "ours":
        more = {**more, "ipMasqBackend": "iptables"}  # the only one that Debian's version knows
    pair = Pair(node, adder, successor, bridge(node, **more))
    pair.add()
    pair.check()
    pair.delete(told=told)
    assert pair.world() == pair.before


@pytest.mark.parametrize("told", [True, False], ids=["with-result", "without"])
def test_bridge_of_go_whose_namespace_is_gone(node: Node, told: bool) -> None:
    """The original leaves its rules then (plugins#810); the successor need not."""
    pair = Pair(node, "go", "ours", bridge(node, ipMasq=True, macspoofchk=True))
    pair.add()
    pair.pod.destroy()
    pair.delete(told=told, netns="")
    assert not node.net.rules()
    assert not host_local_leases(node)


NFT_OF_GO = """
add table inet cni_plugins_masquerade {{ comment "Masquerading for plugins from github.com/containernetworking/plugins"; }}
add chain inet cni_plugins_masquerade masq_checks {{ comment "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet"; }}
add chain inet cni_plugins_masquerade postrouting {{ type nat hook postrouting priority 100; policy accept; }}
add rule inet cni_plugins_masquerade postrouting ip daddr == 224.0.0.0/4 return
add rule inet cni_plugins_masquerade postrouting ip6 daddr == ff00::/8 return
add rule inet cni_plugins_masquerade postrouting goto masq_checks
add rule inet cni_plugins_masquerade masq_checks ip saddr == {address} ip daddr != 10.1.2.0/24 masquerade comment "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"
add rule inet cni_plugins_masquerade masq_checks ip saddr == 10.1.2.99 ip daddr != 10.1.2.0/24 masquerade comment "6fd94d501e58f0aa-a85cee8a2bb5d2a1, net: unit-test, if: eth0, id: two"
"""  # noqa: E501 - literally theirs


@pytest.mark.parametrize("told", [True, False], ids=["with-result", "without"])
def test_masquerading_of_a_newer_go(node: Node, told: bool) -> None:
    """Version 1.7 and later, backend nftables: its rule is checked, then removed; others' stay."""
    conf = bridge(node, name="unit-test", ipMasq=True, ipMasqBackend="nftables")
    conf["ipam"] = {"type": "static", "addresses": [{"address": "10.1.2.2/24"}]}
    pod = node.pod()
    pod.container_id = "one"
    conf = {"cniVersion": "1.0.0", **conf}
    without = {**conf, "ipMasq": False}
    result = node.call("ADD", without, pod, path=(GO,)).result()
    node.net.run("nft", NFT_OF_GO.format(address="10.1.2.2"))
    now = {**conf, "prevResult": result}
    node.call("CHECK", now, pod).silent()
    node.call("DEL", now if told else conf, pod).silent()
    (left,) = node.net.rules()
    assert "id: two" in left


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("adder", "successor"), BOTH_WAYS)
def test_host_device(node: Node, adder: str, successor: str, version: str) -> None:
    node.device("dev0", mtu="1400", address="02:00:00:00:00:01")
    conf = {"type": "host-device", "device": "dev0", "ipam": host_local(node, v6=False)}
    pair = Pair(node, adder, successor, {**conf, "cniVersion": version})
    pair.add()
    assert "dev0" not in node.net.links()
    if version != "0.3.1":
        pair.check()
    pair.delete()
    after = pair.world()
    if adder == "ours":  # our own record: the original neither knows nor removes it
        assert after.pop("files") == [f"state/host-device/{pair.pod.container_id}-eth0"]
        del pair.before["files"]
        # and it leaves the device with the alias, and in the state, that it came back with
        after["links"]["dev0"] |= {"up": pair.before["links"]["dev0"]["up"]}
        assert after["links"]["dev0"].pop("ifalias") == "dev0"
    assert after == pair.before


def test_record_of_a_device_that_go_gave_back(node: Node) -> None:
    """Rolled back and forward again: our old record must not keep the device from the next pod."""
    node.device("dev0")
    conf = {"cniVersion": "1.0.0", "name": "shared", "type": "host-device", "device": "dev0"}
    first, second = node.pod(), node.pod()
    node.call("ADD", conf, first).result()
    node.call("DEL", conf, first, path=(GO,)).silent()
    node.call("ADD", conf, second).result()
    node.call("DEL", conf, first).silent()  # a runtime that repeats its DELs
    assert "eth0" in second.net.links()
    node.call("DEL", conf, second).silent()
    assert "dev0" in node.net.links()
    assert not node.files()


def test_device_without_a_cable(node: Node) -> None:
    """IPv6 addresses stay tentative without a carrier: the original waits ten seconds and goes on.

    A pod must be able to start while its cable, or the other end's port, is down.
    """
    node.device("dev0", wire="down")
    conf = {"cniVersion": "1.0.0", "name": "shared", "type": "host-device", "device": "dev0"}
    pod = node.pod()
    node.call("ADD", {**conf, "ipam": host_local(node)}, pod).result()
    assert sorted(pod.net.addresses("eth0")) == ["10.1.2.2/24", "fd00:1::2/64"]


@pytest.mark.parametrize("version", ["0.2.0", *VERSIONS])
def test_both_answer_the_same(node: Node, version: str) -> None:
    """The result of one ADD, by both; what is new in each run aside."""
    answers = []
    for who in ("go", "ours"):
        conf = {**bridge(node), "cniVersion": version, "name": who}
        if version == "0.2.0":
            conf["ipam"] = host_local(node, v6=False)
        pod = node.pod()
        answer = node.call("ADD", conf, pod, path=PATHS[who]).result()
        node.call("DEL", conf, pod, path=PATHS[who]).silent()
        if version == "1.0.0" and not answer.get("dns"):
            answer.pop("dns", None)  # Debian's version prints the empty one too
        answers.append(anonymous(answer, pod.path))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(("adder", "successor"), BOTH_WAYS)
@pytest.mark.parametrize("plugin_type", ["loopback", "static"])
def test_what_keeps_no_records(node: Node, plugin_type: str, adder: str, successor: str) -> None:
    conf: Json = {
        "cniVersion": "1.0.0",
        "name": "shared",
        "type": plugin_type,
        "ipam": {"type": "static", "addresses": [{"address": "10.1.2.2/24"}]},
    }
    pod = node.pod()
    result = node.call("ADD", conf, pod, ifname="lo", path=PATHS[adder]).result()
    now = {**conf, "prevResult": result}
    node.call("CHECK", now, pod, ifname="lo", path=PATHS[successor]).silent()
    node.call("DEL", now, pod, ifname="lo", path=PATHS[successor]).silent()
