"""Kubeconfigs and service accounts: what is read of them, and what is said of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cni.core.errors import CniError
from cni.kube import access, connection

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer
from tests.unit.kube.kubeconfig import DATA, PEM, SECRET, document, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


@pytest.mark.parametrize("form", ["json", "block", "flow", "commented"])
def test_styles(file: Path, form: str) -> None:
    content = document(context={"cluster": "c", "user": "u", "namespace": "mine"})
    text = {
        "json": json.dumps(content),
        "block": yaml.safe_dump(content),
        "flow": yaml.safe_dump(content, default_flow_style=True),
        "commented": f"# Kubeconfig file\n---\n{yaml.safe_dump(content, indent=4)}\n...\n",
    }[form]
    got = load(file, text)
    assert got == access.Access(
        "https://api:6443", f"kubeconfig {file}", namespace="mine", token=SECRET
    )


def test_what_the_original_writes(file: Path) -> None:
    got = load(
        file,
        f"""\
# Kubeconfig file for Multus CNI plugin.
apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: https://[fd00::1]:443
    certificate-authority-data: {DATA}
users:
- name: multus
  user:
    token: "{SECRET}"
contexts:
- name: multus-context
  context:
    cluster: local
    user: multus
current-context: multus-context
""",
    )
    assert (got.server, got.token, got.ca) == ("https://[fd00::1]:443", SECRET, PEM)
    assert (got.namespace, got.verify) == ("", True)


def test_everything_inline(file: Path) -> None:
    got = load(
        file,
        document(
            {
                "server": "https://10.0.0.1",
                "certificate-authority-data": "\n ".join((DATA[:20], DATA[20:])),
                "tls-server-name": "kubernetes",
            },
            {"client-certificate-data": DATA, "client-key-data": DATA},
        ),
    )
    assert (got.ca, got.certificate, got.key, got.token) == (PEM, PEM, PEM, "")
    assert got.server_name == "kubernetes"


@pytest.mark.parametrize("absolute", [True, False])
def test_everything_in_files(file: Path, *, absolute: bool) -> None:
    """Relative ones are beside the kubeconfig, wherever we are."""
    names = {}
    for name in ("ca", "crt", "key", "tok"):
        (file.parent / name).write_text(f"{name}-content\n")
        names[name] = str(file.parent / name) if absolute else name
    got = load(
        file,
        document(
            {"server": "https://10.0.0.1", "certificate-authority": names["ca"]},
            {
                "client-certificate": names["crt"],
                "client-key": names["key"],
                "tokenFile": names["tok"],
                "token": "older",
            },
        ),
    )
    assert (got.ca, got.certificate, got.key) == ("ca-content\n", "crt-content\n", "key-content\n")
    assert got.token == "tok-content"


def test_inline_data_come_before_files(file: Path) -> None:
    cluster = {
        "server": "https://a",
        "certificate-authority-data": DATA,
        "certificate-authority": "/none",
    }
    assert load(file, document(cluster)).ca == PEM


def test_skipping(file: Path) -> None:
    got = load(file, document({"server": "https://a", "insecure-skip-tls-verify": True}))
    assert not got.verify


def test_nobody(file: Path) -> None:
    """A user without credentials, and a context without user."""
    for content in (
        document(user={}),
        document(users=[{"name": "u", "user": None}]),
        document(context={"cluster": "c"}),
    ):
        got = load(file, content)
        assert (got.token, got.certificate) == ("", "")


def test_the_only_context_needs_not_be_current(file: Path) -> None:
    assert load(file, document(**{"current-context": ""})).server == "https://api:6443"


def test_json_does_not_cost_the_yaml_library(file: Path) -> None:
    import subprocess
    import sys

    file.write_text(json.dumps(document()))
    code = (
        "import sys; from cni.kube import access; access.from_kubeconfig(sys.argv[1]);"
        " print([each for each in ('yaml', 'ssl', 'base64') if each in sys.modules])"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, file], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# A service account.


@pytest.fixture
def account(tmp_path: Path) -> Path:
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "token").write_text(f"{SECRET}\n")
    (directory / "ca.crt").write_text(PEM)
    (directory / "namespace").write_text("kube-system\n")
    return directory


def in_cluster(account: Path, host: str = "10.96.0.1", port: str = "443") -> access.Access | None:
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    return access.in_cluster(environ, str(account))


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("10.96.0.1", "https://10.96.0.1:443"),
        ("fd00::1", "https://[fd00::1]:443"),
        ("kubernetes.default", "https://kubernetes.default:443"),
    ],
)
def test_service_account(account: Path, host: str, server: str) -> None:
    got = in_cluster(account, host)
    assert got == access.Access(
        server, f"service account {account}", namespace="kube-system", ca=PEM, token=SECRET
    )
    assert got is not None
    target = connection.server(got._replace(ca="", verify=False))
    assert (target.host, target.port) == (host, 443)


def test_service_account_with_the_token_alone(account: Path) -> None:
    (account / "ca.crt").unlink()
    (account / "namespace").unlink()
    got = in_cluster(account)
    assert got is not None
    assert (got.ca, got.verify, got.namespace) == ("", True, "")


def test_no_service_account(account: Path) -> None:
    assert in_cluster(account, host="") is None
    assert in_cluster(account, port="") is None
    assert access.in_cluster({}, str(account)) is None
    (account / "token").unlink()
    assert in_cluster(account) is None


def test_wrong_service_accounts(account: Path) -> None:
    (account / "token").write_text("")
    with pytest.raises(CniError, match=f"{account}/token: no token in it"):
        in_cluster(account)
    (account / "token").write_text(SECRET)
    got = in_cluster(account, port="none")
    assert got is not None
    with pytest.raises(CniError, match=f"service account {account}: server .* Port could not"):
        connection.server(got)


# What the test server's own tests rely upon.


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("auth", ["token", "tokenFile", "certificate", "certificateFiles"])
def test_kubeconfigs_of_the_test_server(
    api: ApiServer, tmp_path: Path, form: Any, auth: Any
) -> None:
    path = api.kubeconfig(tmp_path / "k", form=form, auth=auth, ca="file", namespace="n")
    got = access.from_kubeconfig(str(path))
    assert (got.server, got.namespace) == (api.url, "n")
    assert got.token == (api.token if auth.startswith("token") else "")
    assert got.certificate == ("" if got.token else api.certificates.client_certificate.read_text())
    assert got.ca == api.certificates.authority.read_text()
