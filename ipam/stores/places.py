"""What a node's journal says of an address of a pool, and the way back of such an address."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code
from cni.kube.failures import ApiError
from ipam.stores import COOLING, Hold, Lease, Owner, after_release
from ipam.stores.journal import Place
from ipam.stores.objects import Change, Objects
from ipam.stores.pool import (
    Allocation,
    Key,
    Pool,
    Reservation,
    hold_id,
    hold_of,
    is_over,
    listed,
    podref,
    reservation_name,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ipam.stores import Ask
    from ipam.stores.journal import Intent

_TRIES = 20  #: of one change that others interfere with


def place(
    key: Key,
    ask: Ask,
    slot: int,
    address: int | None = None,
    reservation: Reservation | None = None,
    *,
    was: str = "",
    held: str = "",
    is_new: bool = False,
) -> Place:
    """An address that an ask has got, or is about to get.

    `was` is the id of a hold that it replaces, `held` that of another pool's, whose reservation it
    has for the time being.
    """
    extra = {
        "pool": key.name,
        "range": key.cidr,
        "base": key.base,
        "slot": slot,
        "unique": ask.unique,
        "cooldown": ask.cooldown,
        "sticky": ask.sticky,
        "reservation": [reservation.uid, reservation.version] if reservation else None,
        "was": was,
        "held": held,
        "is_new": is_new,
    }
    return Place(ask.network_name, ask.range.cidr, ask.range.version, address, extra)


def key_of(each: Place) -> Key:
    extra = each.extra
    return Key(extra["pool"], each.network_name, extra["range"], each.version, extra["base"])


def address_of(each: Place) -> int:
    """Of a place whose address is known."""
    if each.address is None:
        raise ValueError(each)
    return each.address


def leases(intent: Intent) -> list[Lease]:
    """What the attachment has had before the call that the intent is about, and after it."""
    return [
        lease_of(intent, each)
        for each in intent.places
        if each.address is not None and not each.extra["is_new"]
    ]


def lease_of(intent: Intent, each: Place) -> Lease:
    """A place of the intent whose address is known."""
    owner = intent.owner
    return Lease(
        owner.attachment, each.network_name, each.cidr, each.version, address_of(each),
        owner.pod_namespace, owner.pod_name, owner.pod_uid, owner.node, owner.netns,
        intent.created,
    )  # fmt: skip


def found_in(
    pool: Pool, searched: Place, owner: Owner, known: Collection[tuple[str, int]]
) -> Iterator[Place]:
    """What a pool has for an attachment beside what is `known` as (pool, address)."""
    for address, each in pool.allocations.items():
        if (pool.key.name, address) in known:
            continue
        if each.is_of(owner.attachment.container_id, owner.attachment.ifname):
            yield searched._replace(
                address=address, extra={**searched.extra, "podref": each.podref}
            )


def give_back(objects: Objects, owner: Owner, each: Place, rest: int = 0) -> bool:
    """Free an address, or hold it as its lease says, else for `rest` seconds.

    Whether it still was the attachment's. Raises CniError 11 and ApiError.
    """
    key, now = key_of(each), int(time.time())
    hold = _hold(key, owner, each, rest, now)
    was_own, of_pod, pool = _give_back_to_pool(objects, key, owner, each, hold)
    if each.extra["unique"]:
        # also when a call before this one was killed between the two
        kept = pool.hold(address_of(each)) if pool else None
        if kept is not None and (kept.kind == COOLING or not kept.is_for(owner)):
            kept = None
        kept = kept or _held_elsewhere(objects, key, each)
        _give_back_reservation(objects, owner, each, kept, was_own=was_own, of_pod=of_pod)
    return was_own


def _hold(key: Key, owner: Owner, each: Place, rest: int, now: int) -> Hold | None:
    """What becomes of the address by the lease's own rules."""
    kept = after_release(each.extra["cooldown"], each.extra["sticky"], now)
    if rest and (kept is None or kept[0] == COOLING):
        kept = COOLING, max(now + rest, kept[1] if kept else 0)
    if kept is None:
        return None
    spot = (key.network_name, key.cidr, key.version, address_of(each))
    return Hold(*spot, kept[0], owner.holder, owner.attachment.ifname, kept[1])


def _held_elsewhere(objects: Objects, key: Key, each: Place) -> Hold | None:
    """The hold of another pool whose reservation the lease had, if that is still there."""
    said = each.extra.get("held")  # not in what an earlier version wrote
    hold = hold_of(key, address_of(each), Allocation(said, "", "")) if said else None
    if hold is None or is_over(hold, int(time.time())):
        return None
    try:
        every = [listed(document, frozenset()) for document in objects.pools()]
    except ApiError as error:
        if error.status != 403:
            raise
        return hold  # who may not list pools cannot look
    prefix = f"{key.network_name}-" if key.network_name else ""
    for pool, _ in filter(None, every):
        found = pool.hold(hold.address) if pool.key.name.startswith(prefix) else None
        if found is not None and (found.version, hold_id(found)) == (key.version, said):
            return hold
    return None


def _give_back_to_pool(
    objects: Objects, key: Key, owner: Owner, each: Place, hold: Hold | None
) -> tuple[bool, str, Pool | None]:
    """Whether the address was the attachment's, the pod that it is of, and the pool after it."""
    address = address_of(each)
    _, container_id, ifname = owner.attachment
    mine = Allocation(container_id, each.extra.get("podref") or podref(owner), ifname)
    kept = each.extra["was"] or (hold_id(hold) if hold else "")
    wanted = Allocation(kept, "", "") if kept else None
    for _ in range(_TRIES):
        changed = objects.change(key, [Change(address, mine, wanted)])
        if changed is not None:
            return True, mine.podref, _reserve_again(objects, changed, address)
        pool = objects.pool(key)
        found = pool.allocations.get(address) if pool else None
        if found is None or not found.is_of(container_id, ifname):
            return False, found.podref if found else "", pool
        mine = found
    raise CniError(Code.TRY_AGAIN_LATER, f"IPPool {key.name}: others were always faster")


def _reserve_again(objects: Objects, pool: Pool, address: int) -> Pool:
    """What is reserved for a pod is so again when the pod's lease has ended."""
    said, found = pool.reserved.get(address), pool.allocations.get(address)
    if said is None or (found is not None and found.id == said):
        return pool
    wanted = Allocation(said, "", "")
    hold = hold_of(pool.key, address, wanted)
    if hold is None or is_over(hold, int(time.time())):
        return pool
    return objects.change(pool.key, [Change(address, found, wanted)]) or pool


def _give_back_reservation(
    objects: Objects, owner: Owner, each: Place, hold: Hold | None, *, was_own: bool, of_pod: str
) -> None:
    """It is deleted, or becomes the hold's; one that is another's by now stays."""
    name = reservation_name(each.network_name, each.version, address_of(each))
    container_id, ifname = owner.attachment.container_id, owner.attachment.ifname
    known = each.extra["reservation"] if was_own else None
    pod = podref(owner)
    found = Reservation(pod, ifname, container_id, *known) if known else objects.reservation(name)
    for _ in range(_TRIES):
        if found is None:
            return
        if found.containerid != container_id:
            is_originals = found.containerid == "" and found.podref == of_pod != ""
            if not (was_own and is_originals and found.ifname in ("", ifname)):
                return
        elif not was_own and of_pod and of_pod == pod:
            return  # our pod's next container has it, which a node of the original has started
        if hold is None:
            if objects.drop_reservation(name, found):
                return
        else:
            kept = Reservation(of_pod or pod, hold.ifname, hold_id(hold), "", "")
            if objects.change_reservation(name, found, kept) is not None:
                return
        found = objects.reservation(name)
