"""What the operator's tool asks of the cluster's pools: here a list of all of them is fine."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code, invalid
from cni.core.types import Attachment
from ipam.ranges import Range, text
from ipam.stores import COOLING, RESERVED, Ask, Hold, Lease, Owner, refused
from ipam.stores.objects import Change
from ipam.stores.places import give_back, lease_of, place
from ipam.stores.pool import (
    Allocation,
    Reservation,
    hold_id,
    hold_of,
    is_over,
    key,
    listed,
    reservation_name,
    reserving,
)

if TYPE_CHECKING:
    from ipam.stores.journal import Intent, Journal, Place
    from ipam.stores.objects import Objects
    from ipam.stores.pool import Key, Pool

_TRIES = 20  #: of one change that others interfere with


class PoolsTool:
    """The methods of a Store that are for the tool."""

    def __init__(self, objects: Objects, journal: Journal, slices: str = "") -> None:
        self._objects = objects
        self._journal = journal
        self._slices = slices
        self._keys: dict[Lease, Key] = {}  #: of the leases last listed

    def every(self) -> list[Lease]:
        known = {
            (each.extra["pool"], each.address, of.owner.attachment.container_id): (of, each)
            for of in self._journal.every()
            for each in of.places
        }
        self._keys = {
            _lease(
                pool, node, address, each, known.get((pool.key.name, address, each.id))
            ): pool.key
            for pool, node in self._pools()
            for address, each in pool.allocations.items()
            if hold_of(pool.key, address, each) is None
        }
        return sorted(self._keys, key=_order)

    def holds(self) -> list[Hold]:
        now = int(time.time())
        found = [each for pool, _ in self._pools() for each in pool.holds()]
        return sorted((each for each in found if not is_over(each, now)), key=_order)

    def drop(self, lease: Lease) -> bool:
        with self._journal.entry(lease.attachment) as entry:
            known = entry.intent
            if known is None:
                return self._drop_of_others(lease)
            mine = [
                each
                for each in known.places
                if each.address is not None and lease_of(known, each) == lease
            ]
            if not mine:
                return False  # it was renewed
            dropped = give_back(self._objects, known.owner, mine[0])
            left = tuple(each for each in known.places if each != mine[0])
            if left:
                entry.begin(known.now(known.state, left))
                entry.finish(known.now(known.state, left))
            else:
                entry.forget()
            return dropped

    def _drop_of_others(self, lease: Lease) -> bool:
        """What no journal of this node knows; it was listed, and is in the pool that it was in."""
        if lease.created:  # this node had leased it, and has released it since
            return False
        if not self._keys:
            self.every()
        where = self._keys.get(lease)
        if where is None:
            return False
        is_ours_by_now = any(
            of.owner.attachment[1:] == lease.attachment[1:] and each.extra["pool"] == where.name
            for of in self._journal.every()
            for each in of.places
        )
        if is_ours_by_now:
            return False
        owner = Owner(lease.attachment, lease.pod_namespace, lease.pod_name)
        ask = Ask(_range(lease.cidr), lease.network_name)
        return give_back(self._objects, owner, place(where, ask, 0, lease.address))

    def reserve(self, hold: Hold) -> None:
        where = self._key(hold.network_name, hold.cidr, hold.version, hold.address)
        name = reservation_name(hold.network_name, hold.version, hold.address)
        wanted = Allocation(hold_id(hold), "", "")
        for _ in range(_TRIES):
            pool = self._objects.pool(where) or self._objects.make_pool(where)
            if pool is None:
                continue
            found, before = pool.allocations.get(hold.address), pool.hold(hold.address)
            if before is not None:
                _check_hold(hold, before)
            elif found is not None:
                if hold.holder not in (found.podref, found.id):
                    raise refused(hold, f"leased to container {found.id}")
                break
            reservation = self._objects.reservation(name)
            if reservation is not None:
                _check_reservation(where, hold, reservation)
            if self._objects.change(where, [Change(hold.address, found, wanted)]) is None:
                continue
            pod = hold.holder if "/" in hold.holder else ""
            held = Reservation(pod, hold.ifname, wanted.id, "", "")
            if reservation is None:
                self._objects.make_reservation(name, held)
            else:
                self._objects.change_reservation(name, reservation, held)
            break
        else:
            raise CniError(Code.TRY_AGAIN_LATER, f"IPPool {where.name}: others were always faster")
        if hold.kind == RESERVED:
            self._objects.note(where, reserving(where, hold.address, hold))

    def unreserve(self, network_name: str, version: int, address: int) -> bool:
        forgotten, now = False, int(time.time())
        for pool, _ in self._pools():
            if (pool.key.network_name, pool.key.version) != (network_name, version):
                continue
            hold = pool.hold(address)
            if hold is not None or address in pool.reserved:
                self._forget(pool, address)
                forgotten |= hold is None or not is_over(hold, now)
        return forgotten

    def _forget(self, pool: Pool, address: int) -> None:
        if address in pool.reserved:
            self._objects.note(pool.key, reserving(pool.key, address, None))
        found = pool.allocations.get(address)
        if found is None or hold_of(pool.key, address, found) is None:
            return
        name = reservation_name(pool.key.network_name, pool.key.version, address)
        reservation = self._objects.reservation(name)
        if reservation is not None and hold_of(pool.key, address, reservation) is not None:
            self._objects.drop_reservation(name, reservation)
        self._objects.change(pool.key, [Change(address, found, None)])

    def _pools(self) -> list[tuple[Pool, str]]:
        nodes = frozenset(
            str(each["nodeName"])
            for document in self._objects.all_slices()
            for each in (document.get("status") or {}).get("allocations") or ()
            if each.get("nodeName")
        )
        found = [listed(document, nodes) for document in self._objects.pools()]
        return [each for each in found if each is not None]

    def _key(self, network_name: str, cidr: str, version: int, address: int) -> Key:
        """The pool that has the address: the range's own, or that of a node's slice."""
        whole = _range(cidr)
        if not self._slices:
            return key(network_name, whole)
        document = self._objects.slices(self._slices) or {}
        for each in (document.get("status") or {}).get("allocations") or ():
            part = ip_network(str(each.get("sliceRange")), strict=False)
            if each.get("nodeName") and ip_address(text(version, address)) in part:
                return key(network_name, _range(str(part)), str(each["nodeName"]))
        raise invalid(f"no node has a slice with {text(version, address)}")


def _lease(
    pool: Pool, node: str, address: int, found: Allocation, known: tuple[Intent, Place] | None
) -> Lease:
    if known is not None:
        return lease_of(*known)
    namespace, _, name = found.podref.partition("/")
    where = pool.key
    return Lease(
        Attachment("", found.id, found.ifname), where.network_name, where.cidr, where.version,
        address, namespace, name, node=node,
    )  # fmt: skip


def _check_hold(wanted: Hold, before: Hold) -> None:
    over = is_over(before, int(time.time()))
    if before.kind != COOLING and before.holder != wanted.holder and not over:
        raise refused(wanted, f"{before.kind}: it is kept for {before.holder}")


def _check_reservation(where: Key, wanted: Hold, found: Reservation) -> None:
    before = hold_of(where, wanted.address, found)
    if before is not None:
        _check_hold(wanted, before)
    elif wanted.holder not in (found.podref, found.containerid):
        raise refused(wanted, f"leased to {found.podref or found.containerid}")


def _range(cidr: str) -> Range:
    network = ip_network(cidr)
    base, top = int(network.network_address), int(network.broadcast_address)
    return Range(network.version, base, network.prefixlen, base, top)


def _order(each: Lease | Hold) -> tuple[str, int, int, str]:
    return each.network_name, each.version, each.address, each.cidr
