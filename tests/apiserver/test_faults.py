"""Every fault does what it says, as often as it was asked to, and nothing else."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest

from .asking import NADS, P1, PODS, Client
from .server import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .faults import Kind

#: of a connection that ends where it should not
CUT = (http.client.HTTPException, ConnectionError, ssl.SSLError)
PATCH = {"metadata": {"annotations": {"a": "b"}}}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path) as api:
        api.pod("default", "p1")
        yield api


@pytest.fixture
def client(api: ApiServer) -> Iterator[Client]:
    with Client(api) as client:
        yield client


def _is_patched(api: ApiServer) -> bool:
    pod = api.get(P1)
    return pod is not None and "annotations" in pod["metadata"]


def test_as_often_as_asked(api: ApiServer, client: Client) -> None:
    api.fail(2, status=500)
    assert [client.get(P1).status for _ in range(3)] == [500, 500, 200]
    api.fail(None, status=500)
    assert [client.get(P1).status for _ in range(3)] == [500, 500, 500]
    api.heal()
    assert client.get(P1).status == 200
    assert [seen.status for seen in api.requests] == [500, 500, 200, 500, 500, 500, 200]


def test_only_what_matches(api: ApiServer, client: Client) -> None:
    api.fail(method="PATCH", path=PODS, status=503)
    assert client.get(P1).status == 200
    assert client.merge(f"{NADS}/n1", {}).status == 404
    assert [client.merge(P1, PATCH).status for _ in range(2)] == [503, 200]


def test_one_after_the_other(api: ApiServer, client: Client) -> None:
    api.fail(status=500)
    api.fail(status=429)
    assert [client.get(P1).status for _ in range(3)] == [500, 429, 200]


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "Unauthorized"), (404, "NotFound"), (409, "Conflict"), (500, "InternalError"),
     (503, "ServiceUnavailable"), (504, "Timeout"), (418, None)],
)  # fmt: skip
def test_a_status(api: ApiServer, client: Client, status: int, reason: str | None) -> None:
    api.fail(status=status)
    reply = client.merge(P1, PATCH)
    assert reply.status == reply.json["code"] == status
    assert (reply.json["kind"], reply.json.get("reason")) == ("Status", reason)
    assert not _is_patched(api)


def test_asked_to_come_later(api: ApiServer, client: Client) -> None:
    api.fail(status=503)
    assert client.get(P1).headers["Retry-After"] == "1"
    api.fail(status=429)
    reply = client.get(P1)
    assert (reply.headers["Retry-After"], reply.headers["Content-Type"][:10]) == ("1", "text/plain")
    assert reply.body == b"Too many requests, please try again later.\n"
    api.fail(status=503, headers={"Retry-After": "7"})
    assert client.get(P1).headers["Retry-After"] == "7"


def test_an_answer_of_the_tests_own(api: ApiServer, client: Client) -> None:
    api.fail(body='{"kind":"Pod"}', headers={"X": "y"})
    reply = client.get(P1)
    assert (reply.status, reply.json, reply.headers["X"]) == (200, {"kind": "Pod"}, "y")
    api.fail(status=500, body="etcd says no")
    reply = client.get(P1)
    assert (reply.status, reply.body) == (500, b"etcd says no")


def test_a_page_of_a_proxy(api: ApiServer, client: Client) -> None:
    api.fail(kind="html")
    reply = client.merge(P1, PATCH)
    assert (reply.status, reply.body[:6]) == (200, b"<html>")
    assert reply.headers["Content-Type"].startswith("text/html")
    api.fail(kind="html", status=502)
    assert client.get(P1).status == 502
    assert not _is_patched(api)


def test_garbage(api: ApiServer, client: Client) -> None:
    api.fail(kind="garbage")
    reply = client.get(P1)
    assert reply.status == 200
    with pytest.raises(json.JSONDecodeError):
        assert reply.json
    assert client.get(P1).status == 200


def test_slow(api: ApiServer, client: Client) -> None:
    api.fail(delay=0.2)
    began = time.monotonic()
    assert client.merge(P1, PATCH).status == 200
    assert time.monotonic() - began >= 0.2
    assert _is_patched(api)


def test_slow_and_wrong(api: ApiServer, client: Client) -> None:
    api.fail(delay=0.1, status=500)
    began = time.monotonic()
    assert client.get(P1).status == 500
    assert time.monotonic() - began >= 0.1


def test_cut_before_the_answer(api: ApiServer, client: Client) -> None:
    api.fail(kind="cut")
    with pytest.raises(CUT):
        client.merge(P1, PATCH)
    assert not _is_patched(api)
    assert api.requests[0].status == 0


def test_an_answer_that_is_lost(api: ApiServer, client: Client) -> None:
    api.fail(kind="lost-answer")
    with pytest.raises(CUT):
        client.merge(P1, PATCH)
    assert _is_patched(api)
    assert api.requests[0].status == 0


def test_cut_in_the_body(api: ApiServer, client: Client) -> None:
    api.fail(kind="cut-body")
    response = client.send("GET", P1)
    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    assert 0 < len(cut.value.partial) < int(response.headers["Content-Length"])


def test_cut_in_the_chunks(api: ApiServer, client: Client) -> None:
    api.pod("default", "p2", {"a": "x" * 10_000})
    api.fail(kind="cut-body")
    with pytest.raises(http.client.IncompleteRead):
        client.get(f"{PODS}/p2")


def test_cut_in_a_watch(api: ApiServer, client: Client) -> None:
    api.fail(kind="cut-body")
    response = client.send("GET", f"{PODS}?watch=true")
    with pytest.raises(http.client.IncompleteRead):
        response.read()


def test_a_length_that_is_wrong(api: ApiServer, client: Client) -> None:
    api.fail(kind="length")
    with pytest.raises(http.client.IncompleteRead) as wrong:
        client.get(P1)
    assert json.loads(wrong.value.partial) == api.get(P1)
    api.fail(headers={"Content-Length": "5"})
    assert len(client.get(P1).body) == 5


@pytest.mark.parametrize("kind", ["drip", "drip-head"])
def test_byte_by_byte(api: ApiServer, client: Client, kind: Kind) -> None:
    api.fail(kind=kind, delay=0.0005)
    assert client.get(P1).json == api.get(P1)


@pytest.mark.parametrize("kind", ["drip", "drip-head"])
def test_so_slow_that_only_a_total_limit_helps(api: ApiServer, kind: Kind) -> None:
    api.fail(kind=kind, delay=0.002)
    with Client(api) as client:
        began = time.monotonic()
        client.get(P1)
    assert time.monotonic() - began > 0.3  # though no byte took long


def test_silent(api: ApiServer) -> None:
    api.fail(kind="silent")
    with Client(api, timeout=0.2) as client, pytest.raises(TimeoutError):
        client.merge(P1, PATCH)
    assert [(seen.method, seen.status) for seen in api.requests] == [("PATCH", 0)]
    assert not _is_patched(api)


@pytest.mark.parametrize(
    ("kind", "delay"), [("silent", 0.0), ("drip", 600.0), ("drip-head", 600.0), (None, 600.0)]
)
def test_heal_ends_what_waits(
    api: ApiServer, client: Client, kind: Kind | None, delay: float
) -> None:
    api.fail(kind=kind, delay=delay)
    ended = threading.Event()

    def ask() -> None:
        try:
            client.get(P1)
        except CUT:
            pass
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    while not api.requests:
        time.sleep(0.01)
    assert not ended.is_set()
    # It may be on its way to its wait still.
    while not ended.wait(0.05):
        api.heal()


@pytest.mark.parametrize("kind", ["refuse-tls", "silent-tls"])
def test_no_handshake(api: ApiServer, kind: Kind) -> None:
    api.fail(2, kind=kind)
    for _ in range(2):
        with Client(api, timeout=0.2) as client, pytest.raises((*CUT, TimeoutError)):
            client.get(P1)
    with Client(api) as client:
        assert client.get(P1).status == 200
    assert api.connections == 3
    assert len(api.requests) == 1
