"""A server of HTTP/2 that follows a script: for the answers that no proper kubelet gives."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def answering(path: Path, script: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serve one connection by a script; what it could not send is no failure."""

    def serve() -> None:
        with listener, listener.accept()[0] as sock:
            try:
                script(sock)
            except OSError:
                pass

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    thread.join()


class Peer:
    """The server's side of HTTP/2, for one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.h2 = H2Connection(H2Configuration(client_side=False))
        self.h2.initiate_connection()
        self.requests: list[tuple[dict[bytes, bytes], bytes]] = []

    def request(self) -> int:
        """The stream of the next request, which has come whole."""
        self.flush()
        body = b""
        headers: dict[bytes, bytes] = {}
        while True:
            for event in self.h2.receive_data(self._received()):
                match event:
                    case RequestReceived():
                        headers = dict(event.headers)
                    case DataReceived():
                        body += event.data
                    case StreamEnded():
                        self.requests.append((headers, body))
                        return event.stream_id
            self.flush()

    def _received(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError
        return data

    def headers(self, stream: int, *, end: bool = False, **headers: str) -> None:
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        first = "status" in headers
        if first:
            named = [(":status", headers["status"]), *named[1:]]
        self.h2.send_headers(stream, named, end_stream=end)
        self.flush()

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self.h2.send_data(stream, data, end_stream=end)
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())


def framed(message: bytes, *, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(message)) + message


def scripted(step: Callable[[Peer, int], None]) -> Callable[[socket.socket], None]:
    def script(sock: socket.socket) -> None:
        peer = Peer(sock)
        step(peer, peer.request())

    return script


def told(peer: Peer, stream: int, *data: bytes, grpc_status: str = "0", **more: str) -> None:
    peer.headers(stream, status="200", content_type="application/grpc")
    for each in data:
        peer.data(stream, each)
    peer.headers(stream, end=True, grpc_status=grpc_status, **more)
