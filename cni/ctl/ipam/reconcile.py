"""Finds leases whose owner is gone without a DEL, and releases them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import CniError, describe, invalid
from cni.ctl.ipam import judge, sandbox, strikes
from cni.ctl.ipam.judge import KEPT, RELEASED, Rules, Sight
from cni.ctl.leases.source import database
from cni.store.lock import locked
from ipam.ranges import size
from ipam.stores.boot import boot_id
from ipam.stores.ledger import REST_AFTER_BOOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cni.ctl.leases.source import Source
    from ipam.stores import Lease, Store

    #: "namespace/name" -> UIDs; asked for after the leases were read
    Listing = Callable[[], Mapping[str, frozenset[str]]]

FAILED = "failed"


class Outcome(NamedTuple):
    """What was done about a lease; rehearsed: what would have been done."""

    lease: Lease
    what: str  #: KEPT, WAITING, RELEASED or FAILED
    reason: str
    strikes: int


def run(
    source: Source,
    listing: Listing | None,
    rules: Rules,
    *,
    node: str = "",
    dry_run: bool = False,
) -> list[Outcome]:
    """Judge all leases of the store once.

    `listing` is None without a cluster; `node` is whose pods alone it lists. Raises CniError, and
    then nothing was judged, when the store or the list cannot be read, or is another node's.
    """
    if dry_run:
        return _run(source, listing, rules, node, dry_run=True)
    lock = os.path.join(source.state_dir, "plait", "reconcile.lock")
    with locked(lock, 10, what="the reconciler"):
        return _run(source, listing, rules, node, dry_run=False)


def _run(
    source: Source, listing: Listing | None, rules: Rules, node: str, *, dry_run: bool
) -> list[Outcome]:
    store = source.open()
    leases = store.every()
    boots = _boots(source) if source.datastore == "file" else {}
    # after the leases: a lease's pod was there before it
    pods = listing() if listing and leases else None
    if node:
        _refuse_pods_of_another(node, leases, pods)
    now = int(time.time())
    identity = source.sections[0].store if source.sections else ("file",)
    before = strikes.read(source.state_dir)
    after = {key: found for key, found in before.items() if not strikes.is_of(identity, key)}
    outcomes = []
    for lease in leases:
        key = strikes.key(identity, lease)
        sight = Sight(
            boot=boots.get(_place(lease), judge.THIS),
            netns=_netns(source, store, lease),
            pod=judge.pod_state(lease, pods),
            has_uid=bool(lease.pod_uid),
        )
        verdict = judge.judge(sight, shares_pools=source.datastore == "kubernetes")
        decision = judge.decide(verdict, lease.created, before.get(key), rules, now)
        outcome = Outcome(
            lease,
            decision.what,
            decision.reason,
            decision.strikes.number if decision.strikes else 0,
        )
        if decision.what == RELEASED and not dry_run:
            outcome = _release(store, outcome)
        if decision.strikes and outcome.what not in (RELEASED, KEPT):
            after[key] = decision.strikes
        outcomes.append(outcome)
    if not dry_run and after != before:
        strikes.write(source.state_dir, after)
    return outcomes


def _refuse_pods_of_another(
    node: str, leases: list[Lease], pods: Mapping[str, frozenset[str]] | None
) -> None:
    """By the list of another node's pods all of ours would be dead.

    That it is this node's a lease shows that was made under its name, or whose pod is in the list.
    """
    states = {judge.pod_state(each, pods) for each in leases}
    if not states & {judge.ABSENT, judge.OTHER} or judge.SAME in states:
        return
    names = {each.node for each in leases}
    if node not in names:
        raise invalid(
            f"--node {node}: is that this node? None of its pods has a lease here",
            f"the leases are of {', '.join(sorted(filter(None, names))) or 'no known node'}",
        )


def _release(store: Store, outcome: Outcome) -> Outcome:
    try:
        if store.drop(outcome.lease):
            return outcome
    except Exception as error:
        return outcome._replace(what=FAILED, reason=str(describe(error)))
    return outcome._replace(what=KEPT, reason="it is another's by now", strikes=0)


def _netns(source: Source, store: Store, lease: Lease) -> str:
    """Only this node's namespaces can be seen; and of a name there may be several hosts."""
    if source.datastore != "file" and lease.node != source.node:
        return sandbox.UNKNOWN
    state = sandbox.state(lease.netns)
    is_ours = state != sandbox.GONE or store.leased_here(lease.attachment)
    return state if is_ours else sandbox.UNKNOWN


def _place(lease: Lease) -> tuple[str, str, bytes, str]:
    address = lease.address.to_bytes(size(lease.version))
    return lease.network_name, lease.cidr, address, lease.attachment.container_id


def _boots(source: Source) -> dict[tuple[str, str, bytes, str], str]:
    """The leases of earlier boots. The store itself ends them at the next ADD, with a rest."""
    now = boot_id()
    if not now or not os.path.exists(database(source.state_dir)):
        return {}
    from cni.ctl.ipam.database import boots, opened

    with opened(source.state_dir, "read the leases") as connection:
        found = boots(connection)
    # clock of the kernel, seconds since the boot
    is_over = time.clock_gettime(time.CLOCK_BOOTTIME) > REST_AFTER_BOOT
    state = judge.EARLIER if is_over else judge.RESTING
    return {place: state for place, boot in found.items() if boot not in ("", now)}


def summary(outcomes: Iterable[Outcome], *, dry_run: bool) -> str:
    """`12 leases: 1 released, 2 waiting, 9 kept`"""
    every = list(outcomes)
    counts = []
    for what in (RELEASED, FAILED, judge.WAITING, KEPT):
        count = sum(each.what == what for each in every)
        if count:
            counts.append(f"{count} {'to be ' if dry_run and what == RELEASED else ''}{what}")
    return f"{len(every)} leases: {', '.join(counts)}" if every else "no leases"


def failure(outcomes: Iterable[Outcome]) -> CniError | None:
    """What the command ends with when leases could not be released."""
    failed = [each for each in outcomes if each.what == FAILED]
    if not failed:
        return None
    return CniError(5, f"{len(failed)} leases could not be released", failed[0].reason)
