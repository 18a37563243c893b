"""The cluster's store: whereabouts' own objects, shared with nodes of the original.

An address is claimed by one patch that tests that nobody has it; there is no lock, and no list of
all pools. What this node is about to change stands in its journal first: a call that dies, or hears
no answer, is settled by the next one, which looks at what the server has.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cni.core import log, signals
from cni.core.errors import CniError, Code, invalid
from ipam.stores import Ask, Owner, match
from ipam.stores.boot import boot_id
from ipam.stores.journal import LEASED, LEASING, RELEASING, Intent, intent
from ipam.stores.leasing import Leasing
from ipam.stores.objects import Objects
from ipam.stores.places import address_of, found_in, give_back, key_of, leases, place
from ipam.stores.pool import key, readable, slice_of
from ipam.stores.pools_tool import PoolsTool

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cni.core.types import Attachment
    from cni.kube.client import Client
    from ipam.stores import Hold, Lease, Pools
    from ipam.stores.journal import Entry, Journal, Place
    from ipam.stores.pool import Key

#: seconds for which a request that was not answered may still be carried out: the API server's own
#: limit is 60
_DOUBT = 75
_BRIEF = 2.0  #: seconds for a request about what another call has left
_SETTLING = 1.0  #: seconds after which a call leaves what others have left to the next call
_REST_AFTER_BOOT = 600  #: seconds that addresses wait for the pods that a boot starts again


class KubernetesStore:
    """Leases in IPPool objects. A Store (see ipam.stores); all methods raise ApiError too."""

    def __init__(
        self, client: Client, namespace: str, journal: Journal, node: str = "", slices: str = ""
    ) -> None:
        """`slices` names the NodeSlicePool where each node has a pool of its own, `node` this one.

        The journal is of this namespace alone.
        """
        self._objects = Objects(client, namespace)
        self._brief = Objects(client, namespace, _BRIEF)
        self._journal = journal
        self._node = node
        self._slices = slices
        self._tool = PoolsTool(self._objects, journal, slices)

    def lease(self, owner: Owner, asks: Sequence[Ask]) -> list[int]:
        """See Store.lease. The pod that has an address of the pool gets that, as the original."""
        if not asks:
            return []
        shared = [self._shared(ask) for ask in asks]
        self._settle_others()
        with self._journal.entry(owner.attachment) as entry:
            kept = self._settle(entry, self._objects)
            return self._lease(entry, owner, list(asks), shared, kept)

    def leases(self, attachment: Attachment, pools: Pools = ()) -> list[Lease]:
        """See Store.leases: what the journal and the cluster both say.

        `pools` as for `release`.
        """
        known = self._journal.read(attachment)
        if known is None:
            found = self._search(self._objects, Owner(attachment), self._searched(pools))
            known = Intent(LEASED, Owner(attachment), tuple(found), "", 0)
        had = zip(leases(known), _had(known), strict=True)
        return [lease for lease, each in had if self._is_leased(known.owner, each)]

    def release(self, attachment: Attachment, pools: Pools = ()) -> int:
        """See Store.release; a server that does not answer is told later, by another call.

        `pools` are (network_name, range) to search for what no journal knows: a node of the
        original has leased it, or one whose disk is gone.
        """
        released = 0
        with self._journal.entry(attachment) as entry:
            known = entry.intent
            try:
                if known is None:
                    places = tuple(self._searched(pools))
                    known = Intent(RELEASING, Owner(attachment), places, boot_id(), 0)
                    released = self._give_back(entry, self._objects, known, places)
                else:
                    released = self._release(entry, known.now(RELEASING), self._objects)
            except CniError as error:
                if known is None:
                    log.warning("what another node has leased is not sought", reason=error)
                    return 0
                log.warning("addresses not released yet: a later call will", reason=error)
                if entry.intent is None:
                    entry.begin(known)
                return 0
        self._settle_others()
        return released

    def keep_only(self, network: str, valid: Collection[tuple[str, str]]) -> int:
        """See Store.keep_only; of what no journal of this node knows, nothing is released."""
        released = 0
        failure: CniError | None = None
        stale = [
            each
            for each in self._journal.of_network(network)
            if (each.container_id, each.ifname) not in valid
        ]
        for entry in self._journal.at_rest(stale):  # not what a call leases at this moment
            if entry.intent is None:
                continue
            try:
                released += self._release(entry, entry.intent.now(RELEASING), self._objects)
            except CniError as error:
                failure = error
        self._settle_others()
        if failure is not None:
            raise failure
        return released

    def leased_here(self, attachment: Attachment) -> bool:
        """See Store.leased_here."""
        return self._journal.read(attachment) is not None

    def probe(self) -> None:
        """See Store.probe."""
        self._journal.probe()
        self._objects.look()

    def every(self) -> list[Lease]:
        """See Store.every; of other nodes' leases the network and the time are not known."""
        return self._tool.every()

    def holds(self) -> list[Hold]:
        """See Store.holds."""
        return self._tool.holds()

    def drop(self, lease: Lease) -> bool:
        """See Store.drop."""
        return self._tool.drop(lease)

    def reserve(self, hold: Hold) -> None:
        """See Store.reserve."""
        self._tool.reserve(hold)

    def unreserve(self, network_name: str, version: int, address: int) -> bool:
        """See Store.unreserve."""
        return self._tool.unreserve(network_name, version, address)

    def _lease(
        self,
        entry: Entry,
        owner: Owner,
        asks: list[Ask],
        shared: list[tuple[Key, Ask]],
        kept: list[Place],
    ) -> list[int]:
        leasing = Leasing(
            self._objects,
            owner,
            shared,
            write=lambda new: entry.begin(begun.now(LEASING, (*begun.places, *new))),
            is_anothers=lambda name, address: self._is_anothers(owner.attachment, name, address),
        )
        begun = intent(owner, tuple(kept))
        has = [each for each in kept if self._is_leased(owner, each, leasing)]
        had = dict(zip(leases(begun._replace(places=tuple(has))), has, strict=True))
        found = [had.get(lease) if lease else None for lease in match(asks, list(had))]
        missing = [slot for slot, each in enumerate(found) if each is None]
        if not missing:
            if entry.intent is not None and entry.intent.owner != owner:
                entry.finish(begun.now(LEASED))  # started again: its network namespace is another
            return [address_of(each) for each in found if each is not None]
        searched = [place(shared[slot][0], asks[slot], slot) for slot in missing]
        begun = begun.now(LEASING, (*kept, *searched))
        entry.begin(begun)
        try:
            own = [*has]
            for slot in missing:
                new = leasing.claim(*shared[slot], slot, own)
                # of the range that was asked for, which a slice is a part of
                found[slot] = new = new._replace(cidr=asks[slot].range.cidr)
                own.append(new)
        except BaseException as error:
            with signals.blocked():
                if not (is_certain := leasing.is_certain(error)):
                    self._note(entry, begun, leasing.touched)
                if leasing.undo() and is_certain:
                    self._finish(entry, begun, kept)
            raise
        own += [each for each in kept if each.address is None]
        own.sort(key=_order)
        entry.finish(begun.now(LEASED, tuple(own)))
        return [address_of(each) for each in found if each is not None]

    def _shared(self, ask: Ask) -> tuple[Key, Ask]:
        """The pool of an ask, and the ask with the pool's network."""
        name, wanted = "", ask.range
        if self._slices:
            document = self._objects.slices(self._slices)
            if document is None:
                raise invalid(f"no NodeSlicePool {self._slices} for range {ask.range.cidr}")
            name, wanted = slice_of(document, self._node, ask.range)
        wanted = readable(wanted)
        if ask.wanted is not None and not wanted.offers(wanted.version, ask.wanted):
            where = f"node {name}'s slice" if name else "what a cluster's pool can have"
            reason = f"{wanted.text(ask.wanted)} of range {ask.range.cidr} is not in {where}"
            raise CniError(Code.RANGE_EXHAUSTED, reason)
        return key(ask.network_name, wanted, name), ask._replace(range=wanted)

    def _is_leased(self, owner: Owner, each: Place, leasing: Leasing | None = None) -> bool:
        """Whether the cluster agrees with the journal."""
        if each.address is None:
            return False
        where = key_of(each)
        found = leasing.pool(where) if leasing else self._objects.pool(where)
        there = found.allocations.get(each.address) if found else None
        _, container_id, ifname = owner.attachment
        return there is not None and there.is_of(container_id, ifname)

    def _is_anothers(self, attachment: Attachment, pool_name: str, address: int) -> bool:
        """Whether another network's attachment has it: a pool does not know of networks."""
        return any(
            (each.extra["pool"], each.address) == (pool_name, address)
            for other in self._journal.every()
            if other.owner.attachment.network != attachment.network
            for each in other.places
        )

    def _searched(self, pools: Pools) -> list[Place]:
        """Places where an attachment may have something."""
        asks = [Ask(each, network_name) for network_name, each in pools]
        return [place(self._shared(ask)[0], ask, slot) for slot, ask in enumerate(asks)]

    def _settle_others(self) -> None:
        """What calls have left that have ended; for a moment only, and whatever happens."""
        end = time.monotonic() + _SETTLING
        for entry in self._journal.unfinished():
            try:
                self._settle(entry, self._brief)
            except CniError as error:
                log.warning("what an earlier call has left is not settled yet", reason=error)
                if error.code == Code.TRY_AGAIN_LATER:  # it would be so for the others too
                    break
            if time.monotonic() > end:
                break

    def _settle(self, entry: Entry, objects: Objects) -> list[Place]:
        """Finish what a call has begun; what the attachment has then."""
        known = entry.intent
        if known is None:
            return []
        is_over = known.boot_id != boot_id()
        if known.state == LEASED and not is_over:
            return list(known.places)
        if known.state == LEASING and not is_over:
            kept = _had(known)
            doomed = [each for each in known.places if each not in kept]
            self._give_back(entry, objects, known, doomed)
            if not _is_doubtful(known):
                self._finish(entry, known, kept)
                return kept
            return [*kept, *(each for each in known.places if each.address is None)]
        self._release(entry, known, objects, rest=_REST_AFTER_BOOT if is_over else 0)
        return []

    def _release(self, entry: Entry, known: Intent, objects: Objects, rest: int = 0) -> int:
        try:
            entry.begin(known)
        except CniError as error:  # a full disk: deleting pods is what will help
            log.warning("a release is not noted", reason=error)
        released = self._give_back(entry, objects, known, known.places, rest)
        if not _is_doubtful(known):
            self._finish(entry, known, [])
        return released

    def _give_back(
        self,
        entry: Entry,
        objects: Objects,
        known: Intent,
        places: Sequence[Place],
        rest: int = 0,
    ) -> int:
        """Free the places that are known, and what is found where the address is not."""
        given = [each for each in places if each.address is not None]
        released = sum(give_back(objects, known.owner, each, rest) for each in given)
        found = self._search(objects, known.owner, places, _had(known))
        if found and _is_doubtful(known):
            self._note(entry, known, found)
        return released + sum(give_back(objects, known.owner, each, rest) for each in found)

    def _note(self, entry: Entry, known: Intent, places: Sequence[Place]) -> None:
        """What is to be looked at again: a reservation may come when the pool knows no more."""
        new = [each._replace(extra={**each.extra, "is_new": True}) for each in places]
        try:
            entry.begin(known.now(known.state, (*known.places, *new)))
        except CniError as error:
            log.warning("an intent is not noted", reason=error)

    def _search(
        self,
        objects: Objects,
        owner: Owner,
        places: Sequence[Place],
        known: Sequence[Place] = (),
    ) -> list[Place]:
        has = {(each.extra["pool"], address_of(each)) for each in known}
        found: list[Place] = []
        for each in {each.extra["pool"]: each for each in places if each.address is None}.values():
            there = objects.pool(key_of(each))
            found += found_in(there, each, owner, has) if there else ()
        return [
            each
            for each in found
            if not self._is_anothers(owner.attachment, each.extra["pool"], address_of(each))
        ]

    def _finish(self, entry: Entry, known: Intent, kept: list[Place]) -> None:
        if any(each.address is not None for each in kept):
            entry.finish(known.now(LEASED, tuple(kept)))
        elif not kept:
            entry.forget()


def _had(known: Intent) -> list[Place]:
    """What the attachment has for certain."""
    return [each for each in known.places if each.address is not None and not each.extra["is_new"]]


def _is_doubtful(known: Intent) -> bool:
    """Whether a request of the call may still be on its way, of which nothing is known."""
    is_young = 0 <= time.time() - known.created < _DOUBT and known.boot_id == boot_id()
    return is_young and any(each.address is None for each in known.places)


def _order(each: Place) -> tuple[int, str, int, int, str]:
    """As the file store tells what an attachment holds."""
    return each.extra["slot"], each.network_name, each.version, each.address or 0, each.cidr
