"""Connections between two requests: what comes there is nobody's answer."""

from __future__ import annotations

import _socket
import json
import time
from typing import TYPE_CHECKING

import pytest

from cni.kube import connection
from cni.kube.access import Access
from tests.unit.kube.scripted import Scripted, answer, tls

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer
    from tests.unit.kube.conftest import Connect

POD = json.dumps({"kind": "Pod", "metadata": {"name": "p1"}}).encode()
OTHER = json.dumps({"kind": "Pod", "metadata": {"name": "p2"}}).encode()
PATH = "/api/v1/namespaces/default/pods/p1"

pytestmark = pytest.mark.usefixtures("either_tls")


@pytest.mark.parametrize("more", [POD, answer(POD), b"x" * 100_000], ids=["body", "answer", "much"])
def test_more_than_an_answer(api: ApiServer, connect: Connect, more: bytes) -> None:
    """It is not taken for the next one."""
    with Scripted(tls(api.certificates), answer(POD) + more, answer(OTHER), kept=True) as server:
        made = connect(server.url, attempts=1)
        assert [made.get(PATH)["metadata"]["name"] for _ in range(3)] == ["p1", "p2", "p2"]
        assert server.connections == 2


@pytest.mark.parametrize("status", ["102 Processing", "103 Early Hints"])
def test_hints_before_the_answer(api: ApiServer, connect: Connect, status: str) -> None:
    early = f"HTTP/1.1 {status}\r\nLink: </a>\r\n\r\n".encode()
    with Scripted(tls(api.certificates), early + answer(POD), answer(OTHER), kept=True) as server:
        made = connect(server.url, attempts=1)
        assert [made.get(PATH)["metadata"]["name"] for _ in range(2)] == ["p1", "p2"]
        assert server.connections == 1


def test_an_end_that_is_told_between_two_requests(api: ApiServer, connect: Connect) -> None:
    """Some say 408 then, and mean no request of ours."""
    late = answer(b"", "408 Request Time-out", Connection="close")
    with Scripted(tls(api.certificates), answer(POD), late, answer(POD), kept=True) as server:
        made = connect(server.url, attempts=1)
        for _ in range(2):
            assert made.get(PATH) == json.loads(POD)
        assert server.connections == 2


def test_nobody_waits_long_for_a_host_that_is_away(api: ApiServer) -> None:
    """The system gives up what it has sent and nobody has acknowledged."""
    target = connection.server(Access(api.url, "k", verify=False))
    plain = connection._connect(target._replace(tls=None), time.monotonic() + 30)
    kept = plain.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_USER_TIMEOUT)
    plain.close()
    assert 0 < kept < 5000
