"""What the calls of the etcd store make of a draft; nothing is final before it is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipam.stores import COOLING, STAYS_RESERVED, Hold, refused
from ipam.stores.etcd_keys import Spot, Taken, holder
from ipam.stores.journal import Place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cni.core.types import Attachment
    from ipam.stores import Lease, Owner
    from ipam.stores.etcd_draft import Draft
    from ipam.stores.etcd_keys import Record, Slot


def leases(draft: Draft, attachment: Attachment) -> list[Lease]:
    """What the attachment has, in the order of its asks."""
    slots = draft.slots(attachment)
    draft.load([each.spot for each in slots])
    found = (draft.at(each.spot).get(each.cidr) for each in slots)
    return [
        each.lease
        for each in found
        if isinstance(each, Taken) and each.lease.attachment == attachment
    ]


def place_of(slot: Slot) -> Place:
    """As the journal has it."""
    spot = slot.spot
    return Place(spot.network_name, slot.cidr, spot.version, spot.address, {})


def renew(draft: Draft, owner: Owner, now: int) -> None:
    """Its leases are of the namespace that it has now: podman starts a container again, with the
    same ID.
    """
    for lease in leases(draft, owner.attachment):
        spot = Spot(lease.network_name, lease.version, lease.address)
        record = draft.at(spot)[lease.cidr]
        if isinstance(record, Taken) and owner.netns not in ("", lease.netns):
            renewed = lease._replace(node=owner.node, netns=owner.netns, created=now)
            draft.put(spot, lease.cidr, record._replace(lease=renewed))


def give_back(
    draft: Draft, attachment: Attachment, now: int, rest: int, kept: Collection[Place] = ()
) -> int:
    """End the leases of the attachment, but for those at `kept`; how many there were."""
    slots = [each for each in draft.slots(attachment) if place_of(each) not in kept]
    draft.load([each.spot for each in slots])
    for each in slots:
        record = draft.at(each.spot).get(each.cidr)
        if isinstance(record, Taken) and record.lease.attachment == attachment:
            draft.drop(each.spot, record, now, rest)
        else:
            draft.forget(attachment, each.spot, each.cidr)
    return len(slots)


def drop(draft: Draft, lease: Lease, now: int) -> bool:
    """End one lease, unless it is another's by now, or a later one; whether it was ended."""
    spot = Spot(lease.network_name, lease.version, lease.address)
    record = draft.at(spot).get(lease.cidr)
    if not isinstance(record, Taken) or not _is_that(record.lease, lease):
        return False
    draft.drop(spot, record, now)
    return True


def reserve(draft: Draft, hold: Hold, now: int) -> None:
    """Keep an address for a pod. Raises CniError 100."""
    spot = Spot(hold.network_name, hold.version, hold.address)
    remove_ended(draft, [spot], now)
    is_leased = False
    for cidr, record in list(draft.at(spot).items()):
        if isinstance(record, Hold):
            if record.kind != COOLING and record.holder != hold.holder:
                raise refused(hold, f"{record.kind}: it is kept for {record.holder}")
            draft.put(spot, cidr, None)
            continue
        if holder(record.lease) != hold.holder:
            raise refused(hold, f"leased to container {record.lease.attachment.container_id}")
        # its pod has it: it will be reserved when that is over
        draft.put(spot, cidr, record._replace(sticky=STAYS_RESERVED))
        is_leased = True
    if not is_leased:
        draft.put(spot, hold.cidr, hold)


def unreserve(draft: Draft, spot: Spot, now: int) -> bool:
    """Forget what holds the address, or will when its lease ends; whether anything did."""
    remove_ended(draft, [spot], now)
    found = False
    for cidr, record in list(draft.at(spot).items()):
        if isinstance(record, Hold):
            draft.put(spot, cidr, None)
        elif record.sticky == STAYS_RESERVED:
            draft.put(spot, cidr, record._replace(sticky=0))
        else:
            continue
        found = True
    return found


def remove_ended(draft: Draft, spots: Iterable[Spot], now: int) -> None:
    """Free what has been kept for long enough."""
    spots = list(spots)
    draft.load(spots)
    for spot in spots:
        for cidr, record in list(draft.at(spot).items()):
            if _has_ended(record, now):
                draft.put(spot, cidr, None)


def _is_that(found: Lease, known: Lease) -> bool:
    """Whether this is the lease of which that much is known."""
    return all(not part or part == own for own, part in zip(found, known, strict=True))


def _has_ended(record: Record, now: int) -> bool:
    return isinstance(record, Hold) and 0 < record.until <= now
