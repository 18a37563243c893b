"""Who may ask: tokens, certificates, what is forbidden; and whom a client should not believe."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from .asking import NADS, P1, PODS, Client
from .server import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path) as api:
        api.pod("default", "p1")
        yield api


@pytest.mark.parametrize("token", ["", "wrong"])
def test_nobody(api: ApiServer, token: str) -> None:
    with Client(api, token=token) as client:
        for method, path in (("GET", P1), ("GET", "/nowhere"), ("DELETE", P1)):
            reply = client.ask(method, path)
            assert reply.status == 401
            assert reply.json == {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": "Unauthorized",
                "reason": "Unauthorized",
                "code": 401,
            }
    assert {seen.user for seen in api.requests} == {""}
    assert api.get(P1) is not None


def test_tokens_come_and_go(api: ApiServer) -> None:
    with Client(api) as client, Client(api, token="second") as other:
        assert other.get(P1).status == 401
        api.tokens["second"] = "somebody"
        del api.tokens[api.token]
        assert other.get(P1).status == 200
        assert client.get(P1).status == 401
    assert [(seen.user, seen.status) for seen in api.requests] == [
        ("", 401), ("somebody", 200), ("", 401),
    ]  # fmt: skip


def test_a_client_certificate(api: ApiServer) -> None:
    files = api.certificates
    with Client(api, certificate=(files.client_certificate, files.client_key)) as client:
        assert client.get(P1).status == 200
    assert api.requests[0].user == api.certificate_user


def test_a_certificate_of_a_stranger_is_nobody(api: ApiServer) -> None:
    files = api.certificates
    with Client(api, certificate=(files.other_certificate, files.other_key)) as client:
        assert client.get(P1).status == 401


def test_what_is_forbidden(api: ApiServer) -> None:
    api.forbid(api.user, "patch", "pods/status")
    api.forbid(api.user, "list", "pods")
    api.forbid(api.user, "*", "network-attachment-definitions")
    with Client(api) as client:
        reply = client.merge(f"{P1}/status", {})
        assert (reply.status, reply.json["reason"]) == (403, "Forbidden")
        assert reply.json["message"] == (
            'pods "p1" is forbidden: User "multus" cannot patch resource "pods/status" in API '
            'group "" in the namespace "default"'
        )
        assert reply.json["details"] == {"name": "p1", "kind": "pods"}
        assert client.get("/api/v1/pods").json["message"] == (
            'pods is forbidden: User "multus" cannot list resource "pods" in API group "" '
            "at the cluster scope"
        )
        # Whether it is there is not told.
        assert client.get(f"{NADS}/n1").json["message"] == (
            'network-attachment-definitions.k8s.cni.cncf.io "n1" is forbidden: User "multus" '
            'cannot get resource "network-attachment-definitions" in API group '
            '"k8s.cni.cncf.io" in the namespace "default"'
        )
        assert client.merge(P1, {}).status == 200
        assert client.get(P1).status == 200
        api.permit()
        assert client.get(PODS).status == 200


def test_only_its_own_user_is_forbidden(api: ApiServer) -> None:
    api.tokens["second"] = "somebody"
    api.forbid("somebody", "get", "*")
    with Client(api) as client, Client(api, token="second") as other:
        assert (client.get(P1).status, other.get(P1).status) == (200, 403)


def test_the_wrong_authority(api: ApiServer) -> None:
    with Client(api) as client:
        context = ssl.create_default_context(cafile=api.certificates.other_authority)
        client.connection._context = context  # type: ignore[attr-defined]
        with pytest.raises(ssl.SSLCertVerificationError):
            client.get(P1)
    assert api.requests == []


def test_another_name_in_the_certificate(tmp_path: Path) -> None:
    with ApiServer(tmp_path, names="DNS:elsewhere") as api, Client(api) as client:
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            client.get(P1)
        context = ssl.create_default_context(cafile=api.certificates.authority)
        context.check_hostname = False
        client.connection._context = context  # type: ignore[attr-defined]
        assert client.get(P1).status == 404
