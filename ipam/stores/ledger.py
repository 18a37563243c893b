"""What the file store does inside one transaction: leases in tables, found by their indexes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cni.core.types import Attachment
from ipam.ranges import first_free, size
from ipam.stores import Ask, Lease, Owner, exhausted, runs, taken
from ipam.stores.runs import Runs

if TYPE_CHECKING:
    import sqlite3

SCHEMA_VERSION = 1

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE lease (
    network_name TEXT NOT NULL,   -- with cidr the pool; networks that name the same share it
    address BLOB NOT NULL,        -- 4 or 16 bytes in network order
    cidr TEXT NOT NULL,
    network TEXT NOT NULL,        -- with container_id and ifname the attachment
    container_id TEXT NOT NULL,
    ifname TEXT NOT NULL,
    slot INTEGER NOT NULL,        -- which of the addresses that the attachment asked for, from 0
    pod_namespace TEXT NOT NULL,
    pod_name TEXT NOT NULL,
    pod_uid TEXT NOT NULL,
    created INTEGER NOT NULL,     -- seconds since 1970
    PRIMARY KEY (network_name, address, cidr)
) WITHOUT ROWID;
CREATE INDEX lease_attachment ON lease (network, container_id, ifname);
{runs.SCHEMA}
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


class Ledger:
    """The leases, as one open transaction sees and changes them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def probe(self) -> None:
        """Raises sqlite3.Error when nothing can be written, which BEGIN IMMEDIATE overlooks."""
        self._connection.execute("DELETE FROM lease WHERE 0")

    def leases(self, attachment: Attachment) -> list[Lease]:
        """What the attachment holds, in the order in which it was asked for."""
        rows = self._connection.execute(
            "SELECT network_name, cidr, address FROM lease"
            " WHERE network = ? AND container_id = ? AND ifname = ?"
            " ORDER BY slot, network_name, address, cidr",
            attachment,
        )
        return [
            Lease(attachment, name, cidr, 4 if len(blob) == 4 else 6, int.from_bytes(blob))
            for name, cidr, blob in rows
        ]

    def attachments(self, network: str) -> set[tuple[str, str]]:
        """(container ID, ifname) of all that hold a lease of the network."""
        return set(
            self._connection.execute(
                "SELECT DISTINCT container_id, ifname FROM lease WHERE network = ?", (network,)
            )
        )

    def take(self, owner: Owner, ask: Ask, slot: int) -> int:
        """Lease the wanted address, or the lowest that is free. Raises CniError 100."""
        pool, family = self._scopes(ask.network_name, ask.range.cidr, ask.range.version)
        leased = family if ask.unique else pool
        if ask.wanted is None:
            address = first_free(ask.range, leased.end)
            if address is None:
                raise exhausted(ask.range)
        else:
            address = ask.wanted
            if leased.end(address) is not None:
                raise taken(ask, ask.range.text(address), self._holder(ask, address))
        self._insert(owner, ask, address, slot)
        pool.add(address)
        if family.end(address) is None:  # else another pool, not unique either, has leased it too
            family.add(address)
        return address

    def drop(self, lease: Lease) -> None:
        """Forget a lease; its address is free again when no other pool has leased it."""
        pool, family = self._scopes(lease.network_name, lease.cidr, lease.version)
        blob = lease.address.to_bytes(size(lease.version))
        self._connection.execute(
            "DELETE FROM lease WHERE network_name = ? AND address = ? AND cidr = ?",
            (lease.network_name, blob, lease.cidr),
        )
        pool.remove(lease.address)
        others = self._connection.execute(
            "SELECT 1 FROM lease WHERE network_name = ? AND address = ? LIMIT 1",
            (lease.network_name, blob),
        )
        if others.fetchone() is None:
            family.remove(lease.address)

    def _scopes(self, network_name: str, cidr: str, version: int) -> tuple[Runs, Runs]:
        """The runs of the pool, and those of all pools of its network_name and family."""
        return (
            Runs(self._connection, network_name, cidr, version),
            Runs(self._connection, network_name, f"ipv{version}", version),
        )

    def _insert(self, owner: Owner, ask: Ask, address: int, slot: int) -> None:
        self._connection.execute(
            "INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                ask.network_name,
                address.to_bytes(size(ask.range.version)),
                ask.range.cidr,
                *owner.attachment,
                slot,
                owner.pod_namespace,
                owner.pod_name,
                owner.pod_uid,
                int(time.time()),
            ),
        )

    def _holder(self, ask: Ask, address: int) -> Attachment:
        row = self._connection.execute(
            "SELECT network, container_id, ifname FROM lease"
            " WHERE network_name = ? AND address = ? ORDER BY cidr = ? DESC LIMIT 1",
            (ask.network_name, address.to_bytes(size(ask.range.version)), ask.range.cidr),
        ).fetchone()
        return Attachment(*row)
