"""What the server was asked, in the order of arrival."""

from __future__ import annotations

import itertools
from threading import Lock
from typing import NamedTuple


class Seen(NamedTuple):
    """A request: the path with its query, the type of its body, the user ("" for nobody).

    `status` is 0 as long as no answer was given; it is known before the client has the answer.
    """

    method: str
    path: str
    status: int
    content_type: str
    user: str


class Journal:
    """Requests, and the number of connections they came by."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers = itertools.count()
        self._seen: dict[int, Seen] = {}
        self.connections = 0

    def arrived(self, seen: Seen) -> int:
        """Note a request, and give the number to settle it with."""
        with self._lock:
            number = next(self._numbers)
            self._seen[number] = seen
            return number

    def settle(self, number: int, status: int) -> None:
        with self._lock:
            if number in self._seen:
                self._seen[number] = self._seen[number]._replace(status=status)

    def connected(self) -> None:
        with self._lock:
            self.connections += 1

    def all(self) -> list[Seen]:
        with self._lock:
            return list(self._seen.values())

    def clear(self) -> None:
        with self._lock:
            self._seen.clear()
            self.connections = 0
