"""The etcd store: leases that all nodes share, each change one transaction of compare-and-swaps.

Between a transaction that was sent and its answer much can happen: hence the journal of intents on
the node, written before. And a transaction whose answer is lost may come true at any later time.
So every change depends on a key of the node, its fence, and whoever does not know what became of
an earlier one changes the fence before anything is read: then that has come true, or never will.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

from cni.core import log
from cni.core.errors import CniError, Code
from ipam.stores import Hold, Owner, match
from ipam.stores import etcd_changes as changes
from ipam.stores import etcd_txn as txn
from ipam.stores import journal as intents
from ipam.stores.boot import boot_id
from ipam.stores.etcd_claim import Claim
from ipam.stores.etcd_draft import Draft
from ipam.stores.etcd_gateway import EtcdSettings, Gateway, Limits, UnansweredError
from ipam.stores.etcd_keys import (
    FORMAT,
    Keys,
    Spot,
    Taken,
    address_of,
    decode_records,
    spot_of,
)
from ipam.stores.etcd_patience import Patience
from ipam.stores.journal import Journal, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from cni.core.types import Attachment, Json
    from ipam.stores import Ask, Lease, Pools
    from ipam.stores.etcd_keys import Records
    from ipam.stores.etcd_txn import Answer
    from ipam.stores.journal import Entry

T = TypeVar("T")

#: seconds that addresses rest whose containers a boot has ended: podman starts them again
_REST_AFTER_BOOT = 600
_PAGE = 2000  #: addresses of one answer when all are listed
_ENDED = 12  #: holds that are removed by one transaction: of each it takes up to five operations


class EtcdStore:
    """Leases below a prefix of an etcd cluster. A Store (see ipam.stores)."""

    def __init__(
        self,
        settings: EtcdSettings,
        state_dir: str,
        limits: Limits | None = None,
        timeout: float = 60,
    ) -> None:
        """`timeout`: seconds to wait for another call about the same attachment."""
        self._gateway = Gateway(settings, limits)
        self._keys = Keys(settings.prefix)
        self._fence = self._keys.fence(settings.node or os.uname().nodename)
        # not of the hosts: an endpoint may be added while there are leases
        self._journal = Journal(state_dir, f"etcd{settings.prefix}", timeout)

    def lease(self, owner: Owner, asks: Sequence[Ask]) -> list[int]:
        """See Store.lease."""
        if not asks:
            return []
        with self._gateway.within():
            self._settle()
            with self._journal.entry(owner.attachment) as entry:
                if entry.intent is not None and entry.intent.state == intents.RELEASING:
                    self._give_back(owner.attachment, in_doubt=True)
                    entry.forget()
                return self._lease(entry, owner, asks)

    def leases(self, attachment: Attachment, pools: Pools = ()) -> list[Lease]:
        """See Store.leases."""
        with self._gateway.within():
            return changes.leases(self._draft(), attachment)

    def release(self, attachment: Attachment, pools: Pools = ()) -> int:
        """See Store.release. What cannot be released now is released later, and counts as none."""
        with self._gateway.within():
            with self._journal.entry(attachment) as entry:
                if entry.intent is None:
                    if not pools or not self._may_have(attachment):
                        return 0
                    intent = intents.intent(Owner(attachment), ())
                    entry.begin(intent.now(intents.RELEASING))
                released = self._release(entry)
            if released is None:
                return 0
            self._settle()
        return released

    def keep_only(self, network: str, valid: Collection[tuple[str, str]]) -> int:
        """See Store.keep_only."""
        stale = [
            each
            for each in self._journal.of_network(network)
            if (each.container_id, each.ifname) not in valid
        ]
        released = 0
        with self._gateway.within():
            for entry in self._journal.at_rest(stale):
                released += self._release(entry) or 0
            self._settle()
        return released

    def leased_here(self, attachment: Attachment) -> bool:
        """See Store.leased_here."""
        return self._journal.read(attachment) is not None

    def probe(self) -> None:
        """See Store.probe."""
        with self._gateway.within():
            self._draft().load()
            key = self._keys.format
            txn.try_out(self._gateway, [txn.never(key)], [txn.put(key, FORMAT.encode())])
        self._journal.every()

    def every(self) -> list[Lease]:
        """See Store.every."""
        found = [
            record.lease
            for records in self._all()
            for record in records.values()
            if isinstance(record, Taken)
        ]
        return sorted(found, key=_by_address)

    def holds(self) -> list[Hold]:
        """See Store.holds."""
        now = int(time.time())
        found = [
            record
            for records in self._all()
            for record in records.values()
            if isinstance(record, Hold) and not 0 < record.until <= now
        ]
        return sorted(found, key=_by_address)

    def drop(self, lease: Lease) -> bool:
        """See Store.drop."""
        return self._change(lambda draft: changes.drop(draft, lease, int(time.time())))

    def reserve(self, hold: Hold) -> None:
        """See Store.reserve."""
        self._change(lambda draft: changes.reserve(draft, hold, int(time.time())))

    def unreserve(self, network_name: str, version: int, address: int) -> bool:
        """See Store.unreserve."""
        spot = Spot(network_name, version, address)
        return self._change(lambda draft: changes.unreserve(draft, spot, int(time.time())))

    def _lease(self, entry: Entry, owner: Owner, asks: Sequence[Ask]) -> list[int]:
        """Until a draft is accepted, or none can be made."""
        in_doubt = entry.intent is not None and entry.intent.state != intents.LEASED
        patience, enough = Patience(self._gateway), self._gateway.remaining / 2
        while True:
            draft = self._draft(in_doubt=in_doubt)
            in_doubt = False
            claim = Claim(self._gateway, self._keys, draft, owner, patience.among)
            ended = self._ended(asks)
            answers = draft.load((), [owner.attachment], [*ended, *claim.questions(asks)])
            has_time = self._gateway.remaining > enough
            if has_time and self._remove_ended(asks, answers[: len(ended)]):
                continue
            before = tuple(map(changes.place_of, draft.slots(owner.attachment)))
            changes.renew(draft, owner, int(time.time()))
            held = match(asks, changes.leases(draft, owner.attachment))
            if not all(held):
                claim.hear(asks, answers[len(ended) :])
            try:
                given = [
                    lease.address if lease else claim.take(ask, slot)
                    for slot, (ask, lease) in enumerate(zip(asks, held, strict=True))
                ]
            except CniError as error:
                if error.code == Code.RANGE_EXHAUSTED:
                    _abandon(entry, before)
                raise
            if not all(held) and (entry.intent is None or entry.intent.state != intents.LEASING):
                entry.begin(intents.intent(owner, before))
            try:
                if draft.commit():
                    _finish(entry, owner, draft)
                    return given
                patience.lose()
            except UnansweredError as error:
                log.debug("no answer to a claim", reason=error)
                in_doubt = True
            patience.wait()

    def _ended(self, asks: Sequence[Ask]) -> list[Json]:
        """The question for each family of addresses: what has been kept for long enough."""
        now = int(time.time())
        return [
            txn.between(self._keys.until(*family), self._keys.until(*family, now + 1), limit=_ENDED)
            for family in _families(asks)
        ]

    def _remove_ended(self, asks: Sequence[Ask], answers: Sequence[Answer]) -> bool:
        """Free what has been kept for long enough; whether there was anything."""
        spots = [
            Spot(*family, address_of(each.key))
            for family, answer in zip(_families(asks), answers, strict=True)
            for each in answer.found
        ]
        if not spots:
            return False
        draft = self._draft()
        changes.remove_ended(draft, spots[:_ENDED], int(time.time()))
        if not draft.operations():
            return False
        try:
            draft.commit()
        except CniError as error:
            log.debug("what was kept for long enough is not removed", reason=error)
            return False
        return True

    def _release(self, entry: Entry, rest: int = 0, kept: Sequence[Place] = ()) -> int | None:
        """Release what an intent is about; None: not now, and the intent stays to be settled."""
        intent = entry.intent
        if intent is None:
            return 0
        if intent.state != intents.RELEASING and not kept:
            entry.begin(intent.now(intents.RELEASING))
        attachment, in_doubt = intent.owner.attachment, intent.state != intents.LEASED
        try:
            released = self._give_back(attachment, in_doubt, rest, kept)
        except CniError as error:
            log.warning(
                "addresses will be released later",
                container=attachment.container_id,
                reason=error,
            )
            return None
        if kept:
            entry.finish(intent.now(intents.LEASED))
        else:
            entry.forget()
        return released

    def _may_have(self, attachment: Attachment) -> bool:
        """Whether etcd knows leases of the attachment; who cannot ask has to assume so."""
        try:
            return bool(self._draft().slots(attachment))
        except CniError as error:
            log.debug("etcd cannot be asked for leases", reason=error)
            return True

    def _settle(self) -> None:
        """Release what calls have left undone that were killed, or whose boot has ended."""
        now, enough = boot_id(), self._gateway.remaining / 2
        try:
            for entry in self._journal.unfinished():
                if entry.intent is None:
                    continue
                is_of_this_boot = entry.intent.boot_id in ("", now)
                if is_of_this_boot and entry.intent.state == intents.LEASED:
                    continue  # finished since it was looked for
                is_undone = is_of_this_boot and entry.intent.state == intents.LEASING
                kept = entry.intent.places if is_undone else ()
                released = self._release(entry, 0 if is_of_this_boot else _REST_AFTER_BOOT, kept)
                if released is None or self._gateway.remaining < enough:
                    return  # etcd does not answer, or there is much to do: the next call goes on
        except CniError as error:
            log.warning("unfinished intents cannot be settled", reason=error)

    def _give_back(
        self, attachment: Attachment, in_doubt: bool, rest: int = 0, kept: Sequence[Place] = ()
    ) -> int:
        """Release what the attachment has at etcd, but for `kept`; how many addresses."""
        return self._change(
            lambda draft: changes.give_back(draft, attachment, int(time.time()), rest, kept),
            in_doubt=in_doubt,
        )

    def _change(self, change: Callable[[Draft], T], *, in_doubt: bool = False) -> T:
        """What `change` makes of a draft, and again until one is accepted."""
        with self._gateway.within():
            patience = Patience(self._gateway)
            while True:
                draft = self._draft(in_doubt=in_doubt)
                result = change(draft)
                try:
                    if draft.commit():
                        return result
                    patience.lose()
                except UnansweredError as error:
                    log.debug("no answer to a change", reason=error)
                    in_doubt = True
                patience.wait()

    def _draft(self, *, in_doubt: bool = False) -> Draft:
        return Draft(self._gateway, self._keys, self._fence, in_doubt=in_doubt)

    def _all(self) -> Iterator[Records]:
        """What is at every address, page by page."""
        first, end = self._keys.places, txn.after(self._keys.places)
        while True:
            with self._gateway.within():
                page = txn.between(first, end, limit=_PAGE, values=True)
                (answer,) = txn.ask(self._gateway, [page])
            for each in answer.found:
                spot = spot_of(each.key, self._keys.places)
                yield decode_records(each.key, each.value, spot)
            if len(answer.found) >= answer.total:
                return
            first = f"{answer.found[-1].key}\0"


def _finish(entry: Entry, owner: Owner, draft: Draft) -> None:
    """Write down that the attachment has what it asked for."""
    known = entry.intent
    if known is not None and known.state == intents.LEASED and known.boot_id == boot_id():
        return
    places = tuple(map(changes.place_of, draft.slots(owner.attachment)))
    entry.finish(intents.intent(owner, places).now(intents.LEASED))


def _abandon(entry: Entry, has: tuple[Place, ...]) -> None:
    """Settle what was begun if it has not come true: it never will, `has` was read after it."""
    if entry.intent is None or entry.intent.state != intents.LEASING:
        return
    if not has:
        entry.forget()
    elif all(each in entry.intent.places for each in has):
        entry.finish(entry.intent.now(intents.LEASED, has))


def _families(asks: Sequence[Ask]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((each.network_name, each.range.version) for each in asks))


def _by_address(each: Lease | Hold) -> tuple[str, int, int, str]:
    return each.network_name, each.version, each.address, each.cidr
