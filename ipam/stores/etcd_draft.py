"""What one transaction is to change: made from what was read, while that is unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code
from cni.kube.line import line
from ipam.stores import COOLING, RESERVED, Hold, after_release
from ipam.stores import etcd_txn as txn
from ipam.stores.etcd_keys import (
    FORMAT,
    Records,
    Slot,
    Spot,
    Taken,
    decode_records,
    decode_slots,
    encode_records,
    encode_slots,
    holder,
)
from ipam.stores.etcd_txn import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cni.core.types import Attachment, Json
    from ipam.stores.etcd_gateway import Gateway
    from ipam.stores.etcd_keys import Keys, Record

_MOST_MARKS = 2  #: of one transaction: each has a condition for every address of its block


class Draft:
    """Addresses and attachments as they were read, and as they are to be."""

    def __init__(self, gateway: Gateway, keys: Keys, fence: str, *, in_doubt: bool = False) -> None:
        """`fence` is a key that must not change until this is committed; `in_doubt`: it is to
        change first, so that no earlier draft can be committed any more.
        """
        self._gateway = gateway
        self._keys = keys
        self._base = (fence, keys.format)
        self._in_doubt = in_doubt
        self._revisions: dict[str, int] = {}  #: key -> that of what was read; 0: it was not there
        self._read: dict[Spot, Records] = {}
        self._records: dict[Spot, Records] = {}
        self._slots: dict[Attachment, list[Slot]] = {}
        self._full: dict[str, list[str]] = {}  #: mark -> the keys of what fills its block
        self._changed: dict[Attachment, None] = {}  #: a set that keeps the order

    def load(
        self,
        spots: Iterable[Spot] = (),
        attachments: Iterable[Attachment] = (),
        also: Sequence[Json] = (),
    ) -> list[Answer]:
        """Read those that have not been read; the answers to what is asked `also`.

        Raises CniError 5 when the keys are of another version of plait.
        """
        new_spots = [each for each in dict.fromkeys(spots) if each not in self._read]
        new = [each for each in dict.fromkeys(attachments) if each not in self._slots]
        base = [] if self._base[0] in self._revisions else [*map(txn.get, self._base)]
        if self._in_doubt and base:
            base.insert(0, txn.put(self._base[0]))
        keys = [self._keys.place(each) for each in new_spots]
        keys += [self._keys.attachment(each) for each in new]
        asked = [*base, *map(txn.get, keys), *also]
        if not asked:
            return []
        answers = txn.ask(self._gateway, asked)
        if base:
            self._add_base(*answers[len(base) - 2 : len(base)])
        del answers[: len(base)]
        for spot, answer in zip(new_spots, answers, strict=False):
            self._add_spot(spot, answer)
        del answers[: len(new_spots)]
        for attachment, answer in zip(new, answers, strict=False):
            self._add_attachment(attachment, answer)
        return answers[len(new) :]

    def _add_base(self, fence: Answer, version: Answer) -> None:
        for key, answer in zip(self._base, (fence, version), strict=True):
            self._revisions[key] = answer.found[0].revision if answer.found else 0
        if version.found and version.found[0].value != FORMAT.encode():
            raise CniError(
                Code.IO_FAILURE,
                f"cannot use the leases of another version: etcd key {self._keys.format}",
                f"its format is {line(version.found[0].value.decode(errors='replace'), 20)}, "
                f"this version knows {FORMAT}",
            )

    def _add_spot(self, spot: Spot, answer: Answer) -> None:
        key, records = self._keys.place(spot), {}
        for found in answer.found:
            records = decode_records(key, found.value, spot)
        self._revisions[key] = answer.found[0].revision if answer.found else 0
        self._read[spot] = records
        self._records[spot] = dict(records)

    def _add_attachment(self, attachment: Attachment, answer: Answer) -> None:
        key = self._keys.attachment(attachment)
        self._revisions[key] = answer.found[0].revision if answer.found else 0
        self._slots[attachment] = decode_slots(key, answer.found[0].value) if answer.found else []

    def assume_free(self, spot: Spot) -> None:
        """The draft is valid only if nothing is there: it need not be read."""
        if spot not in self._read:
            self._add_spot(spot, Answer((), 0))

    def at(self, spot: Spot) -> Records:
        """What each pool is to have at the address; {}: it is free."""
        self.load([spot])
        return self._records[spot]

    def slots(self, attachment: Attachment) -> list[Slot]:
        """What the attachment is to have, in the order of its asks."""
        self.load(attachments=[attachment])
        return sorted(self._slots[attachment])

    def given(self, network_name: str, version: int, cidr: str = "") -> set[int]:
        """The addresses that this draft gives, though they were free; of all pools, or of one."""
        return {
            spot.address
            for spot, records in self._records.items()
            if (spot.network_name, spot.version) == (network_name, version)
            and (cidr in records if cidr else records)
        }

    def put(self, spot: Spot, cidr: str, record: Record | None) -> None:
        """Set, or free, what a pool has at the address."""
        records = self.at(spot)
        if record is None:
            records.pop(cidr, None)
        else:
            records[cidr] = record

    def take(self, spot: Spot, taken: Taken, slot: int) -> None:
        """Lease an address."""
        lease = taken.lease
        self.put(spot, lease.cidr, taken)
        self.load(attachments=[lease.attachment])
        self._slots[lease.attachment].append(Slot(slot, spot, lease.cidr))
        self._changed[lease.attachment] = None

    def drop(self, spot: Spot, taken: Taken, now: int, rest: int = 0) -> None:
        """End a lease; its address is free, or held as the lease says, else for `rest` seconds."""
        lease = taken.lease
        kept = after_release(taken.cooldown, taken.sticky, now)
        if kept is None and rest:
            kept = COOLING, now + rest
        hold = None
        if kept is not None:
            place = (spot.network_name, lease.cidr, spot.version, spot.address)
            ifname = "" if kept[0] == RESERVED else lease.attachment.ifname
            hold = Hold(*place, kept[0], holder(lease), ifname, kept[1])
        self.put(spot, lease.cidr, hold)
        self.forget(lease.attachment, spot, lease.cidr)

    def forget(self, attachment: Attachment, spot: Spot, cidr: str) -> None:
        """The attachment has the address no more."""
        self.load(attachments=[attachment])
        self._slots[attachment] = [
            each for each in self._slots[attachment] if (each.spot, each.cidr) != (spot, cidr)
        ]
        self._changed[attachment] = None

    def mark_full(self, network_name: str, version: int, taken: Iterable[int]) -> None:
        """Say of a block that it is full: `taken` is so already, the rest by this draft."""
        spots = [Spot(network_name, version, address) for address in taken]
        if spots and len(self._full) < _MOST_MARKS:
            self._full[self._keys.mark(spots[0])] = [self._keys.place(each) for each in spots]

    def conditions(self) -> list[Json]:
        """That all that is to change is still what was read."""
        spots = [self._keys.place(spot) for spot in self._differing()]
        attachments = [self._keys.attachment(each) for each in self._changed]
        keys = [*self._base, *spots, *attachments]
        filling = {key for found in self._full.values() for key in found}.difference(keys)
        return [txn.unchanged(key, self._revisions[key]) for key in keys] + [
            txn.exists(key) for key in sorted(filling)
        ]

    def operations(self) -> list[Json]:
        """The changes; none when there is nothing to do."""
        made: list[Json] = []
        for spot in self._differing():
            before, now = self._read[spot], self._records[spot]
            key = self._keys.place(spot)
            made.append(txn.put(key, encode_records(now)) if now else txn.delete(key))
            was, will = self._keys.indexes(spot, before), self._keys.indexes(spot, now)
            made += [txn.delete(each) for each in sorted(was - will)]
            made += [txn.put(each) for each in sorted(will - was)]
        for attachment in self._changed:
            key, slots = self._keys.attachment(attachment), self._slots[attachment]
            made.append(txn.put(key, encode_slots(slots)) if slots else txn.delete(key))
        freed = {self._keys.mark(each) for each in self._differing() if not self._records[each]}
        made += [txn.delete(mark) for mark in sorted(freed)]
        made += [txn.put(mark) for mark in sorted(self._full.keys() - freed)]
        if made and not self._revisions[self._keys.format]:
            made.append(txn.put(self._keys.format, FORMAT.encode()))
        return made

    def commit(self) -> bool:
        """Make the changes, unless what was read has changed; whether they are made.

        Raises UnansweredError when that is not known.
        """
        operations = self.operations()
        return not operations or txn.commit(self._gateway, self.conditions(), operations)

    def _differing(self) -> list[Spot]:
        return [spot for spot, now in self._records.items() if now != self._read[spot]]
