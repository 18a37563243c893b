"""Which addresses an attachment gets: the same choice as the file store's, out of etcd's keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeGuard

from ipam.stores import (
    COOLING,
    RESERVED,
    STAYS_RESERVED,
    STICKY,
    Hold,
    Lease,
    exhausted,
    held,
    taken,
    withheld,
)
from ipam.stores import etcd_txn as txn
from ipam.stores.etcd_keys import BLOCK, Spot, Taken, address_of, holder
from ipam.stores.etcd_search import free, free_beside_marks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cni.core.types import Json
    from ipam.ranges import Range
    from ipam.stores import Ask, Owner
    from ipam.stores.etcd_draft import Draft
    from ipam.stores.etcd_gateway import Gateway
    from ipam.stores.etcd_keys import Keys, Records
    from ipam.stores.etcd_txn import Answer

_PAGE = 100  #: addresses that are looked at together


class Claim:
    """The choice of addresses for one owner, in one draft."""

    def __init__(
        self, gateway: Gateway, keys: Keys, draft: Draft, owner: Owner, among: int = 1
    ) -> None:
        """`among`: not the lowest that is free, but one of so many, so that rivals part."""
        self._gateway = gateway
        self._keys = keys
        self._draft = draft
        self._owner = owner
        self._among = among
        #: by pool: the addresses that are leased to, or kept for, the owner's pod
        self._own: dict[tuple[str, str], list[Spot]] = {}
        self._asks: Sequence[Ask] = ()
        self._now = int(time.time())

    def questions(self, asks: Sequence[Ask]) -> list[Json]:
        """What to ask before addresses are taken; the answers are for `hear`."""
        return [txn.below(self._holder(ask)) for ask in asks]

    def hear(self, asks: Sequence[Ask], answers: Sequence[Answer]) -> None:
        self._asks = asks
        for ask, answer in zip(asks, answers, strict=True):
            spots = [_spot(ask, address_of(each.key)) for each in answer.found]
            self._own[ask.network_name, ask.range.cidr] = spots
        wishes = [
            _spot(ask, address)
            for ask in asks
            for address in (ask.wanted, ask.preferred)
            if address is not None
        ]
        spots = [spot for found in self._own.values() for spot in found] + wishes
        if spots:
            self._draft.load(spots)

    def take(self, ask: Ask, slot: int) -> int:
        """Lease an address, see Store.lease. Raises CniError 100."""
        address = self._choose(ask)
        owner = self._owner
        lease = Lease(
            owner.attachment,
            ask.network_name,
            ask.range.cidr,
            ask.range.version,
            address,
            owner.pod_namespace,
            owner.pod_name,
            owner.pod_uid,
            owner.node,
            owner.netns,
            self._now,
        )
        spot = _spot(ask, address)
        before = self._draft.at(spot).get(ask.range.cidr)
        is_reserved = isinstance(before, Hold) and before.kind == RESERVED
        sticky = STAYS_RESERVED if is_reserved else ask.sticky
        self._draft.take(spot, Taken(lease, ask.cooldown, sticky), slot)
        return address

    def _choose(self, ask: Ask) -> int:
        wanted = ask.range
        if ask.wanted is not None:
            self._require(ask, ask.wanted)
            return ask.wanted
        own = self._own.get((ask.network_name, ask.range.cidr), [])
        if (former := self._former(ask, own)) is not None:
            return former
        if (waiting := self._waiting(ask, own)) is not None:
            return waiting
        if ask.strict:
            self._refuse_another(ask, own)
        if ask.preferred is not None and wanted.offers(wanted.version, ask.preferred):
            if not self._is_occupied(ask, ask.preferred):
                return ask.preferred
            if ask.strict:
                self._require(ask, ask.preferred)
                return ask.preferred
        if (address := self._lowest(ask)) is not None:
            return address
        if (resting := self._longest_resting(ask)) is not None:
            return resting
        raise exhausted(wanted)

    def _lowest(self, ask: Ask) -> int | None:
        if not ask.unique:
            prefix = self._keys.pool(ask.network_name, ask.range.cidr)
            given = self._draft.given(ask.network_name, ask.range.version, ask.range.cidr)
            return _any_of(free(self._gateway, prefix, ask.range, self._among, given))
        name = ask.network_name, ask.range.version
        given = self._draft.given(*name)
        found = free_beside_marks(
            self._gateway,
            self._keys.all_pools(*name),
            self._keys.full(*name),
            ask.range,
            self._among,
            given,
        )
        address = _any_of(found.addresses)
        if address is not None:
            self._draft.assume_free(_spot(ask, address))
            given.add(address)
        for block, others in found.blocks.items():
            if len(others.union(each for each in given if each // BLOCK == block)) == BLOCK:
                self._draft.mark_full(*name, others)
        return address

    def _holder(self, ask: Ask) -> str:
        return self._keys.holder(ask.network_name, ask.range.cidr, self._owner.holder)

    def _is_occupied(self, ask: Ask, address: int) -> bool:
        records = self._draft.at(_spot(ask, address))
        return bool(records) if ask.unique else ask.range.cidr in records

    def _require(self, ask: Ask, address: int) -> None:
        """Raises CniError 100 when the address is another's, or waits for another."""
        if not self._is_occupied(ask, address):
            return
        text = ask.range.text(address)
        spot = _spot(ask, address)
        for cidr, record in sorted(self._draft.at(spot).items()):
            if isinstance(record, Taken) and (ask.unique or cidr == ask.range.cidr):
                raise taken(ask, text, record.lease.attachment)
        for cidr, record in sorted(self._draft.at(spot).items()):
            if isinstance(record, Hold):
                if record.kind != COOLING and not record.is_for(self._owner):
                    raise held(ask, text, record)
                if ask.unique and cidr != ask.range.cidr:
                    self._draft.put(spot, cidr, None)
                    if record.kind == RESERVED:  # and stays so, of this pool from now on
                        moved = record._replace(cidr=ask.range.cidr)
                        self._draft.put(spot, moved.cidr, moved)

    def _former(self, ask: Ask, own: list[Spot]) -> int | None:
        """The address of the pod's earlier container whose DEL has not come; it is this one's now.

        That DEL will find nothing: whereabouts has always done so.
        """
        for spot, record in self._records(ask, own):
            if self._is_former(record, ask) and self._may_have(ask, spot):
                self._draft.drop(spot, record, self._now)
                return spot.address
        return None

    def _is_former(self, record: Taken | Hold, ask: Ask) -> TypeGuard[Taken]:
        if not isinstance(record, Taken) or not ask.sticky or not self._owner.pod_name:
            return False
        me, other = self._owner.attachment, record.lease.attachment
        # the index was read before the lease
        is_of_pod = holder(record.lease) == self._owner.holder
        return is_of_pod and other != me and other == me._replace(container_id=other.container_id)

    def _waiting(self, ask: Ask, own: list[Spot]) -> int | None:
        """What the pool keeps for the owner and the range still offers: a reservation first."""
        order = {RESERVED: 0, COOLING: 2}
        found = [
            (order.get(record.kind, 1), spot.address)
            for spot, record in self._records(ask, own)
            if isinstance(record, Hold) and record.is_for(self._owner) and self._may_have(ask, spot)
        ]
        return min(found)[1] if found else None

    def _refuse_another(self, ask: Ask, own: list[Spot]) -> None:
        """Raises CniError 100 when the pool keeps for the owner what cannot be had."""
        pool = ask.network_name, ask.range.cidr
        asks = [each for each in self._asks if (each.network_name, each.range.cidr) == pool]
        for spot, record in self._records(ask, own):
            if any(self._may_have(each, spot) for each in asks):
                continue
            if self._is_former(record, ask):
                raise withheld(ask, spot.version, spot.address, STICKY)
            if isinstance(record, Hold) and record.kind != COOLING and record.is_for(self._owner):
                raise withheld(ask, spot.version, spot.address, record.kind)

    def _records(self, ask: Ask, spots: list[Spot]) -> Iterator[tuple[Spot, Taken | Hold]]:
        """What the pool has there."""
        for spot in spots:
            record = self._draft.at(spot).get(ask.range.cidr)
            if record is not None:
                yield spot, record

    def _may_have(self, ask: Ask, spot: Spot) -> bool:
        """Whether what the pool keeps can be had: offered, and not leased by another pool."""
        is_shared = ask.unique and _is_leased(self._draft.at(spot), but_by=ask.range.cidr)
        return not is_shared and ask.range.offers(spot.version, spot.address)

    def _longest_resting(self, ask: Ask) -> int | None:
        """What only rests, and has for the longest time; None when nothing of the range does."""
        prefix = self._keys.until(ask.network_name, ask.range.version)
        first, end = prefix, txn.after(prefix)
        while True:
            (answer,) = txn.ask(self._gateway, [txn.between(first, end, limit=_PAGE)])
            found = [address_of(each.key) for each in answer.found]
            spots = [_spot(ask, each) for each in found if _offers(ask.range, each)]
            self._draft.load(spots)
            for spot in spots:
                if _rests(self._draft.at(spot), ask):
                    return spot.address
            if len(answer.found) == answer.total:
                return None
            first = f"{answer.found[-1].key}\0"


def _rests(records: Records, ask: Ask) -> bool:
    record = records.get(ask.range.cidr)
    is_shared = ask.unique and _is_leased(records, but_by=ask.range.cidr)
    return isinstance(record, Hold) and record.kind == COOLING and not is_shared


def _is_leased(records: Records, *, but_by: str) -> bool:
    """Whether another pool than this one has leased the address."""
    return any(isinstance(each, Taken) for cidr, each in records.items() if cidr != but_by)


def _any_of(addresses: list[int]) -> int | None:
    if len(addresses) < 2:
        return addresses[0] if addresses else None
    import random  # 0.7 ms that the first try does not pay

    return random.choice(addresses)  # noqa: S311 (no secret)


def _offers(wanted: Range, address: int) -> bool:
    return wanted.offers(wanted.version, address)


def _spot(ask: Ask, address: int) -> Spot:
    return Spot(ask.network_name, ask.range.version, address)
