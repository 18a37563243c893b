"""`plait uninstall`: takes what was installed, puts back what was kept, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError
from cni.ctl.install import conflist, executables, removal
from cni.ctl.install.place import Place
from tests.unit.ctl.installation import CALICO, ORIGINAL, Node

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def uninstall(node: Node) -> None:
    removal.uninstall(Place(str(node.root)), str(node.source))


def test_nothing_is_left_and_a_second_time_is_fine(node: Node) -> None:
    (node.bin / "calico").write_text("not ours")
    before = node.content()
    node.install()
    for _ in range(2):
        uninstall(node)
        assert node.content() == before
        assert not node.kubeconfig.parent.exists()


def test_where_nothing_was_installed(node: Node, tmp_path: Path) -> None:
    before = node.content()
    uninstall(node)
    assert node.content() == before
    removal.uninstall(Place(str(tmp_path / "nowhere")), str(node.source))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["00-multus.conf", "00-multus.conflist"])
def test_what_was_kept_comes_back(node: Node, name: str) -> None:
    node.put(name, {"name": "n", "plugins": [ORIGINAL]} if name.endswith("list") else ORIGINAL)
    node.kubeconfig.parent.mkdir()
    node.kubeconfig.write_text("kind: Config\n")
    (node.bin / "multus").write_text("the original")
    before = node.content()
    node.install(replaces_multus=True, others=executables.REPLACE_OTHERS)
    uninstall(node)
    assert node.content() == before


def test_what_others_have_put_there_since_stays(node: Node) -> None:
    node.put("00-multus.conf", ORIGINAL)
    node.install(replaces_multus=True)
    newer = node.put("00-multus.conf", {**ORIGINAL, "logLevel": "debug"}).read_text()
    node.kubeconfig.write_text("kind: Config\n")
    (node.kubeconfig.parent / "more").write_text("")
    uninstall(node)
    assert (node.conf / "00-multus.conf").read_text() == newer
    assert node.kubeconfig.read_text() == "kind: Config\n"
    assert (node.kubeconfig.parent / "more").exists() and not node.conflist.exists()


def test_a_conflist_that_is_not_ours_stays(node: Node) -> None:
    node.install()
    theirs = {"name": "n", "plugins": [ORIGINAL]}
    node.conflist.write_text(json.dumps(theirs))
    uninstall(node)
    assert node.listed == theirs


def test_ours_under_another_name_goes_too(node: Node) -> None:
    node.install()
    node.conflist.rename(node.conf / "00-multus.conflist.cilium_bak")
    node.put("10-calico.conflist.cilium_bak", CALICO)
    uninstall(node)
    assert {each.name for each in node.conf.iterdir()} == {
        "10-calico.conflist",
        "10-calico.conflist.cilium_bak",
    }


def test_every_step_is_attempted(node: Node) -> None:
    """A directory in the place of a file, and no release to take the installer from."""
    node.install()
    node.kubeconfig.unlink()
    (node.kubeconfig.with_name(".multus.kubeconfig.tmp")).mkdir()
    with pytest.raises(CniError) as caught:
        removal.uninstall(Place(str(node.root)), "")
    said = str(caught.value)
    assert "multus.kubeconfig.tmp" in said and "cannot remove the executables" in said
    assert not node.conflist.exists()
    (node.kubeconfig.with_name(".multus.kubeconfig.tmp")).rmdir()
    uninstall(node)
    assert not node.kubeconfig.parent.exists() and not (node.bin / "multus").exists()


def test_from_the_directory_of_plugins(node: Node) -> None:
    node.install()
    removal.uninstall(Place(str(node.root)), str(node.bin / ".plait-1-aaa"))
    assert list(node.bin.iterdir()) == []


@pytest.mark.parametrize("option", ["", "cniDir=/srv/multus"])
def test_attached_containers_are_told_of(
    node: Node, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    records = node.root / (option.partition("=")[2] or "/var/lib/cni/multus").lstrip("/")
    (records / "results").mkdir(parents=True)
    node.install(options=conflist.parse_options([option] if option else []))
    (records / "c1").write_text("[]")
    (records / "c2").write_text("[]")
    capfd.readouterr()
    uninstall(node)
    said = capfd.readouterr().err
    assert "containers are still attached" in said and "containers=2" in said
    assert {each.name for each in records.iterdir()} == {"c1", "c2", "results"}
