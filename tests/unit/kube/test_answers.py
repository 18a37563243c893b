"""Answers that no proper server gives, and some that one does."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest

from cni.kube.failures import ApiError
from tests.unit.kube.scripted import Scripted, answer, tls

if TYPE_CHECKING:
    from cni.kube.client import Client
    from tests.apiserver.server import ApiServer
    from tests.unit.kube.conftest import Connect

POD = json.dumps({"kind": "Pod", "metadata": {"name": "p1"}}).encode()
TOO_MUCH = "an answer of 33554432 bytes and more"
PATH = "/api/v1/namespaces/default/pods/p1"

pytestmark = pytest.mark.usefixtures("either_tls")


def refusal(made: Client) -> ApiError:
    with pytest.raises(ApiError) as raised:
        made.get(PATH)
    return raised.value


def chunked(body: bytes, size: int = 7, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return head + b"".join(b"%x;x=y\r\n%b\r\n" % (len(each), each) for each in pieces) + end


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (answer(POD), True),
        (answer(POD, Connection="close"), False),
        (answer(POD, Connection="Keep-Alive", content_type="X"), True),
        (b"HTTP/1.0 200 OK\r\n\r\n" + POD, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(POD), POD), False),
        (b"HTTP/1.1 200\nContent-Length: %d\n\n%b" % (len(POD), POD), True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + POD, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + POD, False),
        (b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" * 3 + answer(POD), True),
        (chunked(POD), True),
        (chunked(POD, end=b"0\r\nTrailer: x\r\n\r\n"), True),
    ],
)
def test_answers(api: ApiServer, connect: Connect, raw: bytes, *, kept: bool) -> None:
    with Scripted(tls(api.certificates), raw, kept=kept) as server:
        made = connect(server.url)
        for _ in range(3):
            assert made.get(PATH) == json.loads(POD)
        assert server.connections == (1 if kept else 3)
        assert len(server.requests) == 3


def test_no_content(api: ApiServer, connect: Connect) -> None:
    with Scripted(tls(api.certificates), b"HTTP/1.1 204 No Content\r\n\r\n", kept=True) as server:
        made = connect(server.url)
        assert made.put(PATH, {}) == {}
        assert made.get(PATH) == {}
        assert server.connections == 1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "Remote end closed connection without response"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "the answer is cut short"),
        (answer(POD)[: -len(POD)], "the answer is cut short"),
        (answer(POD)[:-1], "the answer is cut short"),
        (answer(POD, Content_Length=str(len(POD) + 10)), "the answer is cut short"),
        (chunked(POD, end=b""), "the answer is cut short"),
        (chunked(POD)[:70], "the answer is cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the answer is cut short"),
        (chunked(POD, end=b"-10\r\n\r\n"), "the answer is cut short"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP: SSH-2.0-OpenSSH_9.2"),
        (b"\x00\x01\xff\xfe\r\n\r\n", "the answer is not HTTP: "),
        (b"HTTP/2.0 200 OK\r\n\r\n", "the answer is not HTTP: HTTP/2.0"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "the answer is not HTTP: HTTP/1.1 abc OK"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200, "the answer is not HTTP: got more than 100"),
        (b"HTTP/1.1 200 " + b"x" * 70_000, "the answer is not HTTP: got more than 65536 bytes"),
    ],
)
def test_what_may_be_better_next_time(
    api: ApiServer, connect: Connect, raw: bytes, reason: str
) -> None:
    with Scripted(tls(api.certificates), raw, answer(POD)) as server:
        assert connect(server.url).get(PATH) == json.loads(POD)
        assert len(server.requests) == 2
        server.requests.clear()
    with Scripted(tls(api.certificates), raw) as server:
        error = refusal(connect(server.url, attempts=1))
    assert error.code == 11
    assert error.reason.startswith(reason)
    assert error.reason.isprintable()
    assert len(error.reason) <= 1000


@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        (
            answer(gzip.compress(POD), Content_Encoding="gzip"),
            11,
            "not an object of JSON; status 200, application/json, gzip, which was not asked for",
        ),
        (
            answer(POD, Content_Length="10"),
            11,
            "not an object of JSON; status 200, application/json:",
        ),
        (answer(b""), 11, "the answer is not an object of JSON; status 200"),
        (answer(b"[]"), 11, "the answer is not an object of JSON; status 200"),
        (answer(b"[" * 100_000), 11, "the answer is not an object of JSON; status 200"),
        (answer(b"\xff\xfe{}"), 11, "the answer is not an object of JSON; status 200"),
        (answer(b"x" * (40 << 20)), 5, TOO_MUCH),
        (chunked(b"x" * (40 << 20), 1 << 20), 5, TOO_MUCH),
        (
            b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * (33 << 20),
            5,
            TOO_MUCH,
        ),
        (chunked(b"", end=b"3000000\r\n") + b"x" * (33 << 20), 5, TOO_MUCH),
        (answer(POD, Content_Length="9" * 30) + b"x" * (33 << 20), 5, TOO_MUCH),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 11, "status 101"),
        (answer(b"<html>", "418 Teapot", Content_Type="text/html"), 11, "418, text/html: <html>"),
    ],
)
def test_what_would_be_no_better(
    api: ApiServer, connect: Connect, raw: bytes, code: int, said: str
) -> None:
    with Scripted(tls(api.certificates), raw) as server:
        error = refusal(connect(server.url))
        assert len(server.requests) == 1
    assert said in str(error)
    assert error.code == code
    assert str(error).isprintable()
    assert len(str(error)) < 3000


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 X"])
def test_redirects_are_not_followed(api: ApiServer, connect: Connect, status: str) -> None:
    with Scripted(tls(api.certificates), answer(POD)) as elsewhere:
        raw = answer(b"<html>", status, Location=f"{elsewhere.url}/x", Content_Type="text/html")
        with Scripted(tls(api.certificates), raw) as server:
            error = refusal(connect(server.url))
            assert len(server.requests) == 1
        assert elsewhere.connections == 0
    assert error.code == 7
    assert f"status {status[:3]}: it redirects to {elsewhere.url}/x: not followed" in error.msg


def test_one_that_does_not_speak_tls(connect: Connect) -> None:
    """As it is at the port of plain HTTP."""
    with Scripted(None, b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        error = refusal(connect(server.url, attempts=2))
        assert server.connections == 2
    assert error.code == 11
    assert error.reason in ("no TLS: WRONG_VERSION_NUMBER", "Connection reset by peer")


def test_an_old_tls(api: ApiServer, connect: Connect) -> None:
    context = tls(api.certificates)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Scripted(context, answer(POD)) as server:
        error = refusal(connect(server.url, attempts=1))
    assert error.reason.startswith("no TLS: ")


@pytest.mark.parametrize("kind", ["drip", "drip-head", "silent"])
def test_slowness_is_bounded(api: ApiServer, connect: Connect, kind: Any) -> None:
    api.pod("default", "p1", {"long": "x" * 1500})
    api.fail(None, kind=kind)
    start = time.monotonic()
    error = refusal(connect(call=0.3, total=20, attempts=2))
    assert time.monotonic() - start < 15
    assert (error.code, error.reason) == (11, "no answer in time")
    assert error.details.startswith("2 tries in ")


def test_one_that_says_nothing_at_all(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        error = refusal(connect(address, connect=0.2, attempts=2))
    assert (error.code, error.reason) == (11, "no TLS handshake in time")
