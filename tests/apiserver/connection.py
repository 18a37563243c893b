"""One client's connection: requests are read, faults happen, answers are written."""

from __future__ import annotations

import select
import socket
import traceback
import uuid
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from . import status, verbs, watch
from .access import Access
from .faults import GARBAGE, HTML, Fault, Faults
from .journal import Journal, Seen
from .resources import parse
from .status import Refusal
from .store import Store
from .verbs import MAX_BODY, Answer, Request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

_PROBES = ("/healthz", "/livez", "/readyz")
#: what the benches ask about a server in a process of its own; it is in no journal
_JOURNAL = "/debug/requests"
#: A Go server sends more than this in chunks, for want of a length.
_UNCHUNKED = 2048
_CHUNK = 4096
_LOOK = 0.05  #: seconds between looks at whether a client is still there
_PLAIN = "text/plain; charset=utf-8"


class World:
    """What all connections share; `released` ends every wait of a fault, `stopped` all the rest."""

    def __init__(self, tokens: dict[str, str]) -> None:
        self.store = Store()
        self.access = Access(tokens)
        self.faults = Faults()
        self.journal = Journal()
        self.released = Event()
        self.stopped = Event()

    def release(self) -> None:
        self.released.set()
        self.released = Event()


def hung_up(connection: socket.socket) -> bool:
    """The client has closed, or says something out of turn."""
    return bool(select.select([connection], [], [], 0)[0])


def wait_out(connection: socket.socket, released: Event) -> None:
    """Say nothing until the fault is over, or the client is gone."""
    while not released.wait(_LOOK) and not hung_up(connection):
        pass


class Conversation(BaseHTTPRequestHandler):
    """The requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    connection: ssl.SSLSocket

    def __init__(self, connection: ssl.SSLSocket, world: World) -> None:
        self.world = world
        super().__init__(connection, ("127.0.0.1", 0), cast("Any", None))

    def log_message(self, *_: object) -> None:
        """The journal has it all."""

    def answer(self) -> None:
        released = self.world.released
        request = self._read()
        if request.path == _JOURNAL:
            self._send(_journal(self.world.journal, self.command), Fault(None))
            return
        user = self.world.access.user(self.headers.get("Authorization", ""), self.connection)
        journal = self.world.journal
        number = journal.arrived(Seen(self.command, self.path, 0, request.content_type, user))
        fault = self.world.faults.for_request(self.command, self.path) or Fault(None)
        if fault.delay and fault.kind not in ("drip", "drip-head"):
            released.wait(fault.delay)
        if fault.kind == "silent":
            wait_out(self.connection, released)
        if fault.kind in ("cut", "silent") or self.world.stopped.is_set():
            self._cut()
            return
        answer = _invented(fault) if fault.invents else self._carry_out(request, user)
        lost = fault.kind == "lost-answer"
        journal.settle(number, 0 if lost else answer.code if isinstance(answer, Answer) else 200)
        if lost:
            self._cut()
        elif isinstance(answer, Answer):
            self._send(answer, fault)
        else:
            self._stream(answer, fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def _read(self) -> Request:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        content_type = self.headers.get("Content-Type", "").partition(";")[0].strip()
        length = self.headers.get("Content-Length", "0")
        size = int(length) if length.isdecimal() else 0
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True  # No client of ours sends chunks: the body stays unread.
        body = self.rfile.read(size)
        short = body if size <= MAX_BODY else None
        return Request(self.command, parts.path, query, content_type, short)

    def _carry_out(self, request: Request, user: str) -> Answer | Iterator[bytes]:
        try:
            return _answer(self.world, request, user, self._ended)
        except Refusal as refusal:
            return verbs.answer(refusal.code, refusal.status)
        except Exception as error:
            traceback.print_exc()
            text = f"Internal error occurred: {error!r}"
            return verbs.answer(500, status.status(500, "InternalError", text))

    def _ended(self) -> bool:
        return self.world.stopped.is_set() or hung_up(self.connection)

    def _send(self, answer: Answer, fault: Fault) -> None:
        headers = dict(answer.headers)
        body = answer.body
        if fault.kind == "length":
            headers["Content-Length"] = str(len(body) + 10)
        headers |= fault.headers or {}
        if "Content-Length" not in headers:
            if len(body) <= _UNCHUNKED or self.request_version == "HTTP/1.0":
                headers["Content-Length"] = str(len(body))
            else:
                headers["Transfer-Encoding"] = "chunked"
                pieces = [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)]
                body = b"".join(map(_chunk, pieces)) + _chunk(b"")
        head = self._head(answer.code, answer.content_type, headers)
        match fault.kind:
            case "cut-body":
                self.connection.sendall(head + body[: len(body) // 2])
                self._cut()
            case "length":
                self.connection.sendall(head + body)
                self._cut()
            case "drip":
                self.connection.sendall(head)
                self._drip(body, fault.pace)
            case "drip-head":
                self._drip(head, fault.pace)
                self.connection.sendall(body)
            case _:
                self.connection.sendall(head + body)

    def _stream(self, lines: Iterator[bytes], fault: Fault) -> None:
        headers = {"Transfer-Encoding": "chunked"} | dict(fault.headers or {})
        self.connection.sendall(self._head(200, "application/json", headers))
        for line in lines:
            if fault.kind == "cut-body":
                self.connection.sendall(_chunk(line)[: len(line) // 2])
                self._cut()
                return
            if fault.kind == "drip":
                self._drip(_chunk(line), fault.pace)
            else:
                self.connection.sendall(_chunk(line))
        if not self.world.stopped.is_set():
            self.connection.sendall(_chunk(b""))

    def _head(self, code: int, content_type: str, headers: Mapping[str, str]) -> bytes:
        phrase = HTTPStatus(code).phrase if code in set(HTTPStatus) else "Unknown"
        fields = {
            "Audit-Id": str(uuid.uuid4()),
            "Cache-Control": "no-cache, private",
            "Content-Type": content_type,
            "Date": formatdate(usegmt=True),
        } | dict(headers)
        if self.close_connection:
            fields["Connection"] = "close"
        lines = [f"HTTP/1.1 {code} {phrase}", *(f"{key}: {fields[key]}" for key in fields)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _drip(self, data: bytes, pace: float) -> None:
        released = self.world.released
        for at in range(len(data)):
            self.connection.sendall(data[at : at + 1])
            # Nobody waits when the fault is over: the rest comes at once.
            if released.wait(pace):
                self.connection.sendall(data[at + 1 :])
                return

    def _cut(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # The client was faster.
            pass


def _answer(world: World, request: Request, user: str, ended: Any) -> Answer | Iterator[bytes]:
    if request.path in _PROBES:
        return Answer(200, b"ok", _PLAIN)
    if request.path == "/version":
        return verbs.answer(200, {"major": "1", "minor": "33", "gitVersion": "v1.33.0+plait"})
    if request.body is None:
        raise status.too_large(MAX_BODY)
    if not user:
        raise status.unauthorized()
    target = parse(request.path)
    if target is None:
        return Answer(404, b"404 page not found\n", _PLAIN)
    verb = verbs.verb(request, target)
    world.access.check(user, verb, target)
    if verb == "watch":
        return watch.lines(world.store, target, request.query, ended)
    return verbs.respond(world.store, request, target)


def _invented(fault: Fault) -> Answer:
    """The answer of a fault: its body, a page, or the Status that goes with its code."""
    code = fault.status or 200
    if fault.kind == "html":
        return Answer(code, (fault.body or HTML).encode(), "text/html; charset=utf-8")
    if fault.body is not None:
        return Answer(code, fault.body.encode())
    if fault.kind == "garbage":
        return Answer(code, GARBAGE.encode())
    later = {"Retry-After": "1"}
    if code == 429:
        return Answer(code, b"Too many requests, please try again later.\n", _PLAIN, later)
    reasons = {
        401: ("Unauthorized", "Unauthorized"),
        403: ("Forbidden", "forbidden: access denied"),
        404: ("NotFound", "the server could not find the requested resource"),
        409: ("Conflict", f"Operation cannot be fulfilled: {status.MODIFIED}"),
        500: ("InternalError", "Internal error occurred: etcdserver: leader changed"),
        503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
    }
    reason, message = reasons.get(code, ("", f"the server responded with the status code {code}"))
    said = verbs.answer(code, status.status(code, reason, message))
    return said._replace(headers=later) if code == 503 else said


def _journal(journal: Journal, method: str) -> Answer:
    if method == "DELETE":
        journal.clear()
    seen = [one._asdict() for one in journal.all()]
    return verbs.answer(200, {"connections": journal.connections, "requests": seen})


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
