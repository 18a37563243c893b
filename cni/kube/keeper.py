"""Connections to API servers that outlive a call: a process of the agent keeps them, and makes one
exchange after the other over them for calls. A handshake costs both sides some milliseconds.

It lends only what it has. A call that finds nothing connects by itself, as without a keeper, and
has the errors of that; meanwhile the keeper connects too, for the next one.
"""

from __future__ import annotations

import marshal
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

from cni.core import log
from cni.core.errors import CniError
from cni.kube import connection, http
from cni.kube.access import Access
from cni.kube.connection import Answer, Connection, TooLargeError

_IDLE = 60.0  #: seconds that a connection is kept without being used
_UNUSED = 25.0  #: the same of one that never was: servers wait less for a first request
_MOST = 8  #: connections that are kept for one access
_CONNECT = 5.0  #: seconds for one to be made ahead
_HERE = 0.3  #: seconds for the keeper to say that it has none
_LOOK = 10.0  #: seconds between two looks for connections that were idle for too long
_LENGTH = 4  #: bytes before each message

#: what may become of an exchange that has begun
_FAILURES: dict[str, type[Exception]] = {
    each.__name__: each
    for each in (TimeoutError, TooLargeError, http.CutShortError, http.AnswerError)
}


class Exchange(NamedTuple):
    """One request, with what it takes to reach the server."""

    access: Access
    request: bytes  #: http.request's
    seconds: float  #: for all of it


def ask(path: str, exchange: Exchange) -> Answer | None:
    """The answer, if the keeper at `path` has a connection; None: it has none, nothing was sent.

    Nothing is sent before the call has said that it still waits for that. Raises as
    Connection.exchange.
    """
    try:
        keeper = socket.socket(socket.AF_UNIX)
        keeper.settimeout(_HERE)
        keeper.connect(path)
    except OSError:
        return None
    with keeper:
        try:
            _send(keeper, _told(exchange))
            if not _receive(keeper):
                return None
            _send(keeper, True)
        except (OSError, EOFError, ValueError):
            return None
        keeper.settimeout(exchange.seconds + _HERE)
        try:
            kind, value = _receive(keeper)
        except (OSError, EOFError, ValueError) as error:
            raise ConnectionError("the agent's connection was lost") from error
    if kind == "answer":
        return Answer(*value)
    if kind == "stale":
        return None
    raise _FAILURES.get(kind, ConnectionError)(value)


class Keeper:
    """The process that keeps connections; a thread for each call that uses one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Access, list[tuple[float, Connection]]] = {}
        self._making: dict[Access, int] = {}

    def serve(self, listener: socket.socket, agent: int) -> None:
        """Until the agent has ended: then the descriptor `agent` says so."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(agent, select.POLLIN)
        threads: list[threading.Thread] = []
        while True:
            ready = {fd for fd, _ in poll.poll(_LOOK * 1000)}
            self._close_idle()
            if agent in ready:
                break
            if listener.fileno() in ready:
                threads = [each for each in threads if each.is_alive()]
                with suppress(OSError):
                    call, _ = listener.accept()
                    thread = threading.Thread(target=self._serve, args=(call,), daemon=True)
                    try:
                        thread.start()
                    except RuntimeError:  # there are too many: the call goes on by itself
                        call.close()
                    else:
                        threads.append(thread)
        listener.close()
        for each in threads:
            each.join()

    def _serve(self, call: socket.socket) -> None:
        with call, suppress(OSError, EOFError, ValueError):
            call.settimeout(_CONNECT)
            exchange = _heard(_receive(call))
            kept = self._lend(exchange.access)
            if kept is None:
                _send(call, False)
                self._connect(exchange.access)
            elif _still_waits(call):
                call.settimeout(None)
                _send(call, self._made(kept, exchange))
            else:
                self._keep(exchange.access, kept)

    def _made(self, kept: Connection, exchange: Exchange) -> tuple[str, Any]:
        """Make the exchange; what came of it."""
        deadline = time.monotonic() + exchange.seconds
        try:
            answer = kept.exchange(exchange.request, deadline)
            if answer.status == connection.IDLE_TOO_LONG:
                raise ConnectionResetError
        except (OSError, TooLargeError) as error:
            kept.close()
            self._drop(exchange.access)
            # the server ends a connection that was idle; what it was sent then, it did not see
            is_stale = isinstance(error, connection.STALE)
            return ("stale", "") if is_stale else (type(error).__name__, str(error))
        if kept.is_open:
            self._keep(exchange.access, kept)
        else:
            kept.close()
        return "answer", tuple(answer)

    def _lend(self, access: Access) -> Connection | None:
        while True:
            with self._lock:
                idle = self._idle.get(_key(access))
                if not idle:
                    return None
                _, kept = idle.pop()
            if kept.is_quiet():
                return kept
            kept.close()

    def _keep(self, access: Access, kept: Connection) -> None:
        with self._lock:
            idle = self._idle.setdefault(_key(access), [])
            idle.append((time.monotonic(), kept))
            if len(idle) > _MOST:
                idle.pop(0)[1].close()

    def _drop(self, access: Access) -> None:
        """What ended one has ended the others, or they are silent as it was."""
        with self._lock:
            for _, each in self._idle.pop(_key(access), ()):
                each.close()

    def _connect(self, access: Access) -> None:
        key = _key(access)
        with self._lock:
            if len(self._idle.get(key, ())) + self._making.get(key, 0) >= _MOST:
                return
            self._making[key] = self._making.get(key, 0) + 1
        try:
            made = Connection(connection.server(access), time.monotonic() + _CONNECT)
        except (OSError, CniError) as error:
            log.debug("no connection for the next call", server=access.server, reason=error)
        else:
            self._keep(access, made)
        finally:
            with self._lock:
                self._making[key] -= 1
                if not self._making[key]:
                    del self._making[key]

    def _close_idle(self) -> None:
        now = time.monotonic()
        with self._lock:
            for key, idle in list(self._idle.items()):
                for each in list(idle):
                    since, kept = each
                    if now - since > (_IDLE if kept.is_used else _UNUSED):
                        kept.close()
                        idle.remove(each)
                if not idle:
                    del self._idle[key]


def _key(access: Access) -> Access:
    """All that makes a connection what it is: a token goes with each request."""
    return access._replace(token="", source="", namespace="")


def _told(exchange: Exchange) -> tuple[Any, ...]:
    access = tuple(exchange.access._replace(token=""))
    return (access, *exchange[1:])


def _heard(message: tuple[Any, ...]) -> Exchange:
    access, *rest = message
    return Exchange(Access(*access), *rest)


def _still_waits(call: socket.socket) -> bool:
    """Whether the call takes the connection: else it makes the exchange itself."""
    try:
        _send(call, True)
        return _receive(call) is True
    except (OSError, EOFError, ValueError):
        return False


def _send(to: socket.socket, message: Any) -> None:
    """Between two processes of one build: marshal knows all that a message is made of."""
    data = marshal.dumps(message)
    to.sendall(len(data).to_bytes(_LENGTH, "little") + data)


def _receive(source: socket.socket) -> Any:
    length = int.from_bytes(_exactly(source, _LENGTH), "little")
    return marshal.loads(_exactly(source, length))  # noqa: S302


def _exactly(source: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        more = source.recv(min(length - len(data), 1 << 20))
        if not more:
            raise EOFError
        data += more
    return bytes(data)
