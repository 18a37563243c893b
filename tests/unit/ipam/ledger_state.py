"""What a lease database holds, and whether it agrees with itself; read without the store."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Pool = tuple[str, str]  #: network_name and CIDR


def leases(database: Path) -> dict[tuple[str, str, bytes], str]:
    """network_name, CIDR and address of every lease, with the container that holds it."""
    connection = sqlite3.connect(database)
    try:
        rows = connection.execute("SELECT network_name, cidr, address, container_id FROM lease")
        return {(name, cidr, address): container for name, cidr, address, container in rows}
    finally:
        connection.close()


def check(database: Path) -> None:
    """The file is whole, its runs say what its leases say, and no two runs touch."""
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT network_name, scope, first, last FROM run").fetchall()
        held = connection.execute("SELECT network_name, cidr, address FROM hold").fetchall()
    finally:
        connection.close()
    stored = [(name, scope, _int(first), _int(last)) for name, scope, first, last in rows]
    scopes: dict[Pool, set[int]] = {}
    for name, cidr, address in (*leases(database), *held):
        for scope in (cidr, "ipv4" if len(address) == 4 else "ipv6"):
            scopes.setdefault((name, scope), set()).add(_int(address))
    expected = [(*scope, *run) for scope, numbers in scopes.items() for run in _runs(numbers)]
    assert sorted(stored) == sorted(expected)


def _int(blob: bytes) -> int:
    return int.from_bytes(blob)


def _runs(numbers: set[int]) -> list[tuple[int, int]]:
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number for number in numbers if number + 1 not in numbers)
    return list(zip(starts, ends, strict=True))
