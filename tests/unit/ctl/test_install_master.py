"""The default network that the conflist is made from: which it is, and when it changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError
from tests.unit.ctl.installation import CALICO, OTHER, Node

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_default_network_that_changes(node: Node) -> None:
    installer = node.install()
    changed = {**CALICO, "cniVersion": "1.0.0", "plugins": CALICO["plugins"][:1]}
    node.put("10-calico.conflist", changed)
    installer.run()
    assert node.listed["cniVersion"] == "1.0.0"
    assert node.plugin["delegates"] == [changed]
    assert node.plugin["capabilities"] == {}


@pytest.mark.parametrize("text", ["", "{", json.dumps(CALICO)[:60], "[]", "{}", '{"name": "x"}'])
def test_a_default_network_that_is_being_written(node: Node, text: str) -> None:
    """Nor does another network take its place."""
    installer = node.install()
    before = node.content()
    node.put("10-calico.conflist", text)
    node.put("20-other.conf", OTHER)
    for each in (installer, node.installer()):
        with pytest.raises(CniError, match=r"10-calico\.conflist cannot be used now"):
            each.run()
    after = node.content()
    assert all(after[path] == what for path, what in before.items() if "10-calico" not in path)
    node.put("10-calico.conflist", CALICO)
    installer.run()
    assert installer.is_complete()


def test_a_default_network_that_is_gone(node: Node) -> None:
    installer = node.install()
    before = node.conflist.read_bytes()
    (node.conf / "10-calico.conflist").unlink()
    for each in (installer, node.installer()):
        with pytest.raises(CniError, match="no default network yet"):
            each.run()
    assert node.conflist.read_bytes() == before
    assert installer.is_complete()


def test_another_network_waits_before_it_takes_the_place(node: Node) -> None:
    installer = node.installer(patience=300)
    installer.run()
    node.put("87-podman.conflist", OTHER | {"type": "", "plugins": [OTHER]})
    (node.conf / "10-calico.conflist").unlink()
    for seconds in (0, 299):
        node.time += seconds
        with pytest.raises(CniError, match=r"10-calico\.conflist is gone; .* 87-podman"):
            installer.run()
    node.put("10-calico.conflist", CALICO)
    installer.run()
    (node.conf / "10-calico.conflist").unlink()
    node.time += 100
    with pytest.raises(CniError):  # it counts from the second time that it went
        installer.run()
    node.time += 300
    installer.run()
    assert node.listed["plait"] == {"master": "87-podman.conflist"}


def test_a_network_that_sorts_before_is_the_default_at_once(node: Node) -> None:
    installer = node.installer(patience=300)
    installer.run()
    node.put("05-other.conf", OTHER)
    installer.run()
    assert node.plugin["delegates"] == [OTHER]


@pytest.mark.parametrize("wanted", ["other", "20-other.conf"])
def test_a_default_network_that_was_named(node: Node, wanted: str) -> None:
    node.put("20-other.conf", OTHER)
    installer = node.install(default_network=wanted)
    assert node.plugin["delegates"] == [OTHER]
    (node.conf / "20-other.conf").unlink()
    before = node.conflist.read_bytes()
    with pytest.raises(CniError, match=f'no network or file is called "{wanted}"'):
        installer.run()
    assert node.conflist.read_bytes() == before


def test_files_that_no_runtime_reads(node: Node) -> None:
    (node.conf / "10-calico.conflist").unlink()
    for name in ("05-a.conflist.cilium_bak", "05-b.yaml", ".05-c.conf", "05-d.conf.before-plait"):
        node.put(name, OTHER)
    (node.conf / "06-folder.conf").mkdir()
    with pytest.raises(CniError, match="no default network yet"):
        node.install()


def test_a_broken_file_of_another_network(node: Node) -> None:
    node.put("05-broken.conf", "{")
    (warning,) = node.install().warnings
    assert warning.startswith("05-broken.conf cannot be used: ")
    assert node.plugin["delegates"] == [CALICO]


def test_a_file_that_sorts_before_ours(node: Node) -> None:
    node.put("00-aaa.conf", OTHER)
    (warning,) = node.install().warnings
    assert warning.startswith("00-aaa.conf: the runtime takes it before 00-multus.conflist")


def test_plugins_in_a_folder_of_a_list(node: Node) -> None:
    """libcni adds them to a list in a file; a delegate has no such folder."""
    (node.conf / "k8s-pod-network").mkdir()
    node.put("k8s-pod-network/50-more.conf", {"type": "tuning", "capabilities": {"mac": True}})
    node.install()
    (delegate,) = node.plugin["delegates"]
    assert [each["type"] for each in delegate["plugins"]][-1] == "tuning"
    assert delegate["loadOnlyInlinedPlugins"] is True
    assert "mac" in node.plugin["capabilities"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.2.0", "0.3.1"), ("0.3.1", "0.3.1"), ("0.4.0", "0.4.0"),
        ("1.0.0", "1.0.0"), ("1.1.0", "1.1.0"), (None, "0.3.1"),
    ],
)  # fmt: skip
def test_versions(node: Node, version: str | None, expected: str) -> None:
    node.put("10-calico.conflist", {**CALICO, "cniVersion": version})
    node.install()
    assert node.listed["cniVersion"] == expected


def test_a_broken_default_network_behind_a_new_one(node: Node) -> None:
    installer = node.install()
    node.put("10-calico.conflist", "{")
    node.put("05-other.conf", OTHER)
    installer.run()
    assert node.plugin["delegates"] == [OTHER]
