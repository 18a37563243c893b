"""The kubeconfig that a node's multus gets from the installer's service account."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError
from cni.ctl.install import kubeconfig
from cni.kube import access
from tests.unit.ctl.installation import CERTIFICATE, Node

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_our_client_reads_it(node: Node) -> None:
    node.install()
    found = access.from_kubeconfig(str(node.kubeconfig))
    assert found.server == "https://10.96.0.1:443"
    assert (found.token, found.namespace, found.verify) == ("token-1", "kube-system", True)
    assert found.ca == CERTIFICATE % "QQ=="


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kubectl_reads_it(node: Node) -> None:
    node.install()
    command = ["kubectl", "--kubeconfig", str(node.kubeconfig), "config", "view", "--raw"]
    shown = subprocess.run([*command, "--minify", "-o", "json"], capture_output=True, check=True)
    document = json.loads(shown.stdout)
    assert document["clusters"][0]["cluster"] == {
        "server": "https://10.96.0.1:443",
        "certificate-authority-data": base64.b64encode((CERTIFICATE % "QQ==").encode()).decode(),
    }
    assert document["users"][0]["user"] == {"token": "token-1"}


def test_a_new_token_and_a_new_authority(node: Node) -> None:
    installer = node.install()
    conflist = node.conflist.stat().st_ino
    node.give_account("token-2\n", "Qg==")
    installer.run()
    assert node.token == "token-2"
    assert access.from_kubeconfig(str(node.kubeconfig)).ca == CERTIFICATE % "Qg=="
    assert node.conflist.stat().st_ino == conflist


def test_it_stays_private(node: Node) -> None:
    installer = node.install()
    node.kubeconfig.chmod(0o644)
    installer.run()
    assert node.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert node.kubeconfig.parent.stat().st_mode & 0o777 == 0o700


def test_one_that_was_removed_or_damaged(node: Node) -> None:
    installer = node.install()
    before = node.kubeconfig.read_bytes()
    node.kubeconfig.unlink()
    assert not installer.is_complete()
    installer.run()
    node.kubeconfig.write_bytes(before[:40])
    installer.run()
    assert node.kubeconfig.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("token", ""),
        ("token", "\n"),
        ("token", "two words"),
        ("token", "tok\0en"),
        ("token", "tokén"),
        ("ca.crt", ""),
        ("ca.crt", "nothing"),
        ("ca.crt", (CERTIFICATE % "QQ==")[:40]),
    ],
)
def test_an_account_that_is_being_written(node: Node, name: str, text: str) -> None:
    installer = node.install()
    before = node.kubeconfig.read_bytes()
    (node.account / name).write_text(text)
    with pytest.raises(CniError, match=f"{name} holds no"):
        installer.run()
    assert node.kubeconfig.read_bytes() == before


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_no_account(node: Node, name: str) -> None:
    (node.account / name).unlink()
    with pytest.raises(CniError, match=f"no {name} of a service account in .* --kubeconfig"):
        node.install()
    assert not node.conflist.exists() and not node.kubeconfig.exists()


def test_an_account_without_a_namespace(node: Node) -> None:
    (node.account / "namespace").unlink()
    node.install()
    assert access.from_kubeconfig(str(node.kubeconfig)).namespace == "default"


@pytest.mark.parametrize(
    ("host", "protocol", "expected"),
    [
        ("10.96.0.1", None, "https://10.96.0.1:443"),
        ("fd00::1", None, "https://[fd00::1]:443"),
        ("[fd00::1]", "", "https://[fd00::1]:443"),
        ("api.example", "http", "http://api.example:443"),
    ],
)
def test_servers(host: str, protocol: str | None, expected: str) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    if protocol is not None:
        environ["KUBERNETES_SERVICE_PROTOCOL"] = protocol
    assert kubeconfig.server_of(environ) == expected


def test_no_server() -> None:
    with pytest.raises(CniError, match="KUBERNETES_SERVICE_HOST"):
        kubeconfig.server_of({"KUBERNETES_SERVICE_HOST": "10.96.0.1"})


@pytest.mark.parametrize(
    "url", ["", "10.96.0.1:443", "ftp://host", "https://", "https://a b", "https://h:x", "https://[x"]
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(CniError, match="no URL"):
        kubeconfig.checked_server(url)


def test_a_server_that_is_named(node: Node) -> None:
    node.install(server="https://api.example:6443")
    assert access.from_kubeconfig(str(node.kubeconfig)).server == "https://api.example:6443"


def test_the_accounts_directory_as_the_kubelet_keeps_it(node: Node) -> None:
    """Links to a link, which it moves to a new directory."""
    for number in (1, 2):
        generation = node.account / f"..{number}"
        generation.mkdir()
        (generation / "token").write_text(f"token-{number}")
    (node.account / "..data").symlink_to("..1")
    (node.account / "token").unlink()
    (node.account / "token").symlink_to("..data/token")
    installer = node.install()
    (node.account / "..tmp").symlink_to("..2")
    os.rename(node.account / "..tmp", node.account / "..data")
    installer.run()
    assert node.token == "token-2"
