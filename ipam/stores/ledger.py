"""What the file store does inside one transaction: leases in tables, found by their indexes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cni.core.types import Attachment
from ipam.ranges import first_free, size
from ipam.stores import (
    COOLING,
    RESERVED,
    STAYS_RESERVED,
    STICKY,
    Ask,
    Hold,
    Lease,
    Owner,
    after_release,
    exhausted,
    held,
    refused,
    taken,
    withheld,
)
from ipam.stores.holds import Holds
from ipam.stores.runs import Runs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

#: seconds that addresses rest whose containers a boot has ended: podman starts them again
REST_AFTER_BOOT = 600

_LEASE = (
    "network, container_id, ifname, network_name, cidr, address, pod_namespace, pod_name, pod_uid,"
    " node, netns, created"
)


class Ledger:
    """The leases, as one open transaction sees and changes them."""

    def __init__(self, connection: sqlite3.Connection, boot_id: str = "") -> None:
        """`boot_id` tells this boot from others; empty where nothing does."""
        self._connection = connection
        self._boot_id = boot_id
        self._holds = Holds(connection)
        self._now = int(time.time())

    def probe(self) -> None:
        """Raises sqlite3.Error when nothing can be written, which BEGIN IMMEDIATE overlooks."""
        self._connection.execute("DELETE FROM lease WHERE 0")

    def leases(self, attachment: Attachment) -> list[Lease]:
        """What the attachment holds, in the order in which it was asked for."""
        return self._read(
            "WHERE network = ? AND container_id = ? AND ifname = ?"
            " ORDER BY slot, network_name, address, cidr",
            *attachment,
        )

    def every(self) -> list[Lease]:
        return self._read("ORDER BY network_name, length(address), address, cidr")

    def holds(self) -> list[Hold]:
        return self._holds.every()

    def attachments(self, network: str) -> set[tuple[str, str]]:
        """(container ID, ifname) of all that hold a lease of the network."""
        return set(
            self._connection.execute(
                "SELECT DISTINCT container_id, ifname FROM lease WHERE network = ?", (network,)
            )
        )

    def begin(self) -> None:
        """Before addresses are given: free what waited long enough, and what a boot has ended."""
        self._end_holds()
        if self._boot_id:
            # two ranges of the index: "another than this" would read all of it
            for others in ("boot_id > '' AND boot_id < ?", "boot_id > ?"):
                for lease in self._read(f"WHERE {others}", self._boot_id):
                    self.drop(lease, rest=REST_AFTER_BOOT)

    def renew(self, owner: Owner) -> None:
        """Its leases are of the namespace that it has now: podman starts a container again, with
        the same ID.
        """
        if not owner.netns:
            return
        self._connection.execute(
            "UPDATE lease SET node = ?, netns = ?, boot_id = ?, created = ?"
            " WHERE network = ? AND container_id = ? AND ifname = ? AND netns <> ?",
            (owner.node, owner.netns, self._boot_id, self._now, *owner.attachment, owner.netns),
        )

    def take(self, owner: Owner, ask: Ask, slot: int, asks: Sequence[Ask] = ()) -> int:
        """Lease an address, see Store.lease; `asks`: all of the call. Raises CniError 100."""
        address = self._choose(owner, ask, asks or (ask,))
        blob = address.to_bytes(size(ask.range.version))
        found = self._holds.at(ask.network_name, ask.range.version, address)
        own = [each for each in found if each.cidr == ask.range.cidr]
        others = [each for each in found if ask.unique and each not in own]
        if own:  # it is in the runs, and stays there
            self._holds.remove(own[0])
        else:
            self._occupy(ask.network_name, ask.range.cidr, ask.range.version, address)
        is_reserved = any(each.kind == RESERVED and each.is_for(owner) for each in own + others)
        self._connection.execute(
            "INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                ask.network_name,
                blob,
                ask.range.cidr,
                *owner.attachment,
                slot,
                owner.pod_namespace,
                owner.pod_name,
                owner.pod_uid,
                self._now,
                owner.node,
                owner.netns,
                self._boot_id,
                ask.cooldown,
                STAYS_RESERVED if is_reserved else ask.sticky,
            ),
        )
        for each in others:
            if each.kind == COOLING or each.is_for(owner):
                self._forget(each)
        return address

    def drop(self, lease: Lease, rest: int = 0) -> bool:
        """Forget that very lease. Its address is free again, or held as the lease says, else for
        `rest` seconds; and free only when no other pool has it too. Whether there was such a lease.
        """
        key = (lease.network_name, lease.address.to_bytes(size(lease.version)), lease.cidr)
        row = self._connection.execute(
            "DELETE FROM lease WHERE network_name = ? AND address = ? AND cidr = ?"
            " AND network = ? AND container_id = ? AND ifname = ? AND created = ? AND netns = ?"
            " RETURNING cooldown, sticky",
            (*key, *lease.attachment, lease.created, lease.netns),
        ).fetchone()
        if row is None:
            return False
        kept = after_release(row[0], row[1], self._now)
        if rest and (kept is None or kept[0] == COOLING):
            kept = COOLING, max(self._now + rest, kept[1] if kept else 0)
        if kept is None:
            self._vacate(lease.network_name, lease.cidr, lease.version, lease.address)
        else:
            owner = Owner(lease.attachment, lease.pod_namespace, lease.pod_name)
            place = (lease.network_name, lease.cidr, lease.version, lease.address)
            ifname = "" if kept[0] == RESERVED else lease.attachment.ifname
            self._holds.put(Hold(*place, kept[0], owner.holder, ifname, kept[1]))
        return True

    def reserve(self, hold: Hold) -> None:
        """See Store.reserve."""
        self._end_holds()
        place = (hold.network_name, hold.version, hold.address)
        for other in self._holds.at(*place):
            if other.kind != COOLING and other.holder != hold.holder:
                raise refused(hold, f"{other.kind}: it is kept for {other.holder}")
            self._forget(other)
        leases = self._leased_at(*place)
        for lease in leases:
            owner = Owner(lease.attachment, lease.pod_namespace, lease.pod_name)
            if owner.holder != hold.holder:
                raise refused(hold, f"leased to container {lease.attachment.container_id}")
        if leases:  # its pod has it: it will be reserved when that is over
            self._connection.execute(
                "UPDATE lease SET sticky = ? WHERE network_name = ? AND address = ?",
                (STAYS_RESERVED, hold.network_name, hold.address.to_bytes(size(hold.version))),
            )
            return
        self._holds.put(hold)
        self._occupy(hold.network_name, hold.cidr, hold.version, hold.address)

    def unreserve(self, network_name: str, version: int, address: int) -> bool:
        """See Store.unreserve."""
        self._end_holds()
        found = self._holds.at(network_name, version, address)
        for hold in found:
            self._forget(hold)
        cancelled = self._connection.execute(
            "UPDATE lease SET sticky = 0 WHERE network_name = ? AND address = ? AND sticky = ?",
            (network_name, address.to_bytes(size(version)), STAYS_RESERVED),
        )
        return bool(found) or cancelled.rowcount > 0

    def _end_holds(self) -> None:
        for hold in self._holds.ended(self._now):
            self._forget(hold)

    def _choose(self, owner: Owner, ask: Ask, asks: Sequence[Ask]) -> int:
        wanted, pool = ask.range, self._runs(ask.network_name, ask.range.cidr, ask.range.version)
        leased = pool
        if ask.unique:
            leased = self._runs(ask.network_name, f"ipv{wanted.version}", wanted.version)
        if ask.wanted is not None:
            self._claim(owner, ask, ask.wanted, leased)
            return ask.wanted
        if (former := self._former(owner, ask, asks)) is not None:
            return former
        if (own := self._waiting(owner, ask, asks)) is not None:
            return own
        if ask.preferred is not None and wanted.offers(wanted.version, ask.preferred):
            if leased.end(ask.preferred) is None:
                return ask.preferred
            if ask.strict:
                self._claim(owner, ask, ask.preferred, leased)
                return ask.preferred
        address = first_free(wanted, leased.end)
        if address is not None:
            return address
        for resting in self._holds.resting(ask.network_name, wanted):
            if not (ask.unique and self._is_shared(resting)):
                return resting.address
        raise exhausted(wanted)

    def _claim(self, owner: Owner, ask: Ask, address: int, leased: Runs) -> None:
        """Raises CniError 100 when the address is another's, or waits for another."""
        if leased.end(address) is None:
            return
        text = ask.range.text(address)
        for lease in self._leased_at(ask.network_name, ask.range.version, address):
            if ask.unique or lease.cidr == ask.range.cidr:
                raise taken(ask, text, lease.attachment)
        for hold in self._holds.at(ask.network_name, ask.range.version, address):
            if hold.kind != COOLING and not hold.is_for(owner):
                raise held(ask, text, hold)

    def _waiting(self, owner: Owner, ask: Ask, asks: Sequence[Ask]) -> int | None:
        """What the pool keeps for the owner, and can give. Raises CniError 100 when a strict one's
        own cannot be had.
        """
        kept = self._holds.waiting_for(owner, ask)
        shared = [each for each in kept if ask.unique and self._is_shared(each)]
        for hold in kept:
            if ask.range.offers(hold.version, hold.address) and hold not in shared:
                return hold.address
        for hold in kept if ask.strict else ():
            if hold.kind != COOLING and (hold in shared or not _is_offered(hold, asks)):
                raise withheld(ask, hold.version, hold.address, hold.kind)
        return None

    def _former(self, owner: Owner, ask: Ask, asks: Sequence[Ask]) -> int | None:
        """The address of the pod's earlier container whose DEL has not come; it is this one's now.

        That DEL will find nothing: whereabouts has always done so. Raises as `_waiting`.
        """
        if not ask.sticky or not owner.pod_name:
            return None
        found = self._read(
            "WHERE pod_namespace = ? AND pod_name = ? AND network = ? AND ifname = ?"
            " AND network_name = ? AND cidr = ? AND container_id <> ?",
            owner.pod_namespace,
            owner.pod_name,
            owner.attachment.network,
            owner.attachment.ifname,
            ask.network_name,
            ask.range.cidr,
            owner.attachment.container_id,
        )
        for lease in found:
            if ask.range.offers(lease.version, lease.address):
                self.drop(lease, rest=1)
                return lease.address
        for lease in found if ask.strict else ():
            if not _is_offered(lease, asks):
                raise withheld(ask, lease.version, lease.address, STICKY)
        return None

    def _is_shared(self, hold: Hold) -> bool:
        """Whether a pool that is not unique has leased the address all the same."""
        return bool(self._leased_at(hold.network_name, hold.version, hold.address))

    def _leased_at(self, network_name: str, version: int, address: int) -> list[Lease]:
        blob = address.to_bytes(size(version))
        return self._read("WHERE network_name = ? AND address = ?", network_name, blob)

    def _forget(self, hold: Hold) -> None:
        self._holds.remove(hold)
        self._vacate(hold.network_name, hold.cidr, hold.version, hold.address)

    def _occupy(self, network_name: str, cidr: str, version: int, address: int) -> None:
        self._runs(network_name, cidr, version).add(address)
        family = self._runs(network_name, f"ipv{version}", version)
        if family.end(address) is None:  # else another pool, not unique either, has it too
            family.add(address)

    def _vacate(self, network_name: str, cidr: str, version: int, address: int) -> None:
        self._runs(network_name, cidr, version).remove(address)
        if not self._leased_at(network_name, version, address) and not self._holds.at(
            network_name, version, address
        ):
            self._runs(network_name, f"ipv{version}", version).remove(address)

    def _runs(self, network_name: str, scope: str, version: int) -> Runs:
        """The taken addresses of a pool, or of all pools of its network_name and family."""
        return Runs(self._connection, network_name, scope, version)

    def _read(self, where: str, *values: object) -> list[Lease]:
        rows: Iterable[tuple[Any, ...]] = self._connection.execute(
            f"SELECT {_LEASE} FROM lease {where}",  # noqa: S608 (texts of this module)
            values,
        )
        return [
            Lease(
                Attachment(network, container_id, ifname),
                name,
                cidr,
                4 if len(blob) == 4 else 6,
                int.from_bytes(blob),
                *rest,
            )
            for network, container_id, ifname, name, cidr, blob, *rest in rows
        ]


def _is_offered(each: Lease | Hold, asks: Sequence[Ask]) -> bool:
    """Whether a range of its pool is asked for that hands it out."""
    pool = (each.network_name, each.cidr)
    return any(
        pool == (ask.network_name, ask.range.cidr) and ask.range.offers(each.version, each.address)
        for ask in asks
    )
