"""Sets of addresses as maximal runs, in SQL: the index that makes first-fit O(log n).

A scope is a set of its own: the leases of one pool, or of all pools of a network_name. Of each
scope the table holds the unbroken runs [first, last], and no two of them touch. So the address
after a run is free, and finding, adding and removing an address each read and write at most
three rows of a B-tree, wherever the windows and excludes of the ranges lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipam.ranges import size

if TYPE_CHECKING:
    import sqlite3

SCHEMA = """
CREATE TABLE run (
    network_name TEXT NOT NULL,
    scope TEXT NOT NULL,    -- the CIDR of a pool, or ipv4 or ipv6: all pools of the network_name
    first BLOB NOT NULL,    -- 4 or 16 bytes in network order, which sort as addresses do
    last BLOB NOT NULL,
    PRIMARY KEY (network_name, scope, first)
) WITHOUT ROWID;
"""


class Runs:
    """The leased addresses of one scope."""

    def __init__(
        self, connection: sqlite3.Connection, network_name: str, scope: str, version: int
    ) -> None:
        self._connection = connection
        self._scope = (network_name, scope)
        self._size = size(version)

    def end(self, address: int) -> int | None:
        """The last address of the run that holds `address`; None when it is free."""
        run = self._before(address)
        return run[1] if run and address <= run[1] else None

    def add(self, address: int) -> None:
        """Add a free address, joining the runs that it touches."""
        first = last = address
        before = self._before(address)
        if before and before[1] == address - 1:
            first = before[0]
        after = self._at(address + 1)
        if after is not None:
            self._drop(address + 1)
            last = after
        self._put(first, last)

    def remove(self, address: int) -> None:
        """Remove an address, splitting its run; absent is fine."""
        run = self._before(address)
        if run is None or address > run[1]:
            return
        first, last = run
        if first == address:
            self._drop(first)
        else:
            self._put(first, address - 1)
        if last > address:
            self._put(address + 1, last)

    def _before(self, address: int) -> tuple[int, int] | None:
        """The run with the greatest first address up to `address`."""
        row = self._connection.execute(
            "SELECT first, last FROM run WHERE network_name = ? AND scope = ? AND first <= ?"
            " ORDER BY first DESC LIMIT 1",
            (*self._scope, self._blob(address)),
        ).fetchone()
        return (int.from_bytes(row[0]), int.from_bytes(row[1])) if row else None

    def _at(self, first: int) -> int | None:
        """The last address of the run that begins at `first`."""
        row = self._connection.execute(
            "SELECT last FROM run WHERE network_name = ? AND scope = ? AND first = ?",
            (*self._scope, self._blob(first)),
        ).fetchone()
        return int.from_bytes(row[0]) if row else None

    def _put(self, first: int, last: int) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?)",
            (*self._scope, self._blob(first), self._blob(last)),
        )

    def _drop(self, first: int) -> None:
        self._connection.execute(
            "DELETE FROM run WHERE network_name = ? AND scope = ? AND first = ?",
            (*self._scope, self._blob(first)),
        )

    def _blob(self, address: int) -> bytes:
        return address.to_bytes(self._size)
