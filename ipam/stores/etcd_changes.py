"""What the calls of the etcd store make of a draft; nothing is final before it is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipam.stores import COOLING, STAYS_RESERVED, Hold, refused
from ipam.stores.etcd_keys import Spot, Taken, holder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.core.types import Attachment
    from ipam.stores import Lease
    from ipam.stores.etcd_draft import Draft
    from ipam.stores.etcd_keys import Record


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


def give_back(draft: Draft, attachment: Attachment, now: int, rest: int) -> int:
    """End all leases of the attachment; how many there were."""
    slots = draft.slots(attachment)
    draft.load([each.spot for each in slots])
    for each in slots:
        record = draft.at(each.spot).get(each.cidr)
        if isinstance(record, Taken) and record.lease.attachment == attachment:
            draft.drop(each.spot, record, now, rest)
        else:
            draft.forget(attachment, each.spot, each.cidr)
    return len(slots)


def drop(draft: Draft, lease: Lease, now: int) -> bool:
    """End one lease, unless it is another's by now; whether it was ended."""
    spot = Spot(lease.network_name, lease.version, lease.address)
    record = draft.at(spot).get(lease.cidr)
    if not isinstance(record, Taken) or record.lease.attachment != lease.attachment:
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
    """Forget what holds the address; whether anything did."""
    remove_ended(draft, [spot], now)
    held = [cidr for cidr, each in draft.at(spot).items() if isinstance(each, Hold)]
    for cidr in held:
        draft.put(spot, cidr, None)
    return bool(held)


def remove_ended(draft: Draft, spots: Iterable[Spot], now: int) -> None:
    """Free what has been kept for long enough."""
    spots = list(spots)
    draft.load(spots)
    for spot in spots:
        for cidr, record in list(draft.at(spot).items()):
            if _has_ended(record, now):
                draft.put(spot, cidr, None)


def _has_ended(record: Record, now: int) -> bool:
    return isinstance(record, Hold) and 0 < record.until <= now
