"""Another multus on the node, and programs that take our conflist away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError
from tests.unit.ctl.installation import CALICO, ORIGINAL, OTHER, Node

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def refused(node: Node, **wish: Any) -> str:
    """The error of an installation that changes nothing."""
    before = node.content()
    with pytest.raises(CniError) as caught:
        node.install(**wish)
    assert node.content() == before
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        ORIGINAL,
        {**ORIGINAL, "type": "multus-shim"},
        {**OTHER, "type": "", "plugins": [OTHER, ORIGINAL]},
    ],
)
@pytest.mark.parametrize("name", ["70-multus.conflist", "00-multus.conf", "99-x.json"])
def test_it_never_wraps_multus(node: Node, name: str, content: Any) -> None:
    (node.conf / "10-calico.conflist").unlink()
    if name.endswith(".conflist") and "plugins" not in content:
        content = {**content, "type": "", "plugins": [content]}
    node.put(name, content)
    with pytest.raises(CniError):
        node.install(replaces_multus=True)
    assert not node.conflist.exists()


@pytest.mark.parametrize("name", ["00-multus.conf", "00-multus.conflist"])
def test_another_multus_is_refused(node: Node, name: str) -> None:
    listed = {"name": "n", "cniVersion": "1.0.0", "plugins": [ORIGINAL]}
    node.put(name, listed if name.endswith("list") else ORIGINAL)
    said = refused(node)
    assert name in said and "--replace-multus" in said


@pytest.mark.parametrize("name", ["00-multus.conf", "00-multus.conflist"])
def test_another_multus_is_replaced_if_wanted(node: Node, name: str) -> None:
    listed = {"name": "n", "cniVersion": "1.0.0", "plugins": [ORIGINAL]}
    before = node.put(name, listed if name.endswith("list") else ORIGINAL).read_bytes()
    node.kubeconfig.parent.mkdir()
    node.kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    node.install(replaces_multus=True)
    assert node.seen_by_runtime() == ["00-multus.conflist", "10-calico.conflist"]
    assert node.plugin["delegates"] == [CALICO]
    assert (node.conf / f"{name}.before-plait").read_bytes() == before
    kept = node.kubeconfig.with_name("multus.kubeconfig.before-plait")
    assert kept.read_text().startswith("apiVersion") and node.token == "token-1"
    content = node.content()
    node.install()  # needs no flag again
    assert node.content() == content


def test_another_multus_that_comes_later(node: Node) -> None:
    """It is told of; what is ours goes on, the token above all."""
    installer = node.install()
    node.put("00-multus.conf", ORIGINAL)
    node.give_account("token-2")
    with pytest.raises(CniError, match="another multus is configured"):
        installer.run()
    assert node.token == "token-2" and "00-multus.conf" in node.seen_by_runtime()


@pytest.mark.parametrize("damaged", ["", "\0\0\0", '{"cniVersion": "1.0.0", "plug', "[]"])
def test_a_damaged_conflist_is_mended(node: Node, damaged: str) -> None:
    node.install()
    before = node.conflist.read_bytes()
    node.conflist.write_text(damaged)
    node.install()
    assert node.conflist.read_bytes() == before


def test_a_multus_that_sorts_behind_is_no_rival(node: Node) -> None:
    node.put("70-multus.conf", ORIGINAL)
    assert node.install().is_complete()
    assert "70-multus.conf" in node.seen_by_runtime()


def test_a_conflist_that_is_taken_away(node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    """It is made again, at once and then every ten seconds at most, and each time that is said."""
    installer = node.install()
    capfd.readouterr()
    for seconds, expected in ((0, True), (0, False), (9, False), (1, True), (9, False), (9, True)):
        node.time += seconds
        node.conflist.rename(node.conf / "00-multus.conflist.cilium_bak")
        installer.run()
        assert node.conflist.exists() == installer.is_complete() == expected
        said = "another program took our place" in capfd.readouterr().err
        assert said == expected
        if not expected:
            (node.conf / "00-multus.conflist.cilium_bak").rename(node.conflist)


def test_a_conflist_that_is_changed(node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    installer = node.install()
    before = node.conflist.read_bytes()
    node.conflist.write_bytes(before.replace(b"calico-ipam", b"other-ipam"))
    installer.run()
    assert node.conflist.read_bytes() == before
    assert "another program took our place" in capfd.readouterr().err


def test_another_multus_that_comes_back(node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    node.put("00-multus.conf", ORIGINAL)
    installer = node.install(replaces_multus=True)
    for seconds, expected in ((0, True), (0, False), (10, True)):
        node.time += seconds
        node.put("00-multus.conf", ORIGINAL)
        installer.run()
        assert ("00-multus.conf" not in node.seen_by_runtime()) == expected
    assert "found=00-multus.conf" in capfd.readouterr().err
