"""A runtime that loses patience, and what a process is left with."""

from __future__ import annotations

import _socket
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cni.core import signals
from cni.core.errors import Interrupted
from cni.kube.client import Call, Client
from cni.kube.failures import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.apiserver.server import ApiServer
    from tests.unit.kube.conftest import Connect

ROOT = Path(__file__).resolve().parents[3]
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


# A runtime that loses patience.


class Kill:
    """SIGTERM to this process as soon as a condition holds, and how long what was killed took."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._condition():
            time.sleep(0.01)
        time.sleep(0.05)  # for the wait to begin; where it has not, the signal is kept for it
        os.kill(os.getpid(), signal.SIGTERM)

    def __enter__(self) -> None:
        signals.install()
        self._start = time.monotonic()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)
        signals.ignore()
        assert time.monotonic() - self._start < 25


@pytest.fixture
def child_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


interrupted = pytest.mark.usefixtures("handlers", "child_handler", "pod")


@interrupted
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "silent"},
        {"kind": "drip", "delay": 0.2},
        {"kind": "drip-head", "delay": 0.2},
        {"delay": 30},
        {"status": 503, "headers": {"Retry-After": "50"}},
    ],
)
def test_sigterm_while_an_answer_is_awaited(api: ApiServer, connect: Connect, fault: Any) -> None:
    """Or the next try; by one call or by several."""
    api.fail(None, **fault)
    for count in (1, 3):
        api.clear()
        made = connect()
        with Kill(lambda count=count: len(api.requests) >= count), pytest.raises(Interrupted):  # type: ignore[misc]
            if count == 1:
                made.get(P1)
            else:
                made.side_by_side([Call("GET", P1)] * count)


@interrupted
def test_sigterm_while_the_others_are_awaited(api: ApiServer, connect: Connect) -> None:
    made = connect()
    api.fail(None, path=f"{PODS}/p2", kind="silent")
    with Kill(lambda: len(api.requests) == 2), pytest.raises(Interrupted):
        made.side_by_side([Call("GET", P1), Call("GET", f"{PODS}/p2")])


@interrupted
def test_sigterm_while_connecting(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        made = connect(f"https://127.0.0.1:{address[1]}")
        with socket.create_connection(address), Kill(lambda: True), pytest.raises(Interrupted):
            made.get(P1)  # no handshake of TLS
        others = [socket.socket() for _ in range(8)]
        for each in others:
            each.setblocking(False)
            each.connect_ex(address)
        with Kill(lambda: True), pytest.raises(Interrupted):
            made.get(P1)  # none of TCP
        for each in others:
            each.close()


@interrupted
def test_sigterm_while_a_name_is_resolved(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, asked = threading.Event(), threading.Event()

    def getaddrinfo(*_: Any, **kinds: Any) -> Any:
        if "flags" not in kinds:
            asked.set()
            over.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "no name")

    monkeypatch.setattr(_socket, "getaddrinfo", getaddrinfo)
    with Kill(asked.is_set), pytest.raises(Interrupted):
        connect("https://slow.example").get(P1)
    over.set()


@interrupted
def test_sigterm_before_a_call(api: ApiServer, connect: Connect) -> None:
    made = connect()
    signals.install()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted):
        made.get(P1)
    assert api.requests == []
    assert made.get(P1)  # for the way back


# What a process is left with.


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_no_descriptor_stays(api: ApiServer, connect: Connect) -> None:
    faults: list[dict[str, Any]] = [
        *({"kind": kind} for kind in ("cut", "cut-body", "html", "garbage", "length", "silent")),
        *({"kind": kind} for kind in ("refuse-tls", "drip", "drip-head")),
        *({"status": status} for status in (401, 404, 503)),
    ]

    def suffer() -> None:
        for fault in faults:
            api.fail(None, **fault)
            made = connect(call=0.1, attempts=1)
            assert isinstance(made.side_by_side([Call("GET", P1)] * 2)[0], ApiError)
            refusal(made)
            made.close()
            api.heal()
        for address in ("https://none.invalid", "https://127.0.0.1:1"):
            refusal(connect(address, attempts=1))

    settled(suffer)
    before = descriptors()
    settled(suffer)
    assert descriptors() <= before


def settled(work: Callable[[], None]) -> None:
    """And its connections have ended at the server, which lives in this process, too."""
    before = threading.active_count()
    work()
    for _ in range(1000):
        if threading.active_count() <= before:
            return
        time.sleep(0.01)


SCRIPT = """
import _socket, json, sys, time
from functools import partial
from cni.core import signals
from cni.core.errors import CniError, Interrupted
from cni.kube import access
from cni.kube.client import Call, Client, Limits

signals.install()
path, wish = sys.argv[1:]
limits = Limits(total=0.5) if wish != "killed" else Limits(60, 60, 60)
client = Client(partial(access.from_kubeconfig, path), limits)
call = Call("GET", "/api/v1/namespaces/default/pods/p1")
if wish == "name":
    real = _socket.getaddrinfo
    def getaddrinfo(*given, **kinds):
        return real(*given, **kinds) if kinds.get("flags") else time.sleep(600)
    _socket.getaddrinfo = getaddrinfo
try:
    errors = client.side_by_side([call] * 3)
except Interrupted:
    sys.exit(15)
sys.exit(3 if all(isinstance(each, CniError) for each in errors) else 4)
"""


@pytest.mark.parametrize("wish", ["silence", "name", "killed"])
def test_the_end_of_a_process(api: ApiServer, tmp_path: Path, wish: str) -> None:
    """No thread keeps it alive, and nothing is printed."""
    api.fail(None, kind="silent")
    server = f"https://slow.example:{api.port}" if wish == "name" else None
    file = api.kubeconfig(tmp_path / "k", server=server)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, file, wish],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        if wish == "killed":
            while len(api.requests) < 3:
                assert process.poll() is None
                time.sleep(0.01)
            process.terminate()
        printed = process.communicate(timeout=60)
    finally:
        process.kill()
    assert printed == (b"", b"")
    assert process.returncode == (15 if wish == "killed" else 3)
