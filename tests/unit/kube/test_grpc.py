"""Calls over a unix socket: answers of no use, servers that are none, and any bytes at all."""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest
from h2.errors import ErrorCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from cni.core.errors import CniError
from cni.kube import grpc, pod_resources
from tests.kubelet import server
from tests.kubelet.peer import Peer, answering, framed, scripted, told
from tests.kubelet.server import Kubelet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POD = server.encoded(1, server.encoded(1, "p1") + server.encoded(2, "default"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The socket of a kubelet that does not run."""
    return Kubelet(tmp_path).socket


def ask(path: Path) -> list[tuple[str, list[str]]]:
    return pod_resources.of_pod(str(path.parents[1]), "default", "p1")


def refusal(path: Path) -> str:
    with pytest.raises(CniError) as caught:
        ask(path)
    return caught.value.msg.removeprefix(f"cannot ask the kubelet at {path}: ")


def reset(peer: Peer, stream: int) -> None:
    peer.headers(stream, status="200")
    peer.h2.reset_stream(stream, ErrorCodes.ENHANCE_YOUR_CALM)
    peer.flush()
    peer.sock.recv(65536)


def goodbye(peer: Peer, stream: int) -> None:
    peer.h2.close_connection(ErrorCodes.INTERNAL_ERROR, b"too \xff tired")
    peer.flush()


#: the latter when the peer had not read all that we sent
CUT = ("the connection was cut", "Connection reset by peer")


def cut(peer: Peer, stream: int) -> None:
    peer.headers(stream, status="200")
    peer.data(stream, framed(POD)[:3])


def no_trailers(peer: Peer, stream: int) -> None:
    peer.headers(stream, status="200")
    peer.data(stream, framed(POD), end=True)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (reset, "the call was reset (HTTP/2 error 11)"),
        (goodbye, "the connection was ended (HTTP/2 error 2) too \ufffd tired"),
        (cut, CUT),
        (no_trailers, "an answer without grpc-status (HTTP status 200)"),
        (lambda peer, stream: None, CUT),
        (
            lambda peer, stream: peer.headers(stream, end=True, status="404"),
            "an answer without grpc-status (HTTP status 404)",
        ),
        (
            lambda peer, stream: peer.headers(
                stream, end=True, status="200", grpc_status="8", grpc_message="busy%21%zz%"
            ),
            "gRPC status 8: busy!%zz%",
        ),
        (lambda peer, stream: told(peer, stream, grpc_status="13"), "gRPC status 13: "),
        (lambda peer, stream: told(peer, stream, grpc_status="-1"), "an answer without grpc-st"),
        (lambda peer, stream: told(peer, stream, grpc_status="9" * 5000), "an answer without grp"),
        (
            lambda peer, stream: told(peer, stream, grpc_status="8", grpc_message="x" * 9000),
            f"gRPC status 8: {'x' * 500}",
        ),
        (lambda peer, stream: told(peer, stream), "the answer is cut short"),
        (lambda peer, stream: told(peer, stream, framed(POD)[:-1]), "the answer is cut short"),
        (lambda peer, stream: told(peer, stream, framed(POD) * 2), "more than one message"),
        (
            lambda peer, stream: told(peer, stream, framed(POD, compressed=1)),
            "the answer is compressed",
        ),
        (
            lambda peer, stream: told(peer, stream, b"\0\x01\0\0\x01"),
            "an answer of 16777217 bytes, more than 16777216",
        ),
        (lambda peer, stream: told(peer, stream, framed(b"\x0a\x7f")), "field 1 is cut short"),
        (lambda peer, stream: told(peer, stream, framed(b"\x08\x01")), "field 1 holds a number"),
    ],
)  # fmt: skip
def test_an_answer_of_no_use(
    path: Path, step: Callable[[Peer, int], None], words: str | tuple[str, ...]
) -> None:
    with answering(path, scripted(step)):
        assert refusal(path).startswith(words)


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100, b"\xff" * 100, b"SSH-2.0-OpenSSH_9.2\r\n"],
)
def test_what_speaks_no_http2(path: Path, garbage: bytes) -> None:
    def script(sock: socket.socket) -> None:
        sock.sendall(garbage)
        while sock.recv(65536):
            pass

    with answering(path, script):
        assert refusal(path).startswith("no proper HTTP/2: ")


def test_a_server_that_only_listens(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(sock: socket.socket) -> None:
        while sock.recv(65536):
            pass

    monkeypatch.setattr(pod_resources, "_SECONDS", 0.2)
    with answering(path, script):
        assert refusal(path) == "timed out"


def test_a_server_that_keeps_talking_is_not_listened_to_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(peer: Peer, stream: int) -> None:
        while True:
            peer.h2.ping(b"01234567")
            peer.flush()
            peer.sock.recv(65536)

    monkeypatch.setattr(pod_resources, "_SECONDS", 0.3)
    with answering(path, scripted(step)):
        assert refusal(path) == "timed out"


def test_a_full_conversation(path: Path) -> None:
    """Both calls over one connection, with all that a server may do in between."""
    peers: list[Peer] = []

    def step(peer: Peer, stream: int) -> None:
        peers.append(peer)
        peer.h2.ping(b"before..")
        peer.headers(stream, end=True, status="200", grpc_status="12")
        peer.h2.update_settings({4: 100_000, 5: 20_000})  # window, frame size
        stream = peer.request()
        peer.h2.send_headers(stream, [(":status", "103")])
        peer.headers(stream, status="200", content_type="application/grpc")
        for byte in framed(POD):
            peer.data(stream, bytes([byte]))
        peer.headers(stream, end=True, grpc_status="0", grpc_message="")
        peer.h2.close_connection()
        peer.flush()

    with answering(path, scripted(step)):
        assert ask(path) == []
    (get, asked), (listed, nothing) = peers[0].requests
    assert asked == framed(server.encoded(1, "p1") + server.encoded(2, "default"))
    assert nothing == framed(b"")
    assert get[b":path"] == b"/v1.PodResourcesLister/Get"
    assert listed == get | {b":path": b"/v1.PodResourcesLister/List"}
    assert get | {b":path": b""} == {
        b":method": b"POST", b":scheme": b"http", b":path": b"", b":authority": b"localhost",
        b"content-type": b"application/grpc", b"te": b"trailers",
    }  # fmt: skip


# any bytes

FRAME = st.builds(
    lambda kind, flags, stream, data: (
        struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data
    ),
    st.integers(0, 12),
    st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D, 0xFF]),
    st.sampled_from([0, 1, 1, 1, 2, 3]),
    st.binary(max_size=40)
    | st.sampled_from([
        b"\x88", b"\x88\x00\x0bgrpc-status\x010", b"\x00\x0bgrpc-status\x010",
        b"\x00\x0bgrpc-status\x01\xff", framed(POD), framed(b""), struct.pack(">I", 9),
        b"\x00\x04\x00\x00\x00\x00", b"\x00\x05\xff\xff\xff\xff", bytes(8),
    ]),
)  # fmt: skip
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAME, max_size=12), st.binary(max_size=30))
def test_any_conversation_ends_in_an_answer_or_an_error(frames: list[bytes], rest: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(SETTINGS + b"".join(frames) + rest)
        theirs.shutdown(socket.SHUT_WR)
        channel = grpc.Channel(ours, time.monotonic() + 30)
        try:
            assert isinstance(channel.call("/s/m", b"request"), bytes)
        except (OSError, grpc.StatusError) as error:
            assert str(error)
