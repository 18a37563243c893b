"""The holds of the file store: addresses that are not leased, and not for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipam.ranges import size
from ipam.stores import Hold

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from ipam.ranges import Range
    from ipam.stores import Ask, Owner

_COLUMNS = "network_name, cidr, address, kind, holder, ifname, until"


class Holds:
    """The table of holds, as one open transaction sees and changes it.

    A held address is a member of its pool's runs as a leased one is: who changes one of them sees
    to the other.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def every(self) -> list[Hold]:
        return self._read("ORDER BY network_name, length(address), address, cidr")

    def ended(self, now: int) -> list[Hold]:
        """Those whose time is over."""
        return self._read("WHERE until > 0 AND until <= ?", now)

    def at(self, network_name: str, version: int, address: int) -> list[Hold]:
        """What holds the address; one at most in each pool."""
        blob = address.to_bytes(size(version))
        return self._read("WHERE network_name = ? AND address = ?", network_name, blob)

    def waiting_for(self, owner: Owner, ask: Ask) -> list[Hold]:
        """What the pool keeps for the owner, in the range or not: a reservation first."""
        return self._read(
            "WHERE holder = ? AND ifname IN ('', ?) AND network_name = ? AND cidr = ?"
            " ORDER BY kind = 'cooling', kind, address",
            owner.holder,
            owner.attachment.ifname,
            ask.network_name,
            ask.range.cidr,
        )

    def resting(self, network_name: str, wanted: Range) -> Iterable[Hold]:
        """What of the range only rests; what has for the longest time comes first."""
        low, high = (each.to_bytes(size(wanted.version)) for each in (wanted.first, wanted.last))
        found = self._rows(
            "WHERE network_name = ? AND cidr = ? AND kind = 'cooling' AND address BETWEEN ? AND ?"
            " ORDER BY until",
            network_name,
            wanted.cidr,
            low,
            high,
        )
        return (each for each in found if wanted.offers(each.version, each.address))

    def put(self, hold: Hold) -> None:
        self._connection.execute(
            f"INSERT OR REPLACE INTO hold ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                hold.network_name,
                hold.cidr,
                hold.address.to_bytes(size(hold.version)),
                hold.kind,
                hold.holder,
                hold.ifname,
                hold.until,
            ),
        )

    def remove(self, hold: Hold) -> None:
        self._connection.execute(
            "DELETE FROM hold WHERE network_name = ? AND address = ? AND cidr = ?",
            (hold.network_name, hold.address.to_bytes(size(hold.version)), hold.cidr),
        )

    def _read(self, where: str, *values: object) -> list[Hold]:
        return list(self._rows(where, *values))

    def _rows(self, where: str, *values: object) -> Iterable[Hold]:
        query = f"SELECT {_COLUMNS} FROM hold {where}"  # noqa: S608 (texts of this module)
        for name, cidr, blob, *rest in self._connection.execute(query, values):
            yield Hold(name, cidr, 4 if len(blob) == 4 else 6, int.from_bytes(blob), *rest)
