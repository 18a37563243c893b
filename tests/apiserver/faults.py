"""What goes wrong on demand, and for which requests."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal[
    "cut",  # the connection ends before the answer; nothing has been changed
    "cut-body",  # ... in the middle of the answer's body; the change is made
    "lost-answer",  # ... before the answer, but the change is made
    "html",  # a page with status 200, or `status`, as a proxy in front would give
    "garbage",  # status 200, or `status`, and JSON that ends too early
    "length",  # a Content-Length of ten bytes too many, then the end; the change is made
    "drip",  # the body, byte by byte; the change is made
    "drip-head",  # the head, byte by byte; the change is made
    "silent",  # the request is read, and never answered
    "refuse-tls",  # a connection is closed as soon as it is accepted
    "silent-tls",  # a connection is accepted, and nothing is ever said on it
]
_OF_CONNECTIONS = ("refuse-tls", "silent-tls")
_PACE = 0.05  #: seconds between the bytes of a drip

HTML = "<html><head><title>Welcome</title></head><body>Please log in.</body></html>"
GARBAGE = '{"kind":"Pod","apiVersion":"v1","metadata":{"name":'


class Fault(NamedTuple):
    """`delay` in seconds before the request is handled, or between the bytes of a drip."""

    times: int | None
    method: str | None = None
    path: str = ""
    delay: float = 0.0
    status: int | None = None
    kind: Kind | None = None
    body: str | None = None
    headers: Mapping[str, str] | None = None

    @property
    def pace(self) -> float:
        return self.delay or _PACE

    @property
    def invents(self) -> bool:
        """The answer is the fault's own, and the request has no effect."""
        return self.status is not None or self.body is not None or self.kind in ("html", "garbage")


class Faults:
    """The faults that are set; the first that matches is taken, and used up after its times."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._set: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._set.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._set.clear()

    def for_connection(self) -> Fault | None:
        return self._take(lambda fault: fault.kind in _OF_CONNECTIONS)

    def for_request(self, method: str, path: str) -> Fault | None:
        return self._take(
            lambda fault: (
                fault.kind not in _OF_CONNECTIONS
                and fault.method in (None, method)
                and path.startswith(fault.path)
            )
        )

    def _take(self, matches: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for index, fault in enumerate(self._set):
                if matches(fault):
                    if fault.times is not None:
                        rest = fault._replace(times=fault.times - 1)
                        self._set[index : index + 1] = [rest] if rest.times else []
                    return fault
        return None
