"""A server that is slow, refuses, is gone or out of its mind."""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cni.core import log
from cni.core.errors import CniError
from cni.kube import access
from cni.kube.client import Call, Client, Limits
from cni.kube.failures import ApiError
from tests.unit.kube.scripted import Scripted, answer, tls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apiserver.server import ApiServer
    from tests.unit.kube.conftest import Connect

PODS = "/api/v1/namespaces/default/pods"
P1 = f"{PODS}/p1"


@pytest.fixture
def pod(api: ApiServer) -> None:
    api.pod("default", "p1")


def refusal(made: Client, path: str = P1) -> ApiError:
    with pytest.raises(ApiError) as raised:
        made.get(path)
    assert str(raised.value).isprintable()
    return raised.value


# What is tried again, and what is not.


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.usefixtures("pod")
def test_momentary_refusals(api: ApiServer, connect: Connect, status: int) -> None:
    api.fail(3, status=status, headers={"Retry-After": "0"})
    assert connect().get(P1)["kind"] == "Pod"
    assert [each.status for each in api.requests] == [status] * 3 + [200]
    assert api.connections == 1


@pytest.mark.parametrize("kind", ["cut", "cut-body", "length", "refuse-tls", "lost-answer"])
@pytest.mark.usefixtures("pod")
def test_momentary_breaks(api: ApiServer, connect: Connect, kind: Any) -> None:
    api.fail(3, kind=kind)
    assert connect().get(P1)["kind"] == "Pod"


@pytest.mark.usefixtures("pod")
def test_momentary_silence(api: ApiServer, connect: Connect) -> None:
    api.fail(2, kind="silent")
    assert connect(call=0.2).get(P1)["kind"] == "Pod"
    assert len(api.requests) == 3


@pytest.mark.usefixtures("pod")
def test_momentary_absence(api: ApiServer, connect: Connect) -> None:
    api.stop()
    threading.Timer(0.3, api.start).start()
    assert connect(attempts=12).get(P1)["kind"] == "Pod"


def test_absence(api: ApiServer, connect: Connect) -> None:
    api.stop()
    error = refusal(connect(attempts=3))
    assert (error.code, error.status) == (11, 0)
    assert error.msg == f"API server {api.url}: GET {P1}: Connection refused"
    tries, _, source = error.details.partition("; ")
    assert tries.startswith("3 tries in ")
    assert source.startswith("kubeconfig /")


@pytest.mark.parametrize(
    ("status", "code"), [(400, 7), (403, 7), (404, 7), (405, 7), (409, 11), (410, 11), (422, 7)]
)
def test_what_is_no_use_to_repeat(api: ApiServer, connect: Connect, status: int, code: int) -> None:
    api.fail(None, status=status)
    error = refusal(connect())
    assert (error.status, error.code, len(api.requests)) == (status, code, 1)


def test_the_servers_own_words(api: ApiServer, connect: Connect) -> None:
    error = refusal(connect())
    assert error.reason == 'pods "p1" not found'
    assert error.msg == f'API server {api.url}: GET {P1}: pods "p1" not found'
    api.forbid(api.user, "get", "pods")
    assert f'User "{api.user}" cannot get resource "pods"' in refusal(connect()).reason


@pytest.mark.parametrize(
    ("fault", "code", "tries", "said"),
    [
        ({"kind": "html"}, 11, 1, "the answer is not an object of JSON; status 200, text/html"),
        ({"kind": "html", "status": 502}, 11, 3, "status 502, text/html; charset=utf-8: <html>"),
        ({"kind": "html", "status": 404}, 7, 1, "status 404, text/html; charset=utf-8: <html>"),
        ({"kind": "garbage"}, 11, 1, "the answer is not an object of JSON; status 200"),
        ({"body": "[1]"}, 11, 1, "the answer is not an object of JSON; status 200"),
        ({"body": '{"message": 5}', "status": 500}, 11, 3, 'status 500, application/json: {"mess'),
        ({"body": '{"message": "a\\nb\\u202e\\u0000c"}', "status": 400}, 7, 1, ": a b c; kubeconf"),
        ({"status": 429}, 11, 3, "status 429, text/plain; charset=utf-8: Too many requests"),
        ({"kind": "cut"}, 11, 3, ": Remote end closed connection without response; 3 tries in"),
        ({"kind": "length"}, 11, 3, ": the answer is cut short; 3 tries in "),
        ({"status": 301, "headers": {"Location": "https://elsewhere/"}}, 7, 1, "redirects"),
    ],
)
@pytest.mark.usefixtures("pod")
def test_the_error(
    api: ApiServer, connect: Connect, fault: Any, code: int, tries: int, said: str
) -> None:
    """Server, object and reason, on one line."""
    api.fail(None, **{"headers": {"Retry-After": "0"}, **fault})
    error = refusal(connect(attempts=3))
    assert said in str(error)
    assert error.msg.startswith(f"API server {api.url}: GET {P1}: ")
    assert (error.code, len(api.requests)) == (code, tries)
    assert error.status == fault.get("status", 0)


def test_words_without_end(api: ApiServer, connect: Connect) -> None:
    api.fail(status=400, body=json.dumps({"message": "x" * 1_000_000}))
    api.fail(status=502, kind="html", body="y" * 1_000_000)
    made = connect(attempts=1)
    assert len(str(refusal(made))) < 2500
    assert len(str(refusal(made))) < 2500


# Time.


@pytest.mark.usefixtures("pod")
def test_retry_after_is_heeded(api: ApiServer, connect: Connect) -> None:
    api.fail(1, status=503, headers={"Retry-After": "1"})
    start = time.monotonic()
    connect().get(P1)
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize("after", ["3600", "9" * 400, "60"])
def test_no_wait_that_would_be_in_vain(api: ApiServer, connect: Connect, after: str) -> None:
    api.fail(None, status=429, headers={"Retry-After": after})
    start = time.monotonic()
    error = refusal(connect(total=50))
    assert time.monotonic() - start < 40
    assert (error.status, len(api.requests)) == (429, 1)


@pytest.mark.parametrize("after", ["-1", "soon", "Fri, 31 Dec 1999 23:59:59 GMT", "²", ""])
@pytest.mark.usefixtures("pod")
def test_retry_after_that_is_no_number(api: ApiServer, connect: Connect, after: str) -> None:
    after = after.encode().decode("latin-1")
    api.fail(1, status=503, headers={"Retry-After": after})
    assert connect().get(P1)


@pytest.mark.usefixtures("pod")
def test_one_budget_for_all_calls(api: ApiServer, connect: Connect) -> None:
    made = connect(total=1.5)
    api.fail(None, delay=0.5)
    start = time.monotonic()
    done = 0
    with pytest.raises(ApiError) as raised:
        for _ in range(20):
            made.get(P1)
            done += 1
    assert done <= 2
    assert raised.value.code == 11
    assert raised.value.reason.endswith(" in time")
    api.heal()
    number = len(api.requests)
    refused = made.side_by_side([Call("GET", P1)] * 3)
    assert all(isinstance(each, ApiError) for each in refused)
    assert len(api.requests) == number
    assert time.monotonic() - start < 20


@pytest.mark.usefixtures("pod")
def test_time_between_calls_is_not_counted(api: ApiServer, connect: Connect) -> None:
    made = connect(total=1)
    made.get(P1)
    time.sleep(1.1)
    assert made.get(P1)


def test_less_patience(api: ApiServer, connect: Connect) -> None:
    api.fail(None, kind="silent")
    made = connect()
    made.limit(total=0.3, attempts=1)
    start = time.monotonic()
    assert refusal(made).details.startswith("1 try in ")
    assert time.monotonic() - start < 20


# Connections that were kept.


@pytest.mark.usefixtures("pod")
def test_a_connection_that_has_ended_meanwhile_is_no_failure(
    api: ApiServer, connect: Connect
) -> None:
    made = connect(attempts=1)
    for _ in range(3):
        made.side_by_side([Call("GET", P1)] * 3)
        api.stop()
        api.start()
    api.clear()
    made.merge_patch(P1, {"metadata": {"labels": {"a": "b"}}})
    assert [each.status for each in api.requests] == [200]


@pytest.mark.parametrize("kind", ["cut", "lost-answer"])
@pytest.mark.usefixtures("pod")
def test_a_used_connection_that_is_cut_each_time(
    api: ApiServer, connect: Connect, kind: Any
) -> None:
    """One more try than allowed, for the one that was kept; not more."""
    made = connect(attempts=2)
    made.get(P1)
    api.fail(None, kind=kind)
    assert refusal(made).reason == "Remote end closed connection without response"
    assert len(api.requests) == 1 + 1 + 2


def test_what_follows_an_answer_spoils_no_other(api: ApiServer, connect: Connect) -> None:
    pod = answer(b'{"kind": "Pod"}')
    with Scripted(tls(api.certificates), pod + b"HTTP/1.1 200 OK\r\n\r\n{}", kept=True) as server:
        made = connect(server.url)
        for _ in range(3):
            assert made.get(P1) == {"kind": "Pod"}


# Secrets.


def test_the_token_is_in_no_error(
    api: ApiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even if the server says it."""
    token = "eyJhbGciOi.very-secret_token"
    log.configure("debug")
    echoes = [
        answer(f"<p>Authorization: Bearer {token}".encode(), "502 Bad", Content_Type="text/html"),
        answer(f"x{'y' * 185}{token}".encode()),
        answer(json.dumps({"message": f"token {token} is wrong"}).encode(), "403 No"),
        answer(b"", "302 Found", Location=f"https://login/?token={token}"),
        answer(b"{", Content_Type=f"a/{token}"),
        answer(b"{}", Content_Encoding=token, Content_Length="1"),
        f"GET / {token}\r\n".encode(),
        answer(json.dumps({"message": token}).encode(), "401 Unauthorized"),
    ]
    for raw in echoes:
        with Scripted(tls(api.certificates), raw) as server:
            file = api.kubeconfig(tmp_path / "k", token=token, server=server.url)
            error = refusal(Client(partial(access.from_kubeconfig, str(file)), Limits(attempts=2)))
            log.warning("refused", reason=error, cause=error.reason)
        assert all(each.count(token.encode()) == 1 for each in server.requests)
        assert "very-secret" not in f"{error} {error.reason} {error.args} {error!r}"
    for kind in ("cut", "garbage", "length"):
        api.fail(None, kind=kind)
        file = api.kubeconfig(tmp_path / "k", token=token)
        error = refusal(Client(partial(access.from_kubeconfig, str(file)), Limits(attempts=1)))
        assert "very-secret" not in f"{error} {error.reason} {error.args}"
        api.heal()
    log.configure("warning")
    printed = capfd.readouterr()
    assert "refused" in printed.err
    assert "very-secret" not in printed.out + printed.err


def test_errors_are_of_cni(connect: Connect) -> None:
    assert issubclass(ApiError, CniError)
    error = refusal(connect("https://127.0.0.1:1", attempts=1)).within("asking")
    assert error.msg.startswith("asking: API server https://127.0.0.1:1: GET ")
