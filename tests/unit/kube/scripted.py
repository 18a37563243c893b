"""A server that says what it is told to say, byte for byte, whatever it is asked."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apiserver.certificates import Certificates

_PATIENCE = 30.0  #: seconds; only a test that fails waits as long


class Scripted:
    """The n-th request gets the n-th answer, those after the last get the last.

    A connection ends after each answer, unless it is `kept`; without `tls` it is plain TCP, and
    does not wait for the request.
    """

    def __init__(
        self, tls: ssl.SSLContext | None, *answers: bytes, kept: bool = False, host: str = ""
    ) -> None:
        self._tls = tls
        self._answers = answers
        self._kept = kept
        self._open: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.connections = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host or "127.0.0.1", 0), family=family)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            plain.settimeout(_PATIENCE)
            threading.Thread(target=self._converse, args=(plain,), daemon=True).start()

    def _converse(self, plain: socket.socket) -> None:
        try:
            if self._tls is None:
                plain.sendall(self._answers[0])
                plain.recv(65536)
                plain.close()
                return
            with self._tls.wrap_socket(plain, server_side=True) as connection:
                self._open.append(connection)
                while self._read(connection):
                    number = min(len(self.requests), len(self._answers)) - 1
                    connection.sendall(self._answers[number])
                    if not self._kept:
                        return
        except OSError:
            plain.close()

    def _read(self, connection: socket.socket) -> bool:
        """One request with its body; false when no other comes."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = [each for each in head.split(b"\r\n") if each.startswith(b"Content-Length: ")]
        while length and len(body) < int(length[0].split()[1]):
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return True


def tls(certificates: Certificates, certificate: Path | None = None) -> ssl.SSLContext:
    """Of a server; with the key of the API server's certificate, and that one or another."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate or certificates.certificate, certificates.key)
    return context


def answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """With a proper length, and header names whose dashes are underscores here."""
    given = {"Content_Type": "application/json", "Content_Length": str(len(body)), **headers}
    lines = [f"{key.replace('_', '-')}: {value}\r\n" for key, value in given.items()]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode() + body
