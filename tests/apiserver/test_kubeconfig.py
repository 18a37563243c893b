"""Kubeconfig files: every option leads where it says."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from .server import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path / "server") as api:
        yield api


def _parts(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Cluster, user and context of the current context."""
    document = yaml.safe_load(path.read_text())
    assert (document["apiVersion"], document["kind"]) == ("v1", "Config")
    [cluster], [user], [context] = (document[key] for key in ("clusters", "users", "contexts"))
    assert document["current-context"] == context["name"]
    assert context["context"]["cluster"] == cluster["name"]
    assert context["context"]["user"] == user["name"]
    return cluster["cluster"], user["user"], context["context"]


def test_as_multus_writes_it(api: ApiServer, tmp_path: Path) -> None:
    path = api.kubeconfig(tmp_path / "net.d" / "multus.kubeconfig")
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    for line in ("clusters:\n- name: local\n  cluster:\n    server: https://127.0.0.1:", "- name:"):
        assert line in text
    cluster, user, context = _parts(path)
    assert cluster["server"] == api.url
    data = base64.b64decode(cluster["certificate-authority-data"])
    assert data == api.certificates.authority.read_bytes()
    assert user == {"token": api.token}
    assert "namespace" not in context


def test_both_forms_say_the_same(api: ApiServer, tmp_path: Path) -> None:
    text = api.kubeconfig(tmp_path / "json", form="json", namespace="n1").read_text()
    assert json.loads(text) == yaml.safe_load(
        api.kubeconfig(tmp_path / "yaml", namespace="n1").read_text()
    )


def test_authorities(api: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "k"
    files = api.certificates
    assert _parts(api.kubeconfig(path, ca="file"))[0]["certificate-authority"] == str(
        files.authority
    )
    wrong = _parts(api.kubeconfig(path, ca="wrong"))[0]["certificate-authority-data"]
    assert base64.b64decode(wrong) == files.other_authority.read_bytes()
    skip = _parts(api.kubeconfig(path, ca="skip"))[0]
    assert skip == {"server": api.url, "insecure-skip-tls-verify": True}
    assert _parts(api.kubeconfig(path, ca="none"))[0] == {"server": api.url}


def test_users(api: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "k"
    files = api.certificates
    assert _parts(api.kubeconfig(path, token="123"))[1] == {"token": "123"}
    assert _parts(api.kubeconfig(path, token="null"))[1] == {"token": "null"}
    file = Path(_parts(api.kubeconfig(path, auth="tokenFile"))[1]["tokenFile"])
    assert (file, file.read_text()) == (tmp_path / "k.token", api.token)
    assert _parts(api.kubeconfig(path, auth="certificateFiles"))[1] == {
        "client-certificate": str(files.client_certificate),
        "client-key": str(files.client_key),
    }
    inline = _parts(api.kubeconfig(path, auth="certificate"))[1]
    assert base64.b64decode(inline["client-key-data"]) == files.client_key.read_bytes()
    assert _parts(api.kubeconfig(path, auth="none"))[1] == {}


def test_server_and_namespace(api: ApiServer, tmp_path: Path) -> None:
    other = "https://localhost:1/"
    cluster, _, context = _parts(api.kubeconfig(tmp_path / "k", server=other, namespace="n1"))
    assert (cluster["server"], context["namespace"]) == (other, "n1")
