"""Removing masquerading and MAC locks on hosts that others use too, and beside other calls."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from cni.host import masquerade, nft, spoofcheck
from cni.host.masquerade import Owner
from tests.netns import confs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node

NATIVE = (
    "add table ip nat;"
    "add chain ip nat POSTROUTING { type nat hook postrouting priority 100; };"
    'add rule ip nat POSTROUTING oifname "eth9" counter masquerade comment "mine";'
    "add rule ip nat POSTROUTING ip saddr { 10.9.0.1, 10.9.0.2 } snat to 1.2.3.4"
)
OWNER = Owner("net", "c1", "eth0")


def conf(**keys: Any) -> Conf:
    ipam = confs.static("10.1.2.2/24")
    return confs.bridge(version="1.1.0", isGateway=True, ipMasq=True, ipam=ipam, **keys)


def use(variant: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """iptables of that variant on the host, or with "" none."""
    directory.mkdir()
    for family in ("iptables", "ip6tables"):
        for tool in ("", "-save", "-restore") if variant else ():
            (directory / f"{family}{tool}").symlink_to(f"/usr/sbin/{family}-{variant}{tool}")
    monkeypatch.setenv("PATH", str(directory))


def register_legacy_tables(node: Node) -> None:
    """As kube-proxy does from its container."""
    for command in ("iptables-legacy", "ip6tables-legacy"):
        node.run(command, "-t", "nat", "-L", "-n")


def collect(node: Node, keys: Conf) -> None:
    node.call("GC", keys | {"cni.dev/valid-attachments": []}).ok()


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_host_without_iptables(
    node: Node, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_legacy_tables(node)
    pod = node.pod()
    node.call("ADD", conf(), pod).ok()
    with monkeypatch.context() as patch:
        use("", tmp_path / "empty", patch)
        if verb == "DEL":
            node.call("DEL", conf(), pod).ok()
        else:
            collect(node, conf())
    assert node.nft_rules("inet cni_plugins_masquerade", "masq_checks") == []


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_native_nat_table_of_the_administrator(
    node: Node, verb: str, legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """iptables refuses to read such a table, and there is nothing of ours in it."""
    node.run("nft", NATIVE)
    if legacy:
        register_legacy_tables(node)
    native = node.nft_rules("ip nat", "POSTROUTING")
    pod = node.pod()
    node.call("ADD", conf(), pod).ok()
    with monkeypatch.context() as patch:
        use("nft", tmp_path / "nft", patch)
        if verb == "DEL":
            node.call("DEL", conf(), pod).ok()
        else:
            collect(node, conf())
    assert node.nft_rules("inet cni_plugins_masquerade", "masq_checks") == []
    assert node.nft_rules("ip nat", "POSTROUTING") == native


def test_gc_starts_iptables_only_for_rules_of_ours(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "10.9.0.1", "-j", "ACCEPT")
    with monkeypatch.context() as patch:
        patch.setattr(masquerade, "_iptables", lambda *_: pytest.fail("iptables was started"))
        masquerade.keep_only("net", ())


def remove_masquerading() -> None:
    masquerade.remove(OWNER)


def ensure_masquerading() -> None:
    masquerade.ensure(OWNER, ["10.1.2.2/24"], "nftables")


def remove_lock() -> None:
    spoofcheck.remove("c1-eth0")


def ensure_lock() -> None:
    spoofcheck.ensure("lo", "02:00:00:00:00:01", "c1-eth0")


@pytest.mark.parametrize(
    ("ensure", "remove", "late"),
    [
        (ensure_masquerading, remove_masquerading, remove_masquerading),
        (ensure_masquerading, remove_masquerading, ensure_masquerading),
        (ensure_lock, remove_lock, remove_lock),
        (ensure_lock, remove_lock, ensure_lock),
    ],
)
def test_handle_that_another_call_removed_meanwhile(
    node: Node,
    ensure: Callable[[], None],
    remove: Callable[[], None],
    late: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """nft drops the whole transaction, with all that it should have removed or made."""
    remove()
    empty = count(node)
    ensure()
    once = count(node)
    apply = nft.apply

    def apply_late(text: str, what: str) -> None:
        monkeypatch.setattr(nft, "apply", apply)
        remove()
        apply(text, what)

    monkeypatch.setattr(nft, "apply", apply_late)
    late()
    assert count(node) == (empty if late is remove else once)


def count(node: Node) -> int:
    """How many rules are ours."""
    return sum("c1" in line and " comment " in line for line in node.nft().splitlines())


def test_transaction_that_can_never_succeed(node: Node) -> None:
    """Three attempts, and then the words of nft."""
    calls: list[int] = []

    def lines() -> list[str]:
        calls.append(1)
        return ["delete table ip nosuch"]

    with pytest.raises(FileNotFoundError):
        nft.apply_listed(lines, "remove it")
    assert len(calls) == 3


def test_tools_are_found_where_there_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    found = nft.find_tool("nft")
    assert found is not None
    assert os.access(found, os.X_OK)
    assert nft.find_tool("no-such-tool") is None
