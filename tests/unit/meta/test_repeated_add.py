"""An ADD for a container that has been added: a live pod is never touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meta.multus import sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from tests.unit.meta.harness import Json, Node


def added(node: Node, **env: str) -> Json:
    node.plugin("pa", "pb")
    conf = node.conf({"name": "a", "type": "pa"}, {"name": "b", "type": "pb"})
    assert node.call("ADD", conf, **env).status == 0
    node.calls()
    return conf


def see(monkeypatch: pytest.MonkeyPatch, *interfaces: str) -> None:
    """Stand in for a namespace with these interfaces."""

    def present(netns: str, ifnames: Iterable[str]) -> set[str]:
        return set(ifnames) & set(interfaces)

    monkeypatch.setattr(sandbox, "present", present)
    monkeypatch.setattr(sandbox, "can_look", lambda netns: True)


def test_a_live_container_is_refused_and_nothing_changes(node: Node) -> None:
    conf = added(node)
    before = {name: (node.cni_dir / name).read_text() for name in node.files()}
    reply = node.call("ADD", conf)
    assert reply.code == 7
    assert reply.msg == 'container "cid1" is already attached (eth0, net1): DEL it first'
    assert node.calls() == []
    assert {name: (node.cni_dir / name).read_text() for name in node.files()} == before
    assert node.call("DEL", conf).status == 0


def test_so_it_is_when_its_interface_is_seen(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = added(node)
    see(monkeypatch, "net1")
    assert node.call("ADD", conf).code == 7
    assert node.calls() == []


def test_a_namespace_made_anew_under_the_same_name(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = added(node)
    see(monkeypatch)
    assert node.call("ADD", conf).status == 0
    assert node.calls() == ["DEL pb net1", "DEL pa eth0", "ADD pa eth0", "ADD pb net1"]


def test_the_same_container_after_a_boot(node: Node) -> None:
    """podman starts a container again under its ID, in another namespace and without a DEL."""
    conf = added(node)
    other = node.root / "netns2"
    other.touch()
    assert node.call("ADD", conf, CNI_NETNS=str(other)).status == 0
    assert node.calls() == ["DEL pb net1", "DEL pa eth0", "ADD pa eth0", "ADD pb net1"]
    assert node.env(0)["CNI_NETNS"] == str(node.netns)
    assert node.scratch()[0]["plait"]["netns"] == str(other)


def test_another_path_to_the_same_namespace_is_the_same(node: Node) -> None:
    conf = added(node)
    link = node.root / "link"
    link.symlink_to(node.netns)
    assert node.call("ADD", conf, CNI_NETNS=str(link)).code == 7
    assert node.calls() == []


def test_a_number_of_proc_may_be_a_stranger_s(node: Node) -> None:
    conf = added(node, CNI_NETNS="/proc/0/ns/net")
    assert node.call("ADD", conf).status == 0
    assert node.calls()[:2] == ["DEL pb net1", "DEL pa eth0"]
    assert node.env(0)["CNI_NETNS"] == ""


def test_an_interface_of_that_name_is_there_already(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original runs into it after the first delegates, and its rollback takes it away."""
    node.plugin("pa", "pb")
    conf = node.conf({"name": "a", "type": "pa"}, {"name": "b", "type": "pb"})
    see(monkeypatch, "net1")
    reply = node.call("ADD", conf)
    assert reply.code == 7
    assert reply.msg == (
        'DelegateAdd: cannot set "pb" interface name to "net1":'
        " validateIfName: interface name net1 already exists"
    )
    assert node.calls() == []
    assert node.files() == []


def test_a_torn_record_of_a_live_container(node: Node) -> None:
    conf = added(node)
    (node.cni_dir / "cid1").write_text("[{")
    assert node.call("ADD", conf).code == 7
    assert node.calls() == []


def test_a_torn_record_of_which_nothing_is_left(node: Node) -> None:
    node.plugin("pa")
    node.cni_dir.mkdir(parents=True)
    (node.cni_dir / "cid1").write_text("[{")
    conf = node.conf({"name": "a", "type": "pa"})
    assert node.call("ADD", conf).status == 0
    assert node.calls() == ["ADD pa eth0"]
    assert node.scratch()[0]["Name"] == "a"
