"""Unary gRPC calls over a unix socket, by h2: no thread, no event loop.

h2 and what it imports take 40 ms: only a pod with a device pays them.
See https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core import signals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from h2.events import Event

MAX_ANSWER = 16 << 20  #: bytes of a message
_PREFIX = struct.Struct(">?I")  # of a message: whether it is compressed, its length
_SETTINGS = b"\4"  # the type of the frame that every server begins with
_LONGEST_TEXT = 500  #: characters of a server's own words


class StatusError(Exception):
    """The server answered by a status other than OK; the text holds its own words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"gRPC status {status}: {words}")
        self.status = status


class Channel:
    """A connection for one call after another."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        """`deadline` of all calls together, by time.monotonic."""
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        self._sock = sock
        self._deadline = deadline
        self._heard = False
        # headers stay bytes: none of the server's can fail to decode
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.initiate_connection()

    def call(self, method: str, request: bytes) -> bytes:
        """The answer to a request, both encoded; `method` is /package.Service/Method.

        Raises StatusError, and OSError for everything else that goes wrong: a cut connection,
        an answer that is too large, or late, or no gRPC.
        """
        from h2.exceptions import H2Error

        try:
            return self._call(method, request)
        except H2Error as error:
            raise ConnectionError(f"no proper HTTP/2: {error}") from None

    def _call(self, method: str, request: bytes) -> bytes:
        from h2.events import DataReceived

        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", method),
                (":authority", "localhost"),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            ],
        )
        self._h2.send_data(stream, _PREFIX.pack(False, len(request)) + request, end_stream=True)
        answer = _Answer()
        while not answer.complete:
            for event in self._h2.receive_data(self._exchange()):
                if getattr(event, "stream_id", stream) != stream:
                    continue  # an afterthought of an earlier call
                answer.take(event)
                if isinstance(event, DataReceived):
                    self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
        return answer.message()

    def _exchange(self) -> bytes:
        """Send what is due, and wait for what comes."""
        with signals.waiting():
            self._sock.settimeout(_left(self._deadline))
            try:
                self._sock.sendall(self._h2.data_to_send())
            except (BrokenPipeError, ConnectionResetError):
                pass  # what the server sent before it left can still be read
            self._sock.settimeout(_left(self._deadline))
            data = self._sock.recv(65536)
        if not data:
            raise ConnectionError("the connection was cut")
        # h2 would wait for as many bytes as the first three of any text seem to announce
        if not self._heard and data[3:4] not in (b"", _SETTINGS):
            raise ConnectionError(f"no proper HTTP/2: it begins with {data[:20]!r}")
        self._heard = True
        return data


class _Answer:
    """What has come of an answer."""

    def __init__(self) -> None:
        self.complete = False
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()

    def take(self, event: Event) -> None:
        """Raises ConnectionError for an event after which no answer will come, or none of use."""
        from h2 import events

        match event:
            case events.ResponseReceived() | events.TrailersReceived():
                self._headers.update(event.headers)
            case events.DataReceived():
                self._body += event.data
                self._length()
            case events.StreamEnded():
                self.complete = True
            case events.StreamReset():
                raise ConnectionError(f"the call was reset (HTTP/2 error {event.error_code:d})")
            case events.ConnectionTerminated() if not self.complete:
                words = (event.additional_data or b"").decode(errors="replace")[:_LONGEST_TEXT]
                raise ConnectionError(
                    f"the connection was ended (HTTP/2 error {event.error_code:d}) {words}".strip()
                )

    def _length(self) -> int | None:
        """How long the message is; None while that has not come."""
        if len(self._body) < _PREFIX.size:
            return None
        compressed, length = _PREFIX.unpack_from(self._body)
        if compressed:
            raise ConnectionError("the answer is compressed, which was not asked for")
        if length > MAX_ANSWER:
            raise ConnectionError(f"an answer of {length} bytes, more than {MAX_ANSWER}")
        if len(self._body) > _PREFIX.size + length:
            raise ConnectionError("more than one message in answer")
        return int(length)

    def message(self) -> bytes:
        """The message of an answer that is complete."""
        status = self._headers.get(b"grpc-status", b"")
        if not (status.isdigit() and len(status) < 5):
            http = self._headers.get(b":status", b"").decode(errors="replace")
            raise ConnectionError(f"an answer without grpc-status (HTTP status {http})")
        if int(status):
            raise StatusError(int(status), _words(self._headers.get(b"grpc-message", b"")))
        length = self._length()
        if length is None or len(self._body) < _PREFIX.size + length:
            raise ConnectionError("the answer is cut short")
        return bytes(self._body[_PREFIX.size :])


@contextmanager
def connect(path: str, seconds: float) -> Iterator[Channel]:
    """A channel whose calls have to end within `seconds`, all together.

    Raises OSError.
    """
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        with signals.waiting():
            sock.settimeout(seconds)
            sock.connect(path)
        yield Channel(sock, deadline)


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


def _words(quoted: bytes) -> str:
    """A grpc-message, which comes percent-encoded."""
    plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda hexed: bytes.fromhex(hexed[1].decode()), quoted)
    return plain.decode(errors="replace")[:_LONGEST_TEXT]
