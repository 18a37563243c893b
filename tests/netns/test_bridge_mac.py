"""bridge: MAC addresses that are asked for, and the lock on the source MAC."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from cni.host import nft, spoofcheck
from tests.netns import confs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node

STATIC = confs.static("10.1.2.3/24")
ARGS, CONF, RUNTIME = ("02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c")


@pytest.mark.parametrize(
    ("args", "keys", "wanted"),
    [
        (f"MAC={ARGS}", {}, ARGS),
        (f"MAC={ARGS}", {"args": {"cni": {"mac": CONF}}}, CONF),
        ("", {"args": {"cni": {"mac": CONF}}}, CONF),
        (
            f"MAC={ARGS}",
            {"args": {"cni": {"mac": CONF}}, "runtimeConfig": {"mac": RUNTIME}},
            RUNTIME,
        ),
        ("", {"RuntimeConfig": {"MAC": RUNTIME}}, RUNTIME),
        ("MAC=02-00-00-00-00-0A", {}, ARGS),
        ("MAC=0200.0000.000a", {}, ARGS),
        (f"IgnoreUnknown=1;K8S_POD_NAME=x;MAC={ARGS}", {}, ARGS),
        (f"IgnoreUnknown=TRUE;K8S_POD_NAME=x;MAC={ARGS};", {}, ARGS),
    ],
)
def test_which_mac_wins(node: Node, args: str, keys: Conf, wanted: str) -> None:
    pod = node.pod()
    result = node.call("ADD", confs.bridge(**keys), pod, CNI_ARGS=args).ok()
    assert pod.link("eth0")["address"] == wanted
    assert result["interfaces"][2]["mac"] == wanted


@pytest.mark.parametrize(
    ("args", "keys", "code", "words"),
    [
        ("MAC=zz", {}, 7, 'CNI_ARGS MAC": invalid MAC address "zz"'),
        ("", {"runtimeConfig": {"mac": "02:00:00:00:00"}}, 7, "runtimeConfig.mac"),
        ("", {"runtimeConfig": {"mac": "01:00:5e:00:00:01"}}, 7, "no unicast MAC address"),
        ("", {"runtimeConfig": {"mac": "00:00:00:00:00:00"}}, 7, "no unicast MAC address"),
        ("", {"args": {"cni": {"mac": "02:00:00:00-00:01"}}}, 7, "args.cni.mac"),
        ("K8S_POD_NAME=x", {}, 4, "unknown args ['K8S_POD_NAME=x']"),
        ("MAC", {}, 4, 'invalid pair "MAC"'),
        ("IgnoreUnknown=yes;A=b", {}, 4, "IgnoreUnknown"),
    ],
)
def test_bad_mac_changes_nothing(node: Node, args: str, keys: Conf, code: int, words: str) -> None:
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.bridge(ipam=confs.whereabouts("10.1.2.0/24"), **keys)
    error = node.call("ADD", conf, pod, CNI_ARGS=args).error(code)
    assert words in error["msg"]
    assert node.snapshot(pod) == before


def test_mac_of_a_bridge_without_addresses_follows_the_lowest_port(node: Node) -> None:
    node.call("ADD", confs.bridge(), node.pod()).ok()
    second = node.pod()
    result = node.call("ADD", confs.bridge(), second).ok()
    macs = [each["address"] for each in node.ip("link") if each.get("master") == "br0"]
    assert node.link("br0")["address"] == min(macs)
    # what is printed is what is there after the port has joined
    assert result["interfaces"][0]["mac"] == min(macs)
    node.call("CHECK", confs.bridge(prevResult=result), second).ok()


# the lock on the source MAC


def lock(node: Node, ref: str) -> tuple[int, int, int]:
    """How many rules: jumps, in the interface's chain, in the MAC's chain."""
    return (
        sum(f"macspoofchk-{ref}" in x for x in node.nft_rules("bridge nat", "PREROUTING")),
        len(node.nft_rules("bridge nat", f"cni-br-iface-{ref}")),
        len(node.nft_rules("bridge nat", f"cni-br-iface-{ref}-mac")),
    )


def test_source_mac_lock_is_that_of_the_original(node: Node) -> None:
    pod = node.pod()
    conf = confs.bridge(macspoofchk=True, ipam=STATIC)
    node.call("ADD", conf, pod).ok()
    ref = f"{pod.name}-eth0"
    comment = f'comment "macspoofchk-{ref}"'
    port, mac = node.port(pod)["ifname"], pod.link("eth0")["address"]
    assert node.nft_rules("bridge nat", "PREROUTING") == [
        f'iifname "{port}" jump cni-br-iface-{ref} {comment}'
    ]
    assert node.nft_rules("bridge nat", f"cni-br-iface-{ref}") == [
        f"jump cni-br-iface-{ref}-mac {comment}"
    ]
    assert node.nft_rules("bridge nat", f"cni-br-iface-{ref}-mac") == [
        f"ether saddr {mac} return {comment}",
        f"drop {comment}",
    ]
    node.call("DEL", conf, pod).ok()
    assert "cni-br-iface" not in node.nft()


def test_another_source_mac_is_dropped(node: Node) -> None:
    pods = [node.pod(), node.pod()]
    for number, pod in enumerate(pods, start=2):
        conf = confs.bridge(macspoofchk=True, ipam=confs.static(f"10.1.2.{number}/24"))
        node.call("ADD", conf, pod).ok()
    pods[0].run("ping", "-c1", "-W5", "10.1.2.3")
    pods[0].ip("link", "set", "eth0", "address", "02:00:00:00:00:66")
    with pytest.raises(AssertionError):
        pods[0].run("ping", "-c1", "-W1", "10.1.2.3")


@pytest.mark.parametrize("netns", ["/run/netns/gone", ""])
def test_lock_is_removed_without_the_namespace(node: Node, netns: str) -> None:
    pod = node.pod()
    conf = confs.bridge(macspoofchk=True, ipam=STATIC)
    node.call("ADD", conf, pod).ok()
    environ = node.environ("DEL", pod) | {"CNI_NETNS": netns}
    node.raw("bridge", environ, confs.encoded(conf)).ok()
    assert "cni-br-iface" not in node.nft()


def test_locking_twice_is_locking_once(node: Node) -> None:
    """The original adds a second jump with each ADD."""
    for port in ("veth1", "veth1", "veth2"):
        spoofcheck.ensure(port, "02:00:00:00:00:01", "c1-eth0")
        assert lock(node, "c1-eth0") == (1, 1, 2)
    assert spoofcheck.is_set("c1-eth0")
    spoofcheck.remove("c1-eth0")
    assert not spoofcheck.is_set("c1-eth0")
    spoofcheck.remove("c1-eth0")
    assert "cni-br-iface" not in node.nft()


def test_names_that_nft_has_no_word_for(node: Node) -> None:
    pod = node.pod()
    conf = confs.bridge(macspoofchk=True, ipMasq=True, ipam=STATIC)
    for ifname in ('a"b;{}', "naïve", "x\\", "a$b#"):
        node.call("ADD", conf, pod, ifname).ok()
        prev = node.call("ADD", conf, node.pod()).ok()
        assert prev
        node.call("DEL", conf, pod, ifname).ok()


def test_others_keep_their_locks(node: Node) -> None:
    conf = confs.bridge(macspoofchk=True)
    first, second = node.pod(), node.pod()
    for pod in (first, second):
        node.call("ADD", conf, pod).ok()
    node.call("DEL", conf, first).ok()
    assert lock(node, f"{second.name}-eth0") == (1, 1, 2)
    assert lock(node, f"{first.name}-eth0") == (0, 0, 0)


def test_check_sees_a_missing_lock(node: Node) -> None:
    pod = node.pod()
    conf = confs.bridge(macspoofchk=True)
    conf["prevResult"] = node.call("ADD", conf, pod).ok()
    node.call("CHECK", conf, pod).ok()
    node.run("nft", "flush", "chain", "bridge", "nat", f"cni-br-iface-{pod.name}-eth0-mac")
    error = node.call("CHECK", conf, pod).error(102)
    assert "source MAC lock of eth0 is missing" in error["msg"]


def test_garbage_collection_removes_locks_of_ports_that_are_gone(node: Node) -> None:
    conf = confs.bridge(version="1.1.0", macspoofchk=True)
    kept, gone = node.pod(), node.pod()
    for pod in (kept, gone):
        node.call("ADD", conf, pod).ok()
    valid = [{"containerID": kept.name, "ifname": "eth0"}]
    node.call("GC", conf | {"cni.dev/valid-attachments": valid}).ok()
    assert lock(node, f"{kept.name}-eth0") == (1, 1, 2)
    assert lock(node, f"{gone.name}-eth0") == (0, 0, 0)


# nft where there is no libnftables, and where there is nothing


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "_LIBRARY", "libnowhere.so.1")


@pytest.fixture
def no_nft(
    no_library: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    del no_library
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))


@pytest.mark.usefixtures("no_library")
def test_nft_command_does_as_well(node: Node) -> None:
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.bridge(macspoofchk=True, ipMasq=True, ipam=STATIC)
    conf["prevResult"] = node.call("ADD", conf, pod).ok()
    assert lock(node, f"{pod.name}-eth0") == (1, 1, 2)
    assert len(node.nft_rules("inet cni_plugins_masquerade", "masq_checks")) == 1
    node.call("CHECK", conf, pod).ok()
    node.call("DEL", conf, pod).ok()
    node.ip("link", "delete", "br0")
    assert node.snapshot(pod) == before


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_iptables_where_there_is_no_nft(
    node: Node, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever does not name a backend gets the one that there is, as with the original."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for tool in ("ip", "nsenter", "ping"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")))
    for command in ("iptables", "ip6tables", "iptables-restore", "ip6tables-restore"):
        (tmp_path / command).symlink_to(f"/usr/sbin/xtables-{variant}-multi")
    pod = node.pod()
    conf = confs.bridge(
        version="1.1.0", isGateway=True, ipMasq=True,
        ipam=confs.static("10.1.2.3/24", "fd00:1::3/64"),
    )  # fmt: skip
    node.call("STATUS", conf).ok()
    conf["prevResult"] = node.call("ADD", conf, pod).ok()
    for command in ("iptables", "ip6tables"):
        assert "CNI-" in node.run(command, "-t", "nat", "-S")
    node.call("CHECK", conf, pod).ok()
    other = node.pod()
    node.call("ADD", conf | {"ipam": confs.static("10.1.2.4/24", "fd00:1::4/64")}, other).ok()
    node.call("DEL", conf, pod).ok()
    valid: list[object] = []
    node.call("GC", conf | {"cni.dev/valid-attachments": valid}).ok()
    for command in ("iptables", "ip6tables"):
        assert "CNI-" not in node.run(command, "-t", "nat", "-S")


@pytest.mark.parametrize("key", ["macspoofchk", "ipMasq"])
def test_without_nft(node: Node, key: str, request: pytest.FixtureRequest) -> None:
    """ADD says what is missing and leaves nothing; DEL has nothing to remove, and succeeds."""
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.bridge(version="1.1.0", ipam=STATIC) | {key: True}
    path = node.environ("ADD")["PATH"]
    request.getfixturevalue("no_nft")
    error = node.call("ADD", conf, pod).error(101)
    assert "neither libnftables.so.1 nor the nft command was found" in error["details"]
    node.call("DEL", conf, pod).ok()
    node.call("GC", conf | {"cni.dev/valid-attachments": []}).ok()
    status = node.call("STATUS", conf).error(50)
    assert "nft" in status["details"]
    request.getfixturevalue("monkeypatch").setenv("PATH", path)
    assert node.snapshot(pod) == before
