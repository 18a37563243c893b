"""Addresses, certificates, and answers that no proper server gives."""

from __future__ import annotations

import _socket
import json
import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.core.errors import CniError
from cni.kube import connection, url
from cni.kube.access import Access
from cni.kube.client import Client
from cni.kube.failures import ApiError
from tests.unit.kube.scripted import Scripted, answer, tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.apiserver.certificates import Certificates
    from tests.apiserver.server import ApiServer
    from tests.unit.kube.conftest import Connect

POD = json.dumps({"kind": "Pod", "metadata": {"name": "p1"}}).encode()
PATH = "/api/v1/namespaces/default/pods/p1"

pytestmark = pytest.mark.usefixtures("either_tls")


def refusal(made: Client) -> ApiError:
    with pytest.raises(ApiError) as raised:
        made.get(PATH)
    return raised.value


# Addresses.


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("https://10.0.0.1:6443", ("10.0.0.1", 6443, "")),
        ("https://api.example", ("api.example", 443, "")),
        ("HTTPS://Api.Example/", ("api.example", 443, "")),
        ("https://[fd00::1]:6443", ("fd00::1", 6443, "")),
        ("https://rancher/k8s/clusters/c-1/", ("rancher", 443, "/k8s/clusters/c-1")),
        ("10.0.0.1:6443", ("10.0.0.1", 6443, "")),
        ("api.example", ("api.example", 443, "")),
        # the original's installer puts brackets around every host
        ("https://[10.96.0.1]:443", ("10.96.0.1", 443, "")),
        ("https://[api.example.com]", ("api.example.com", 443, "")),
    ],
)
def test_addresses(address: str, wanted: tuple[str, int, str]) -> None:
    got = connection.server(Access(address, "k", verify=False))
    assert (got.host, got.port, got.prefix) == wanted
    assert got.tls is not None
    assert got.name == got.host


URL = st.text("aA1:/[]?#.%@-") | st.text("ab1:./", min_size=1).map(lambda text: f"[::1]{text}")


@given(st.sampled_from(["https", "HTTP"]), URL)
def test_addresses_are_taken_apart_as_the_library_does_it(scheme: str, rest: str) -> None:
    """But for what it lets pass: users, and brackets around what is no address."""
    text = f"{scheme}://{rest}"
    try:
        parts = urlsplit(text)
        theirs = (parts.scheme, parts.hostname or "", parts.port or 0, parts.path)
    except ValueError:
        with pytest.raises(ValueError):
            url.parts(text)
        return
    try:
        ours = url.parts(text)
    except ValueError:
        assert "@" in text or "[" in text or "]" in text or parts.netloc.count(":") > 1
    else:
        assert ours == theirs or "@" in text


@pytest.mark.parametrize(
    "address",
    [
        *("https://", "https:///path", "ftp://a", "https://a:b", "https://a:99999", "https://[::1"),
        *("https://ä", "https://a b", "https://a/ä", "https://a/b c", "https://a\0b", "https://.a"),
        *("unix:///run/a.sock", "https://a\r\nX: 1", "x" * 5000),
    ],
)
def test_what_is_no_address(address: str) -> None:
    if address == "x" * 5000:
        address = f"https://{address}:port"
    with pytest.raises(CniError, match='kubeconfig k: server "') as raised:
        connection.server(Access(address, "kubeconfig k"))
    assert raised.value.code == 7
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1100


def test_a_password_in_the_address_is_not_repeated() -> None:
    with pytest.raises(CniError, match='k: "server" must be an address without a user') as raised:
        connection.server(Access("https://user:very-secret@a", "kubeconfig k"))
    assert "very-secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["ä", "a b", ".a", "a\0"])
def test_wrong_server_names(name: str) -> None:
    with pytest.raises(CniError, match='"tls-server-name" cannot be "'):
        connection.server(Access("https://a", "kubeconfig k", server_name=name))


def test_ipv6(api: ApiServer, connect: Connect) -> None:
    context = tls(api.certificates)
    with Scripted(context, answer(POD), host="::1") as server:
        made = Client(lambda: Access(f"https://[::1]:{server.port}", "k", verify=False))
        assert made.get(PATH) == json.loads(POD)
        assert b"Host: [::1]:%d\r\n" % server.port in server.requests[0]


def test_prefix(api: ApiServer, connect: Connect) -> None:
    with Scripted(tls(api.certificates), answer(POD)) as server:
        connect(f"{server.url}/k8s/clusters/c-1").get(PATH)
        assert server.requests[0].startswith(b"GET /k8s/clusters/c-1/api/v1/")


def test_without_tls_where_the_address_says_so(api: ApiServer) -> None:
    with Scripted(None, answer(POD)) as server:
        made = Client(lambda: Access(f"http://127.0.0.1:{server.port}", "k"))
        assert made.get(PATH) == json.loads(POD)


# Names.


def resolving(monkeypatch: pytest.MonkeyPatch, addresses: Any) -> None:
    """Let every name have these addresses; or be what a function says."""
    real = _socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, **kinds: Any) -> Any:
        if kinds.get("flags") == socket.AI_NUMERICHOST:
            return real(host, port, **kinds)
        assert isinstance(host, bytes)  # a text costs the codec of international names
        return addresses(port) if callable(addresses) else addresses

    monkeypatch.setattr(_socket, "getaddrinfo", getaddrinfo)


def test_a_name(api: ApiServer, connect: Connect) -> None:
    api.pod("default", "p1")
    assert connect(f"https://localhost:{api.port}").get(PATH)["kind"] == "Pod"


def test_a_name_that_nobody_knows(connect: Connect) -> None:
    error = refusal(connect("https://none.invalid", attempts=2))
    assert error.code == 11
    assert "cannot resolve none.invalid: " in error.msg
    assert "2 tries in " in error.details


def test_a_resolver_that_hangs(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(_: int) -> Any:
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "late")

    resolving(monkeypatch, hang)
    error = refusal(connect("https://slow.example", connect=0.2, attempts=2))
    over.set()
    assert error.reason == "no address of slow.example in time"


@pytest.fixture
def deaf() -> Iterator[tuple[str, int]]:
    """An address that takes no connection and does not refuse one: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        address: tuple[str, int] = listener.getsockname()
        yield address
        for each in waiting:
            each.close()


def test_a_silent_address_leaves_time_to_the_next(
    api: ApiServer, connect: Connect, deaf: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.pod("default", "p1")
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
        for address in (deaf, ("127.0.0.1", api.port))
    ]
    resolving(monkeypatch, both)
    assert connect(f"https://localhost:{api.port}", connect=1.0, attempts=1).get(PATH)


def test_nobody_takes_the_connection(connect: Connect, deaf: tuple[str, int]) -> None:
    error = refusal(connect(f"https://127.0.0.1:{deaf[1]}", connect=0.2, attempts=1))
    assert (error.code, error.reason) == (11, "no connection in time")


# Certificates.


def openssl(*command: str | Path) -> None:
    subprocess.run(["openssl", *command], check=True, capture_output=True)


def issued(certificates: Certificates, directory: Path, names: str, days: int = 30) -> Path:
    """One for the server's key, signed by the authority."""
    files = {each: directory / f"issued.{each}" for each in ("csr", "ext", "crt")}
    files["ext"].write_text(f"subjectAltName={names}")
    authority_key = certificates.authority.with_name("ca.key")
    by: tuple[Any, ...] = ("-CA", certificates.authority, "-CAkey", authority_key)
    key = certificates.key
    openssl("req", "-new", "-key", key, "-subj", "/CN=localhost", "-out", files["csr"])
    request = ("-in", files["csr"], "-extfile", files["ext"], "-days", str(days))
    openssl("x509", "-req", *by, *request, "-out", files["crt"])
    return files["crt"]


def untrusted(made: Client) -> str:
    """The reason of an error that is about trust, and the only try."""
    error = refusal(made)
    assert error.code == 7
    assert error.details.startswith("1 try in ")
    prefix, _, reason = error.reason.partition(": ")
    assert prefix == "its certificate is not trusted"
    return reason


def test_an_authority_that_is_not_ours(api: ApiServer, tmp_path: Path) -> None:
    for ca in (api.certificates.other_authority.read_text(), ""):
        reason = untrusted(Client(lambda ca=ca: Access(api.url, "k", ca=ca)))  # type: ignore[misc]
        assert "self-signed certificate" in reason or "local issuer" in reason
    assert api.requests == []


def test_a_name_that_is_not_the_servers(api: ApiServer, connect: Connect) -> None:
    ca = api.certificates.authority.read_text()
    made = Client(lambda: Access(api.url, "k", ca=ca, server_name="other.example"))
    assert untrusted(made) == ("Hostname mismatch, certificate is not valid for 'other.example'.")
    context = tls(api.certificates)
    with Scripted(context, answer(POD), host="::1") as server:
        made = Client(lambda: Access(f"https://[::1]:{server.port}", "k", ca=ca))
        assert "IP address mismatch" in untrusted(made)
        made = Client(
            lambda: Access(f"https://[::1]:{server.port}", "k", ca=ca, server_name="localhost")
        )
        assert made.get(PATH) == json.loads(POD)
        made = Client(lambda: Access(f"https://[::1]:{server.port}", "k", verify=False))
        assert made.get(PATH) == json.loads(POD)


@pytest.fixture
def signing(api: ApiServer, tmp_path: Path) -> Certificates:
    """The certificates of the server together with the key of an authority, which we make."""
    key, authority = tmp_path / "ca.key", tmp_path / "ca.crt"
    made = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
    openssl("req", "-x509", *made, "-keyout", key, "-out", authority, "-subj", "/CN=a")
    return api.certificates._replace(authority=authority)


def test_expired(signing: Certificates, tmp_path: Path) -> None:
    context = tls(signing, issued(signing, tmp_path, "IP:127.0.0.1", days=-1))
    with Scripted(context, answer(POD)) as server:
        made = Client(lambda: Access(server.url, "k", ca=signing.authority.read_text()))
        assert untrusted(made) == "certificate has expired"
        assert server.connections == 1


def test_a_common_name_is_no_name_of_a_server(signing: Certificates, tmp_path: Path) -> None:
    context = tls(signing, issued(signing, tmp_path, "email:a@b.c"))
    with Scripted(context, answer(POD)) as server:
        ca = signing.authority.read_text()
        made = Client(lambda: Access(server.url, "k", ca=ca, server_name="localhost"))
        assert "Hostname mismatch" in untrusted(made)


def test_whatever_the_bundle_holds_is_trusted(signing: Certificates, tmp_path: Path) -> None:
    """As in Go: here the server's own certificate, and comments that are not ASCII."""
    certificate = issued(signing, tmp_path, "IP:127.0.0.1")
    with Scripted(tls(signing, certificate), answer(POD)) as server:
        bundle = f"# Zertifikat für alle\n{certificate.read_text()}"
        assert Client(lambda: Access(server.url, "k", ca=bundle)).get(PATH)


@pytest.mark.parametrize("ca", ["none at all", "-----BEGIN CERTIFICATE-----\nx\n", "ä"])
def test_what_is_no_authority(ca: str) -> None:
    with pytest.raises(CniError, match="kubeconfig k: the authority's certificate: ") as raised:
        connection.server(Access("https://a", "kubeconfig k", ca=ca))
    assert raised.value.code == 7


def test_identities_that_cannot_be_used(api: ApiServer, tmp_path: Path) -> None:
    files = api.certificates
    encrypted = tmp_path / "encrypted.key"
    subprocess.run(
        [
            "openssl",
            "ec",
            "-in",
            files.client_key,
            "-aes256",
            "-passout",
            "pass:x",
            "-out",
            encrypted,
        ],
        check=True,
        capture_output=True,
    )
    certificate = files.client_certificate.read_text()
    for key, said in (
        (encrypted.read_text(), "the key is encrypted"),
        (files.other_key.read_text(), "key values mismatch"),
        ("no key", "PEM lib"),
    ):
        access = Access("https://a", "kubeconfig k", certificate=certificate, key=key, verify=False)
        with pytest.raises(CniError, match="k: the client certificate and its key: ") as raised:
            connection.server(access)
        assert said in raised.value.msg
        assert raised.value.code == 7
        assert "PRIVATE" not in str(raised.value)
    assert not [each for each in os.listdir("/proc/self/fd") if _is_memory(each)]


def _is_memory(fd: str) -> bool:
    try:
        return "client-certificate" in os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return False
