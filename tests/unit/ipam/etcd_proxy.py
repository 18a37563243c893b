"""What may come between a client and etcd: answers that are lost, requests that arrive late."""

from __future__ import annotations

import http.client
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: what becomes of a request: answered; made, but the answer is lost; not made; made by `let_go`
PASS, CUT, REFUSE, HOLD = "pass", "cut", "refuse", "hold"


def is_change(request: bytes) -> bool:
    """Whether it is a transaction with conditions."""
    return b'"compare"' in request


class Proxy:
    """Forwards to a port of this host as `plan` says, which is asked about each request."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.plan: Callable[[bytes], str] = lambda _: PASS
        self.requests: list[bytes] = []
        self.held: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def let_go(self) -> int:
        """Make the requests that were held; how many of them etcd has accepted."""
        accepted = 0
        while self.held:
            with socket.create_connection(self._to) as etcd:
                accepted += b'"succeeded":true' in self._forward(etcd, self.held.pop(0))
        return accepted

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(client,), daemon=True).start()

    def _converse(self, client: socket.socket) -> None:
        try:
            with client, socket.create_connection(self._to) as etcd:
                while request := _read(client):
                    self.requests.append(request)
                    fate = self.plan(request)
                    if fate == HOLD:
                        self.held.append(request)
                    if fate in (HOLD, REFUSE):
                        return
                    answer = self._forward(etcd, request)
                    if fate == CUT:
                        return
                    client.sendall(answer)
        except (OSError, http.client.HTTPException):
            pass  # both ends are closed now

    @staticmethod
    def _forward(etcd: socket.socket, request: bytes) -> bytes:
        etcd.sendall(request)
        response = http.client.HTTPResponse(etcd, method="POST")
        response.begin()
        body = response.read()
        head = f"HTTP/1.1 {response.status} -\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


def _read(client: socket.socket) -> bytes:
    """A request with its body; nothing when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := client.recv(65536)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        if not (more := client.recv(65536)):
            return b""
        body += more
    return head + b"\r\n\r\n" + body
