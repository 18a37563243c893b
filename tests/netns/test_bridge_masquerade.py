"""bridge with ipMasq: the rules of both backends, and that every DEL takes its own and no other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from cni.host import masquerade
from tests.netns import confs
from tests.netns.faults import failing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node

BACKENDS = ("nftables", "iptables-nft", "iptables-legacy")
NFT_COMMENT = 'comment "{hash}, net: net, if: eth0, id: {id}"'


class Masq:
    """A masquerading bridge with one of the backends, and a look at its rules."""

    def __init__(self, node: Node, backend: str) -> None:
        self.node = node
        self.backend = backend
        self.key, _, self.variant = backend.partition("-")

    def conf(self, *addresses: str, **keys: Any) -> Conf:
        return confs.bridge(
            isGateway=True, ipMasq=True, ipMasqBackend=self.key,
            ipam=confs.static(*addresses), **keys,
        )  # fmt: skip

    def rules(self) -> list[str]:
        """What belongs to containers, of both families."""
        if self.key == "nftables":
            return self.node.nft_rules("inet cni_plugins_masquerade", "masq_checks")
        lines = []
        for command in ("iptables", "ip6tables"):
            argv = [f"{command}-{self.variant}", "-t", "nat", "-S"]
            lines += [x for x in self.node.run(*argv).splitlines() if "CNI-" in x]
        return lines


@pytest.fixture(params=BACKENDS)
def masq(
    request: pytest.FixtureRequest, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Masq:
    made = Masq(node, request.param)
    if made.variant:
        bin_dir = tmp_path / "bin"
        bin_dir.mkdir()
        for command in ("iptables", "ip6tables", "iptables-restore", "ip6tables-restore"):
            family, _, tool = command.partition("-")
            target = "-".join(filter(None, (family, made.variant, tool)))
            (bin_dir / command).symlink_to(f"/usr/sbin/{target}")
        monkeypatch.setenv("PATH", f"{bin_dir}:{os.environ['PATH']}")
    return made


def test_nftables_rules_are_those_of_the_original(node: Node) -> None:
    masq = Masq(node, "nftables")
    pod = node.pod("one")
    pod.name = "one"
    conf = masq.conf("10.1.2.2/24", "fd00:5::2/64", name="unit-test")
    node.call("ADD", conf, pod).ok()
    comment = 'comment "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"'
    assert masq.rules() == [
        f"ip saddr 10.1.2.2 ip daddr != 10.1.2.0/24 masquerade {comment}",
        f"ip6 saddr fd00:5::2 ip6 daddr != fd00:5::/64 masquerade {comment}",
    ]
    assert node.nft_rules("inet cni_plugins_masquerade", "postrouting") == [
        "ip daddr 224.0.0.0/4 return",
        "ip6 daddr ff00::/8 return",
        "goto masq_checks",
    ]
    node.call("DEL", conf, pod).ok()
    assert masq.rules() == []


def test_iptables_rules_are_those_of_the_original(node: Node) -> None:
    masq = Masq(node, "iptables-nft")
    pod = node.pod()
    pod.name = "c1"
    conf = masq.conf("10.1.2.2/24", "fd00:5::2/64", name="net1")
    node.call("ADD", conf, pod).ok()
    chain = "CNI-c2d892b58e87e28a12fe6479"
    comment = r'-m comment --comment "name: \"net1\" id: \"c1\""'
    assert masq.rules() == [
        f"-N {chain}",
        f"-A POSTROUTING -s 10.1.2.2/32 {comment} -j {chain}",
        f"-A {chain} -d 10.1.2.0/24 {comment} -j ACCEPT",
        f"-A {chain} ! -d 224.0.0.0/4 {comment} -j MASQUERADE",
        f"-N {chain}",
        f"-A POSTROUTING -s fd00:5::2/128 {comment} -j {chain}",
        f"-A {chain} -d fd00:5::/64 {comment} -j ACCEPT",
        f"-A {chain} ! -d ff00::/8 {comment} -j MASQUERADE",
    ]
    node.call("DEL", conf, pod).ok()
    assert masq.rules() == []


def test_pod_reaches_what_does_not_know_it(masq: Masq) -> None:
    """The outside has no route to the pods' network: only a masqueraded ping is answered."""
    node = masq.node
    outside = node.pod("outside")
    node.ip("link", "add", "wan", "type", "veth", "peer", "name", "lan", "netns", outside.path)
    for family in ("192.0.2", "2001:db8:"):
        tail = ".1/24" if "." in family else ":1/64"
        node.ip("address", "add", family + tail, "dev", "wan", *_nodad(family))
        outside.ip(
            "address", "add", family + tail.replace("1/", "2/"), "dev", "lan", *_nodad(family)
        )
    node.ip("link", "set", "wan", "up")
    outside.ip("link", "set", "lan", "up")
    pod = node.pod()
    conf = masq.conf("10.1.2.2/24", "fd00:5::2/64", isDefaultGateway=True)
    node.call("ADD", conf, pod).ok()
    pod.run("ping", "-c1", "-W5", "192.0.2.2")
    pod.run("ping", "-c1", "-W5", "2001:db8::2")


def _nodad(family: str) -> list[str]:
    return [] if "." in family else ["nodad"]


def test_adding_twice_is_adding_once(masq: Masq) -> None:
    owner = masquerade.Owner("net", "c1", "eth0")
    addresses = ["10.1.2.2/24", "10.2.2.2/24", "fd00:5::2/64"]
    masquerade.ensure(owner, addresses, masq.key)
    once = masq.rules()
    assert once
    masquerade.ensure(owner, addresses, masq.key)
    assert masq.rules() == once
    assert masquerade.is_set(owner, addresses, masq.key)
    masquerade.remove(owner)
    assert masq.rules() == []
    assert not masquerade.is_set(owner, addresses, masq.key)
    masquerade.remove(owner)


@pytest.mark.parametrize("netns", ["gone", "empty", "plain-file"])
def test_delete_without_the_namespace(masq: Masq, netns: str, tmp_path: Path) -> None:
    """The original leaves the rules (containernetworking/plugins#810, #1078)."""
    node, pod = masq.node, masq.node.pod()
    conf = masq.conf("10.1.2.2/24", "fd00:5::2/64")
    node.call("ADD", conf, pod).ok()
    assert masq.rules()
    plain = tmp_path / "plain"
    plain.touch()
    path = {"gone": "/run/netns/gone", "empty": "", "plain-file": str(plain)}[netns]
    node.raw("bridge", node.environ("DEL", pod) | {"CNI_NETNS": path}, confs.encoded(conf)).ok()
    assert masq.rules() == []


def test_delete_when_the_link_is_gone(masq: Masq) -> None:
    """The original needs the addresses, and reads them from the link."""
    node, pod = masq.node, masq.node.pod()
    conf = masq.conf("10.1.2.2/24", "fd00:5::2/64")
    node.call("ADD", conf, pod).ok()
    pod.ip("link", "delete", "eth0")
    node.call("DEL", conf, pod).ok()
    assert masq.rules() == []


def test_delete_when_the_addresses_were_changed_in_the_pod(masq: Masq) -> None:
    node, pod = masq.node, masq.node.pod()
    conf = masq.conf("10.1.2.2/24")
    node.call("ADD", conf, pod).ok()
    pod.ip("address", "flush", "dev", "eth0")
    pod.ip("address", "add", "10.1.2.77/24", "dev", "eth0")
    node.call("DEL", conf, pod).ok()
    assert masq.rules() == []


def test_others_keep_their_rules(masq: Masq) -> None:
    node, first, second = masq.node, masq.node.pod(), masq.node.pod()
    kept = masq.conf("10.1.2.2/24", "fd00:5::2/64")
    node.call("ADD", kept, first).ok()
    before = masq.rules()
    gone = masq.conf("10.1.2.3/24", "fd00:5::3/64")
    node.call("ADD", gone, second).ok()
    assert set(before) < set(masq.rules())
    node.call("DEL", gone, second).ok()
    assert masq.rules() == before


def test_two_interfaces_of_one_container_on_one_network(masq: Masq) -> None:
    """They share an iptables chain, which the original flushes with the first DEL, and fails."""
    node, pod = masq.node, masq.node.pod()
    first, second = masq.conf("10.1.2.2/24"), masq.conf("10.1.2.3/24")
    node.call("ADD", first, pod, "eth0").ok()
    node.call("ADD", second, pod, "eth1").ok()
    node.call("DEL", first, pod, "eth0").ok()
    left = masq.rules()
    assert _naming(left, "10.1.2.2") == 0
    assert _naming(left, "10.1.2.3") == 1
    assert masquerade.is_set(masquerade.Owner("net", pod.name, "eth1"), ["10.1.2.3/24"], masq.key)

    node.call("DEL", first, pod, "eth0").ok()  # again, when the link is gone
    assert masq.rules() == left

    node.call("DEL", second, pod, "eth1").ok()
    assert masq.rules() == []


def test_an_add_that_fails_leaves_the_other_interface_of_the_container(masq: Masq) -> None:
    node, pod = masq.node, masq.node.pod()
    node.call("ADD", masq.conf("10.1.2.2/24"), pod, "eth0").ok()
    before = masq.rules()
    failed = 0
    for nth in range(1, 200):
        with failing(nth, after=nth % 2 == 0) as fault:
            reply = node.call("ADD", masq.conf("10.1.2.3/24"), pod, "eth1")
        if not fault.hit:
            break
        failed += reply.status
        if reply.status == 0:
            node.call("DEL", masq.conf("10.1.2.3/24"), pod, "eth1").ok()
        assert masq.rules() == before, fault.hit
    assert failed > 10


def test_garbage_collection(masq: Masq) -> None:
    """Nothing in the original calls its own collector."""
    node = masq.node
    pods = [node.pod() for _ in range(3)]
    for number, pod in enumerate(pods, start=2):
        node.call("ADD", masq.conf(f"10.1.2.{number}/24", f"fd00:5::{number}/64"), pod).ok()
    other = masq.conf("10.1.2.9/24", name="other-net")
    node.call("ADD", other, pods[0], "eth1").ok()
    valid = [{"containerID": pods[1].name, "ifname": "eth0"}]
    conf = masq.conf("10.1.2.2/24", cniVersion="1.1.0", **{"cni.dev/valid-attachments": valid})
    node.call("GC", conf).ok()
    left = masq.rules()
    assert [_naming(left, ip) for ip in ("10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.9")] == [
        0,
        1,
        0,
        1,
    ]
    assert [_naming(left, ip) for ip in ("fd00:5::2", "fd00:5::3", "fd00:5::4")] == [0, 1, 0]


def test_both_backends_are_cleaned_whatever_the_configuration_says(masq: Masq) -> None:
    """The configuration may have been changed since the ADD."""
    node, pod = masq.node, masq.node.pod()
    node.call("ADD", masq.conf("10.1.2.2/24"), pod).ok()
    conf = masq.conf("10.1.2.2/24")
    conf["ipMasqBackend"] = "iptables" if masq.key == "nftables" else "nftables"
    node.call("DEL", conf, pod).ok()
    assert masq.rules() == []


def test_check_sees_missing_rules(masq: Masq) -> None:
    node, pod = masq.node, masq.node.pod()
    conf = masq.conf("10.1.2.2/24")
    conf["prevResult"] = node.call("ADD", conf, pod).ok()
    node.call("CHECK", conf, pod).ok()
    masquerade.remove(masquerade.Owner("net", pod.name, "eth0"))
    error = node.call("CHECK", conf, pod).error(102)
    assert "masquerading of 10.1.2.2/24 is missing" in error["msg"]


def _naming(rules: list[str], ip: str) -> int:
    """How many rules have this source."""
    return sum(
        f" {ip} " in rule or f" -s {ip}/" in rule or f"saddr {ip} " in rule for rule in rules
    )
