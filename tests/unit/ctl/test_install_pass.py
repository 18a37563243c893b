"""One pass of `plait install`: what it makes of a node, and what it leaves alone."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from cni.core import load
from cni.core.errors import CniError
from cni.ctl.install import conflist, executables
from cni.ctl.install.place import Place
from meta.multus import network
from tests.unit.ctl.installation import CALICO, OTHER, Node, make_release

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_bare_node(node: Node) -> None:
    installer = node.install()
    assert installer.is_complete() and not installer.warnings
    assert os.readlink(node.bin / "multus") == "plait"
    assert (node.bin / "multus").resolve().parent.name == ".plait-1-aaa"
    assert node.listed == {
        "cniVersion": "0.3.1",
        "name": "multus-cni-network",
        "plait": {"master": "10-calico.conflist"},
        "plugins": [
            {
                "type": "multus",
                "capabilities": {"bandwidth": True, "portMappings": True},
                "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
                "missingPod": "fail",
                "delegates": [CALICO],
            }
        ],
    }
    assert node.token == "token-1"
    for file in (node.conflist, node.kubeconfig):
        assert file.stat().st_mode & 0o777 == 0o600
    assert node.seen_by_runtime() == ["00-multus.conflist", "10-calico.conflist"]
    assert {each.name for each in node.conf.iterdir()} == {*node.seen_by_runtime(), "multus.d"}


def test_multus_takes_the_conflist(node: Node) -> None:
    node.install(options=conflist.parse_options(["namespaceIsolation=true", "logLevel=debug"]))
    conf: Any = load.load("meta.conf:Multus", node.plugin)
    assert (conf.namespace_isolation, conf.log_level) == (True, "debug")
    (delegate,) = conf.delegates
    assert network.parse(delegate, "1.0.0").name == "k8s-pod-network"


def test_a_second_time_writes_nothing(node: Node) -> None:
    installer = node.install()
    before = node.identities()
    installer.run()
    assert node.identities() == before


def test_a_restart_writes_nothing(node: Node) -> None:
    node.install()
    before = node.identities()
    node.install()
    assert node.identities() == before


def test_the_same_input_makes_the_same_bytes(node: Node) -> None:
    node.install()
    before = node.conflist.read_bytes()
    node.conflist.unlink()
    node.install()
    assert node.conflist.read_bytes() == before


def test_another_release(node: Node, tmp_path: Path) -> None:
    node.install()
    node.source = make_release(tmp_path / "newer", "2-bbb")
    assert not node.installer().is_complete()
    assert node.install().is_complete()
    assert (node.bin / "multus").resolve().parent.name == ".plait-2-bbb"


def test_a_damaged_executable_is_mended(node: Node) -> None:
    node.install()
    (node.bin / ".plait-1-aaa/plait").write_text("damaged")
    installer = node.install()
    assert "1-aaa" in (node.bin / "plait").read_text()
    assert installer.is_complete()


@pytest.mark.parametrize("name", ["multus", "plait"])
def test_a_link_that_was_removed_comes_back(node: Node, name: str) -> None:
    installer = node.install()
    (node.bin / name).unlink()
    assert not installer.is_complete()
    installer.run()
    assert (node.bin / name).exists() and installer.is_complete()


def test_executables_of_others(node: Node) -> None:
    (node.bin / "bridge").write_text("another's")
    with pytest.raises(CniError, match=r"not installed by Plait: bridge .* --force"):
        node.install()
    assert not node.conflist.exists()
    node.install(others=executables.REPLACE_OTHERS)
    assert (node.bin / "bridge.before-plait").read_text() == "another's"


def test_executables_of_others_stay(node: Node) -> None:
    (node.bin / "bridge").write_text("another's")
    installer = node.install(others=executables.KEEP_OTHERS)
    assert installer.is_complete()
    assert (node.bin / "bridge").read_text() == "another's"
    assert (node.bin / "multus").readlink().name == "plait"
    node.install(others=executables.KEEP_OTHERS)
    assert (node.bin / "bridge").read_text() == "another's"


def test_a_copy_over_a_link_is_mended(node: Node) -> None:
    """`cp -f`, by which others install, writes through links: into the one executable."""
    installer = node.install()
    before = (node.bin / "multus").read_bytes()
    (node.bin / "bridge").write_bytes(b"another's")
    assert (node.bin / "multus").read_bytes() == b"another's"
    installer.run()
    assert (node.bin / "multus").read_bytes() == before


def test_of_two_the_one_that_came_last_keeps_the_node(node: Node, tmp_path: Path) -> None:
    """A rolling update has both run for a while: they must not fight over every name."""
    older = node.installer()
    older.take_over()
    older.run()
    node.source = make_release(tmp_path / "newer", "2-bbb")
    newer = node.installer()
    newer.take_over()
    newer.run()
    older.run()
    assert older.warnings == ["another installer has come: the node is left to it"]
    assert (node.bin / "multus").resolve().parent.name == ".plait-2-bbb"


def test_no_release(node: Node, tmp_path: Path) -> None:
    with pytest.raises(CniError, match="no executables to install"):
        node.install(source=tmp_path)
    assert not node.conflist.exists()


def test_started_from_the_directory_of_plugins(node: Node) -> None:
    """As on a node where packaging/install was run by hand."""
    node.install()
    node.conflist.unlink()
    assert node.install(source=node.bin / ".plait-1-aaa").is_complete()
    assert node.conflist.exists()


def test_other_directories(node: Node) -> None:
    place = Place(str(node.root), "/usr/libexec/cni", "/var/lib/rancher/net.d")
    conf = node.root / "var/lib/rancher/net.d"
    conf.mkdir(parents=True)
    (conf / "10-calico.conflist").write_text(json.dumps(CALICO))
    assert node.install(place=place).is_complete()
    assert (node.root / "usr/libexec/cni/multus").exists()
    document = json.loads((conf / "00-multus.conflist").read_text())
    (plugin,) = document["plugins"]
    assert plugin["kubeconfig"] == "/var/lib/rancher/net.d/multus.d/multus.kubeconfig"


def test_a_kubeconfig_that_is_there_already(node: Node) -> None:
    installer = node.install(given_kubeconfig="/etc/kubernetes/multus.conf", account="/nowhere")
    assert node.plugin["kubeconfig"] == "/etc/kubernetes/multus.conf"
    assert installer.is_complete() and not node.kubeconfig.exists()


def test_one_step_that_fails_does_not_hold_up_the_next(node: Node) -> None:
    """But nothing new becomes visible before the rest is there."""
    node.install()
    (node.account / "token").unlink()
    node.put("10-calico.conflist", OTHER | {"type": "", "plugins": [OTHER]})
    with pytest.raises(CniError, match="no token"):
        node.install()
    assert node.plugin["delegates"][0]["name"] == "other"
    node.conflist.unlink()
    with pytest.raises(CniError, match="no token"):
        node.install()
    assert not node.conflist.exists()


@pytest.mark.parametrize(
    "option", ["namespaceIsolation", "nothing=1", "kubeconfig=/x", "delegates=[]", "logLevel=3",
               "clusterNetwork=x", "namespaceIsolation=perhaps", "type=x", "=", ""],
)  # fmt: skip
def test_options_that_multus_would_not_take(option: str) -> None:
    with pytest.raises(CniError):
        conflist.parse_options([option])


def test_options() -> None:
    texts = ["LOGLEVEL=debug", "readinessindicatorfile=/run/a=b", 'logOptions={"maxAge": 1}']
    assert conflist.parse_options(texts) == {
        "logLevel": "debug",
        "readinessindicatorfile": "/run/a=b",
        "logOptions": {"maxAge": 1},
    }
