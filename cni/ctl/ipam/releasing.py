"""Frees addresses: forgets what holds them, drops leases of the dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code
from cni.ctl.ipam import sandbox
from cni.ctl.leases.table import moment
from ipam.ranges import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.ctl.leases.selection import Found, Selection
    from cni.ctl.leases.source import Source
    from ipam.stores import Hold, Lease, Store


def release(source: Source, wanted: Selection, *, force: bool = False) -> Iterator[str]:
    """Free what is selected; tells what was done, step by step.

    Raises CniError 11, before anything is changed, when a lease may be in use, unless forced.
    """
    store = source.open()
    found = wanted.of(store.every(), store.holds(), source)
    if not force:
        _refuse_living(source, store, found)
    if not found.leases and not found.holds:
        yield "nothing to do: nothing is leased or held that fits"
    for hold in found.holds:
        if store.unreserve(hold.network_name, hold.version, hold.address):
            yield f"done: {_of(hold)} is free, it was {hold.kind} for {hold.holder}"
    for lease in found.leases:
        if not store.drop(lease):
            yield f"nothing to do: {_of(lease)} is another's by now"
            continue
        kept = [each for each in store.holds() if _place(each) == _place(lease)]
        if not kept:
            yield f"done: {_of(lease)} is free, it was leased to {owner(lease)}"
        for hold in kept:
            until = f"until {moment(hold.until)}" if hold.until else "for ever"
            yield (
                f"done: {_of(lease)} is no longer leased to {owner(lease)}; as its network wants "
                f"it, it is {hold.kind} {until}: release it again to free it"
            )


def owner(lease: Lease) -> str:
    """Who has a lease, for people."""
    container = f"container {lease.attachment.container_id} {lease.attachment.ifname}"
    return f"{lease.pod_namespace}/{lease.pod_name}, {container}" if lease.pod_name else container


def _refuse_living(source: Source, store: Store, found: Found) -> None:
    for lease in found.leases:
        reason = _reason(source, store, lease)
        if reason:
            raise CniError(
                Code.TRY_AGAIN_LATER,
                f"{_of(lease)} is leased to {owner(lease)}, nothing was changed "
                "(--force takes it away)",
                reason,
            )


def _reason(source: Source, store: Store, lease: Lease) -> str:
    """Why a lease may be in use; empty when it is not."""
    is_of_another = source.datastore != "file" and lease.node != source.node
    if is_of_another or not store.leased_here(lease.attachment):
        return f"whether it is in use, node {lease.node or '(not known)'} would have to say"
    if not lease.netns:
        return "nothing is known of its network namespace"
    if sandbox.state(lease.netns) == sandbox.THERE:
        return f"its network namespace {lease.netns} lives"
    return ""


def _of(each: Lease | Hold) -> str:
    return f"{text(each.version, each.address)} of range {each.cidr}"


def _place(each: Lease | Hold) -> tuple[str, str, int]:
    return each.network_name, each.cidr, each.address
