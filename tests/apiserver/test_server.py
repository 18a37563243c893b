"""The server's life: its journal, many clients, being gone, a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from .asking import MERGE, P1, PODS, Client
from .server import ApiServer, Seen

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path) as api:
        yield api


def test_the_journal(api: ApiServer) -> None:
    api.pod("default", "p1")
    with Client(api) as client:
        client.get(f"{PODS}?limit=5")
        client.ask("PATCH", P1, {}, f"{MERGE}; charset=utf-8")
    with Client(api, token="no") as nobody:
        nobody.get(P1)
    assert api.requests == [
        Seen("GET", f"{PODS}?limit=5", 200, "", "multus"),
        Seen("PATCH", P1, 200, MERGE, "multus"),
        Seen("GET", P1, 401, "", ""),
    ]
    assert api.connections == 2
    api.clear()
    assert (api.requests, api.connections) == ([], 0)


def test_connections_are_kept(api: ApiServer) -> None:
    with Client(api) as client:
        for _ in range(5):
            client.get(P1)
    assert (len(api.requests), api.connections) == (5, 1)


def test_a_client_that_wants_to_close(api: ApiServer) -> None:
    with Client(api) as client:
        client.connection.request("GET", "/readyz", headers={"Connection": "close"})
        response = client.connection.getresponse()
        assert (response.read(), response.headers["Connection"]) == (b"ok", "close")


def test_many_clients_lose_nothing(api: ApiServer) -> None:
    """Eight at a time, each of them until its version was the last one."""
    api.put_object(P1, {"metadata": {"annotations": {"count": "0"}}})

    def count(times: int) -> None:
        with Client(api) as client:
            while times:
                pod = client.get(P1).json
                annotations = pod["metadata"]["annotations"]
                annotations["count"] = str(int(annotations["count"]) + 1)
                reply = client.ask("PUT", P1, pod)
                assert reply.status in (200, 409)
                times -= reply.status == 200

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(count, [10] * 8))
    pod = api.get(P1)
    assert pod is not None
    assert pod["metadata"]["annotations"]["count"] == "80"


def test_gone_and_back(api: ApiServer) -> None:
    made = api.pod("default", "p1")
    url = api.url
    with Client(api) as client:
        client.get(P1)
        api.stop()
        api.stop()
        assert api.url == url
        with pytest.raises((http.client.HTTPException, ConnectionError, ssl.SSLError)):
            client.get(P1)
        with pytest.raises(ConnectionRefusedError):
            client.get(P1)
        api.start()
        api.start()
        assert api.url == url
        assert client.get(P1).json == made


def test_a_stop_waits_for_nobody(api: ApiServer) -> None:
    api.fail(delay=600)
    with Client(api) as client, ThreadPoolExecutor(1) as thread:
        asked = thread.submit(client.get, P1)
        while not api.requests:
            time.sleep(0.01)
        api.stop()
        assert isinstance(
            asked.exception(30), http.client.HTTPException | ConnectionError | ssl.SSLError
        )


def test_two_servers_are_strangers_only_by_their_tokens(tmp_path: Path) -> None:
    with ApiServer(tmp_path / "1") as one, ApiServer(tmp_path / "2") as other:
        one.pod("default", "p1")
        with Client(other, token=one.token) as client:
            assert client.get(P1).status == 401
        with Client(other) as client:
            assert client.get(P1).status == 404


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.apiserver", "--port", "0", "--directory", tmp_path)
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environ
    ) as process:
        assert process.stdout is not None
        url, path = (process.stdout.readline().strip() for _ in range(2))
        document = yaml.safe_load(Path(path).read_text())
        assert document["clusters"][0]["cluster"]["server"] == url
        context = ssl.create_default_context(cafile=tmp_path / "pki" / "ca.crt")
        connection = http.client.HTTPSConnection(url.removeprefix("https://"), context=context)
        token = document["users"][0]["user"]["token"]

        def ask(method: str, path: str) -> bytes:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().read()

        ask("GET", P1)
        journal = json.loads(ask("GET", "/debug/requests"))
        assert journal == {
            "connections": 1,
            "requests": [
                {"method": "GET", "path": P1, "status": 404, "content_type": "", "user": "multus"}
            ],
        }
        assert json.loads(ask("DELETE", "/debug/requests"))["requests"] == []
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
