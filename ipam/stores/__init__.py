"""Stores of leases: what they promise to a plugin, and the values that they exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cni.core.types import Attachment
    from ipam.ranges import Range


class Owner(NamedTuple):
    """Who leases. The pod is recorded for people; the attachment alone is the key."""

    attachment: Attachment
    pod_namespace: str = ""
    pod_name: str = ""
    pod_uid: str = ""


class Ask(NamedTuple):
    """One address asked for, from the pool (network_name, CIDR of the range)."""

    range: Range
    network_name: str = ""
    #: refuse what any pool of this network_name has leased, not only the range's own
    unique: bool = True
    wanted: int | None = None  #: this address, or none; else the lowest that is free


class Lease(NamedTuple):
    """An address that an attachment holds."""

    attachment: Attachment
    network_name: str
    cidr: str
    version: int
    address: int

    def answers(self, ask: Ask) -> bool:
        """Whether this lease is what is asked for."""
        return (
            self.network_name == ask.network_name
            and self.cidr == ask.range.cidr
            and ask.range.offers(self.version, self.address)
            and ask.wanted in (None, self.address)
        )


class Store(Protocol):
    """Leases that survive the process. Every method is one transaction: all of it, or nothing.

    Raises CniError 5 when the records cannot be used, 11 when another process holds them.
    """

    def lease(self, owner: Owner, asks: Sequence[Ask]) -> list[int]:
        """One address for each ask, durable on return; what the owner already holds comes again.

        Raises CniError 100 when a range is full or the wanted address is another's.
        """
        ...

    def leases(self, attachment: Attachment) -> list[Lease]:
        """What the attachment holds, in the order in which it was asked for."""
        ...

    def release(self, attachment: Attachment) -> int:
        """Release all that the attachment holds; returns how many (none is fine)."""
        ...

    def keep_only(self, network: str, valid: Collection[tuple[str, str]]) -> int:
        """Release what attachments of the network hold whose (container ID, ifname) is not valid.

        Returns how many.
        """
        ...

    def probe(self) -> None:
        """Raises as `lease` would when no lease could be recorded now."""
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


def exhausted(full: Range) -> CniError:
    """No free address, in the original's words ("/ -" included)."""
    return CniError(
        Code.RANGE_EXHAUSTED,
        f"Could not allocate IP in range: ip: {full.text(full.first)} / - {full.text(full.last)} "
        f"/ range: {full.cidr} / excludeRanges: [{' '.join(full.exclude_text)}]",
    )


def taken(ask: Ask, address: str, holder: Attachment) -> CniError:
    """The wanted address is another attachment's."""
    return CniError(
        Code.RANGE_EXHAUSTED,
        f"requested IP address {address} is not available in range {ask.range.cidr}",
        f"leased to container {holder.container_id} {holder.ifname} of network {holder.network}",
    )
