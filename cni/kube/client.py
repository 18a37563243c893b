"""A thin client of the API server: what a plugin asks in the second that a pod waits for it.

Every call ends within a budget that all calls share, is tried again when the server may recover,
and fails with one error that says server, object and reason.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import signals, trace
from cni.core.errors import CniError, Code, describe
from cni.kube import connection, failures, http
from cni.kube.connection import Connection, Server, TooLargeError
from cni.kube.failures import Asked
from cni.kube.percent import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cni.core.types import Json
    from cni.kube.access import Access
    from cni.kube.connection import Answer
    from cni.kube.failures import ApiError

MERGE_PATCH = "application/merge-patch+json"  #: RFC 7386
JSON_PATCH = "application/json-patch+json"  #: RFC 6902

_MOMENTARY = frozenset((429, 500, 502, 503, 504))
_PAUSE = 0.1  #: seconds before the second try; doubled before each further one
_LONGEST_PAUSE = 1.0
_BESIDE = 8  #: calls at a time: how many there are, a pod's author decides


class Limits(NamedTuple):
    """Seconds, and how often: for one connection, one answer, all calls of a client together."""

    connect: float = 2.0
    call: float = 5.0
    total: float = 10.0
    attempts: int = 100  #: of one call: its end is that of the time


class Call(NamedTuple):
    """One request; `path` has its query."""

    method: str
    path: str
    body: Json | None = None
    content_type: str = "application/json"


class Client:
    """The server of an `Access`, which is loaded anew when the server refuses it.

    All methods raise ApiError; and CniError 5 or 7 for an access that cannot be used.
    """

    def __init__(self, load: Callable[[], Access], limits: Limits | None = None) -> None:
        self._load = load
        self._limits = limits or Limits()
        self._left = self._limits.total
        self._session = _session(load())
        self._renewing = threading.Lock()

    @property
    def namespace(self) -> str:
        return self._session.access.namespace

    def get(self, path: str) -> Json:
        return self.call(Call("GET", path))

    def items(self, path: str) -> tuple[list[Json], str]:
        """All objects of a collection, and the resourceVersion of which they are."""
        items: list[Json] = []
        following = ""
        while True:
            page = self.get(_with(path, "continue", following) if following else path)
            found = page.get("items", ...)
            if not isinstance(found, list | None):
                asked = Asked("GET", path, self._session.access)
                raise asked.error(Code.TRY_AGAIN_LATER, "the answer is not a list")
            items += [each for each in found or () if isinstance(each, dict)]
            meta = page.get("metadata")
            meta = meta if isinstance(meta, dict) else {}
            following = str(meta.get("continue") or "")
            if not following:
                return items, str(meta.get("resourceVersion") or "")

    def merge_patch(self, path: str, change: Json) -> Json:
        return self.call(Call("PATCH", path, change, MERGE_PATCH))

    def put(self, path: str, document: Json) -> Json:
        """Replace an object; status 409 when its resourceVersion is not the stored one."""
        return self.call(Call("PUT", path, document))

    def create(self, path: str, document: Json) -> Json:
        """Status 409 when it is there, be it by a try of ours whose answer was lost."""
        return self.call(Call("POST", path, document))

    def call(self, call: Call) -> Json:
        """One call, tried until it is answered or out of time."""
        with self._within(self._limits.total) as deadline:
            return self._tried(call, deadline, self._limits.attempts)

    def side_by_side(self, calls: Sequence[Call]) -> list[Json | CniError]:
        """The answers to several calls, or the error of each, in their order."""
        with self._within(self._limits.total) as deadline:
            return self._all(calls, deadline, self._limits.attempts)

    def once(self, calls: Sequence[Call], seconds: float) -> list[Json | CniError]:
        """The same, but each tried once and all within `seconds`: for what is only nice to say."""
        with self._within(seconds) as deadline:
            return self._all(calls, deadline, attempts=1)

    def limit(self, *, total: float, attempts: int) -> None:
        """Be less patient from now on."""
        self._limits = self._limits._replace(attempts=attempts)
        self._left = min(self._left, total)

    def refresh(self) -> None:
        """Wait anew as long as at the beginning."""
        self._left = max(self._left, self._limits.total)

    def close(self) -> None:
        _close(self._session)

    @contextmanager
    def _within(self, seconds: float) -> Iterator[float]:
        """The deadline of a wait, which is taken off what the client has left."""
        start = time.monotonic()
        try:
            with signals.waiting():
                yield start + min(seconds, self._left)
        finally:
            self._left -= time.monotonic() - start

    def _all(self, calls: Sequence[Call], deadline: float, attempts: int) -> list[Json | CniError]:
        answers: dict[int, Json | CniError] = {}
        indices = iter(range(len(calls)))  # whoever is free takes the next

        def work() -> None:
            for index in indices:
                try:
                    answers[index] = self._tried(calls[index], deadline, attempts)
                except Exception as error:
                    answers[index] = describe(error)

        # threads in the background: the process does not wait for one that is out of time
        threads = [threading.Thread(target=work, daemon=True) for _ in calls[1:_BESIDE]]
        for each in threads:
            each.start()
        work()
        with trace.span(trace.API):
            for each in threads:
                each.join()
        return [answers[index] for index in range(len(calls))]

    def _tried(self, call: Call, deadline: float, attempts: int) -> Json:
        """Ask until there is an answer that counts."""
        start = time.monotonic()
        has_new_access = False
        pause = _PAUSE
        number = 0
        while True:
            number += 1
            session = self._session
            asked = Asked(call.method, call.path, session.access)
            try:
                with trace.span(trace.API):
                    answer = self._ask(call, session, deadline, number)
            except (OSError, TooLargeError) as error:
                failure = failures.unreachable(asked, error)
                wait = 0.0
            else:
                if answer.status == 401 and not has_new_access:
                    has_new_access = True
                    self._renew(session, failures.refused(asked, answer))
                    continue
                if answer.status not in _MOMENTARY:
                    return _read(asked, answer)
                failure = failures.refused(asked, answer)
                wait = _seconds(answer.retry_after)
            # not by `random`: a signal that ends this wait would come amid its import
            wait = max(wait, pause * (0.9 + time.monotonic_ns() % 1000 / 5000))
            is_late = time.monotonic() + wait >= deadline
            if is_late or number >= attempts or not failure.may_heal:
                failure.details = _tries(number, time.monotonic() - start, failure.details)
                raise failure
            time.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _ask(self, call: Call, session: _Session, deadline: float, number: int) -> Answer:
        """One exchange, over a connection that is open already if there is one; but the keeper's
        only at the first try, so that no second one meets the same fate.
        """
        body = None if call.body is None else json.dumps(call.body).encode()
        headers = {"Accept": "application/json", "User-Agent": "plait"}
        if session.access.token:
            headers["Authorization"] = f"Bearer {session.access.token}"
        if body is not None:
            headers["Content-Type"] = call.content_type
        path = session.server.prefix + call.path
        request = http.request(call.method, path, session.server.authority, headers, body)
        until = min(deadline, time.monotonic() + self._limits.call)
        if connection.KEEPER and number == 1 and not session.idle:
            from cni.kube import keeper

            exchange = keeper.Exchange(session.access, request, until - time.monotonic())
            if (kept := keeper.ask(connection.KEEPER, exchange)) is not None:
                return kept
        while True:
            link = self._open(session, until)
            was_used = link.is_used
            try:
                answer = link.exchange(request, until)
                if was_used and answer.status == connection.IDLE_TOO_LONG:
                    raise ConnectionResetError("the server has ended an idle connection")
            except BaseException as error:
                link.close()
                _close(session)  # what ended this one has ended the others
                # the server ends a connection that was idle; what it was sent then, it did not see
                if was_used and isinstance(error, connection.STALE):
                    continue
                raise
            if link.is_open and session is self._session:
                session.idle.append(link)
            else:
                link.close()
            return answer

    def _open(self, session: _Session, until: float) -> Connection:
        with suppress(IndexError):
            while True:
                link = session.idle.pop()
                if link.is_quiet():
                    return link
                link.close()
        soon = time.monotonic() + self._limits.connect
        return Connection(session.server, min(until, soon))

    def _renew(self, refused: _Session, failure: ApiError) -> None:
        """Tokens are replaced every hour: the file may have a newer one than we read."""
        with self._renewing:
            if self._session is not refused:  # another thread was here
                return
            try:
                self._session = _session(self._load())
            except CniError as error:
                raise error.within(f"{failure.msg}, and no new access") from None
            _close(refused)


class _Session(NamedTuple):
    """An access and the connections that were made by it: another's go elsewhere."""

    access: Access
    server: Server
    idle: list[Connection]


def _session(access: Access) -> _Session:
    return _Session(access, connection.server(access), [])


def _close(session: _Session) -> None:
    with suppress(IndexError):  # other threads take them too
        while True:
            session.idle.pop().close()


def _read(asked: Asked, answer: Answer) -> Json:
    if not 200 <= answer.status < 300:
        raise failures.refused(asked, answer)
    if answer.status == 204:
        return {}
    try:
        document: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise failures.garbled(asked, answer)
    return document


def _with(path: str, key: str, value: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{key}={quote(value)}"


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0


def _tries(number: int, seconds: float, details: str) -> str:
    return f"{number} {'try' if number == 1 else 'tries'} in {seconds:.1f} s; {details}"
