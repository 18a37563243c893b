"""Stores of leases: what they promise to a plugin, and the values that they exchange.

An address of a pool is free, leased to an attachment, or held for a pod. A hold is what remains of
a lease when the pool's policy says so, or a reservation that somebody made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cni.core.errors import CniError, Code
from ipam.ranges import text

if TYPE_CHECKING:
    from collections.abc import Collection

    from cni.core.types import Attachment
    from ipam.ranges import Range

FOR_EVER = -1  #: in place of seconds
STAYS_RESERVED = -2  #: in place of them: of a lease whose address was reserved, and will be again

#: kinds of holds: an address that rests before others get it, one that waits for its pod, one that
#: somebody reserved for a pod
COOLING, STICKY, RESERVED = "cooling", "sticky", "reserved"


class Owner(NamedTuple):
    """Who leases. The attachment is the key of a lease; the pod is what holds are for."""

    attachment: Attachment
    pod_namespace: str = ""
    pod_name: str = ""
    pod_uid: str = ""
    node: str = ""
    netns: str = ""

    @property
    def holder(self) -> str:
        """The pod, which another container may be tomorrow; without a pod the container."""
        if self.pod_name:
            return f"{self.pod_namespace}/{self.pod_name}"
        return self.attachment.container_id


class Ask(NamedTuple):
    """One address asked for, from the pool (network_name, CIDR of the range)."""

    range: Range
    network_name: str = ""
    #: refuse what any pool of this network_name has leased, not only the range's own
    unique: bool = True
    wanted: int | None = None  #: this address, or none; else the lowest that is free
    preferred: int | None = None  #: this address if it is free
    cooldown: int = 0  #: seconds that it rests after its release; a preference
    sticky: int = 0  #: seconds that it then waits for its pod, or FOR_EVER
    strict: bool = False  #: rather none than another than the pod's own, or the preferred
    #: the range before a reservation of the configuration changed what is asked for: a lease in it,
    #: once it is made, is as good
    unreserved: Range | None = None


class Lease(NamedTuple):
    """An address that an attachment holds; what comes after `address` may be unknown."""

    attachment: Attachment
    network_name: str
    cidr: str
    version: int
    address: int
    pod_namespace: str = ""
    pod_name: str = ""
    pod_uid: str = ""
    node: str = ""
    netns: str = ""
    created: int = 0  #: seconds since 1970

    def answers(self, ask: Ask) -> bool:
        """Whether this lease is what is asked for."""
        if (self.network_name, self.cidr) != (ask.network_name, ask.range.cidr):
            return False
        if ask.unreserved is not None and ask.unreserved.offers(self.version, self.address):
            return True
        is_offered = ask.range.offers(self.version, self.address)
        return is_offered and ask.wanted in (None, self.address)


class Hold(NamedTuple):
    """An address that is not leased, and not for everybody."""

    network_name: str
    cidr: str
    version: int
    address: int
    kind: str  #: COOLING, STICKY or RESERVED
    holder: str  #: see Owner.holder
    ifname: str = ""  #: empty: any interface of the holder
    until: int = 0  #: seconds since 1970; 0: for ever

    def is_for(self, owner: Owner) -> bool:
        """Whether the address waits for this owner."""
        return self.holder == owner.holder and self.ifname in ("", owner.attachment.ifname)


#: (network_name, range) of each pool that a configuration names
Pools = Sequence[tuple[str, "Range"]]


class Store(Protocol):
    """Leases that survive the process. Every method is one transaction: all of it, or nothing.

    Raises CniError 5 when the records cannot be used, 11 when another process holds them.
    """

    def lease(self, owner: Owner, asks: Sequence[Ask]) -> list[int]:
        """One address for each ask; what the owner already holds comes again. Durable on return,
        within an undo stack when `syncing.wait` returns.

        Then, what is held for it; then the wanted, the preferred, the lowest that is free; last
        what only rests. Raises CniError 100 when a range is full or the wanted address is
        another's, and when a strict one's own cannot be had.
        """
        ...

    def leases(self, attachment: Attachment, pools: Pools = ()) -> list[Lease]:
        """What the attachment holds, in the order in which it was asked for."""
        ...

    def release(self, attachment: Attachment, pools: Pools = ()) -> int:
        """Release all that the attachment holds; returns how many (none is fine).

        `pools` is where to look for what no record of this node knows.
        """
        ...

    def keep_only(self, network: str, valid: Collection[tuple[str, str]]) -> int:
        """Release what attachments of the network hold whose (container ID, ifname) is not valid.

        Only what this node leased; an attachment whose call is running is left alone. Returns how
        many.
        """
        ...

    def probe(self) -> None:
        """Raises as `lease` would when no lease could be recorded now."""
        ...

    # for the operator's tool

    def every(self) -> list[Lease]:
        """All leases of the store, by address."""
        ...

    def holds(self) -> list[Hold]:
        """All holds of the store that have not run out, by address."""
        ...

    def leased_here(self, attachment: Attachment) -> bool:
        """Whether this node leased it, as far as its own records say."""
        ...

    def drop(self, lease: Lease) -> bool:
        """Release that very lease: not one that was renewed since (created, netns), nor another's.

        Whether it was released.
        """
        ...

    def reserve(self, hold: Hold) -> None:
        """Keep an address for a pod; one that the pod has now stays its lease until the DEL.

        Raises CniError 100 when it is leased to, or held for, somebody else.
        """
        ...

    def unreserve(self, network_name: str, version: int, address: int) -> bool:
        """Forget what holds the address, or would after its lease's end; whether anything did."""
        ...


def match(asks: Sequence[Ask], held: Sequence[Lease]) -> list[Lease | None]:
    """For each ask the lease that answers it, no lease twice; None where there is none."""
    left = list(held)
    found: list[Lease | None] = []
    for ask in asks:
        lease = next((each for each in left if each.answers(ask)), None)
        if lease is not None:
            left.remove(lease)
        found.append(lease)
    return found


def after_release(cooldown: int, sticky: int, now: int) -> tuple[str, int] | None:
    """What becomes of a released address: the kind of its hold and when that ends, or None."""
    if sticky == STAYS_RESERVED:
        return RESERVED, 0
    if sticky:
        return STICKY, 0 if sticky == FOR_EVER else now + sticky
    if cooldown:
        return COOLING, now + cooldown
    return None


def exhausted(full: Range) -> CniError:
    """No free address, in the original's words ("/ -" included)."""
    return CniError(
        Code.RANGE_EXHAUSTED,
        f"Could not allocate IP in range: ip: {full.text(full.first)} / - {full.text(full.last)} "
        f"/ range: {full.cidr} / excludeRanges: [{' '.join(full.exclude_text)}]",
    )


def taken(ask: Ask, address: str, holder: Attachment) -> CniError:
    """The wanted address is another attachment's."""
    return _unavailable(
        ask,
        address,
        f"leased to container {holder.container_id} {holder.ifname} of network {holder.network}",
    )


def held(ask: Ask, address: str, hold: Hold) -> CniError:
    """The wanted address waits for another pod."""
    return _unavailable(ask, address, f"{hold.kind}: it is kept for {hold.holder} {hold.ifname}")


def withheld(ask: Ask, version: int, address: int, kind: str) -> CniError:
    """The owner's own address cannot be had, and a strict one takes no other."""
    return CniError(
        Code.RANGE_EXHAUSTED,
        f"strict: no other address of range {ask.range.cidr} than {text(version, address)}",
        f"it is {kind} for this pod, and the range does not hand it out now",
    )


def refused(hold: Hold, reason: str) -> CniError:
    """The address cannot be reserved."""
    address = text(hold.version, hold.address)
    return CniError(Code.RANGE_EXHAUSTED, f"{address} cannot be reserved for {hold.holder}", reason)


def _unavailable(ask: Ask, address: str, reason: str) -> CniError:
    return CniError(
        Code.RANGE_EXHAUSTED,
        f"requested IP address {address} is not available in range {ask.range.cidr}",
        reason,
    )
