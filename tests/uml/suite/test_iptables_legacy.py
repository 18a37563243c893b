"""ipMasq with the iptables of old nodes, which the nftables library does not see."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.netns.confs import bridge, static

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.node import Node


@pytest.fixture
def legacy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`iptables` is the legacy one, as on a node whose alternatives say so."""
    for name in ("iptables", "ip6tables", "iptables-restore", "ip6tables-restore"):
        (tmp_path / name).symlink_to("/usr/sbin/xtables-legacy-multi")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def rules(node: Node, command: str = "iptables") -> list[str]:
    shown = node.run(command, "-t", "nat", "-S").splitlines()
    return [each for each in shown if "CNI-" in each]


@pytest.mark.usefixtures("legacy")
def test_rules_come_and_go(node: Node) -> None:
    conf = bridge(
        isGateway=True, ipMasq=True, ipMasqBackend="iptables",
        ipam=static("10.5.0.5/24", "fd00:5::5/64"),
    )  # fmt: skip
    pod = node.pod()
    result = node.call("ADD", conf, pod).ok()
    assert len(rules(node)) == len(rules(node, "ip6tables")) == 4
    assert any("-s 10.5.0.5/32" in each for each in rules(node))
    node.call("CHECK", conf | {"prevResult": result}, pod).ok()
    pod.destroy()
    node.call("DEL", conf, pod).ok()
    assert rules(node) == rules(node, "ip6tables") == []


@pytest.mark.usefixtures("legacy")
def test_it_is_the_default_where_the_kernel_has_no_nftables(node: Node) -> None:
    conf = bridge(version="1.1.0", isGateway=True, ipMasq=True, ipam=static("10.5.0.5/24"))
    pod = node.pod()
    result = node.call("ADD", conf, pod).ok()
    assert len(rules(node)) == 4
    node.call("CHECK", conf | {"prevResult": result}, pod).ok()
    node.call("DEL", conf, pod).ok()
    assert rules(node) == []
