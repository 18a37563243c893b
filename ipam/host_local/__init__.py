"""host-local: addresses of this node's ranges in turn, each a file; a drop-in for the original.

Same keys, same files, same lock: either of them deletes, checks and counts what the other one has
leased, side by side too. Different on purpose: an ADD that is repeated gets its addresses again,
not "duplicate allocation" (a runtime that lost the answer, a container that podman starts anew
after a reboot); a lease is durable before it is printed; an empty file that a crash has left
blocks no address; CHECK wants the very addresses of prevResult; GC and STATUS do something; and
no verb gets slower by the leases of others (see index).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code
from cni.core.types import IPConfig, Result
from cni.core.undo import Undo
from ipam import fixed
from ipam.addresses import IP, parse_cidr
from ipam.host_local import choice, lease_files, plan
from ipam.host_local.lease_files import LeaseFiles, owner_of
from ipam.readiness import unavailable

if TYPE_CHECKING:
    from cni.core.types import Request
    from ipam.host_local.range_sets import RangeSet

_STATUS_TIMEOUT = 5.0  #: seconds to wait for the lock; kubelet asks as often


def add(req: Request) -> Result:
    """Lease an address of each range set: all of them, or none.

    Raises CniError 7 for a configuration that cannot be used, 4 for a request in CNI_ARGS, 100 for
    a full set or an address that is taken.
    """
    want = plan.make(req)
    owner = owner_of(req.container_id, req.ifname)
    ips: list[IPConfig] = []
    with lease_files.opened(want.directory, "lease an address") as files, Undo() as undo:
        held = files.held_by(owner)
        for number, each in enumerate(want.wants):
            try:
                address = choice.choose(files, number, each, held)
            except CniError as error:
                raise error.within(f"failed to allocate for range {number}") from None
            if str(address) not in held:
                undo.push(files.release, str(address), owner)
                files.take(str(address), owner)
                files.remember(number, str(address))
            ips.append(IPConfig(address.with_prefix, str(address.subnet.gateway)))
        files.sync(held)
        undo.keep()
    log.info("leased", ips=" ".join(each.address for each in ips))
    return Result(ips=tuple(ips), routes=want.routes, dns=want.dns)


def check(req: Request) -> None:
    """Of each range set an address of prevResult must be leased to the attachment.

    Raises CniError 102 naming the set, or the address and whose it is.
    """
    prev_result = fixed.require_prev_result(req.prev_result)
    want = plan.make(req)
    told = [_ip(each.address) for each in prev_result.ips]
    for each in want.wants:
        _check(req, want.directory, each.range_set, [ip for ip in told if ip is not None])


def _check(req: Request, directory: str, range_set: RangeSet, told: list[IP]) -> None:
    whom = f"container {req.container_id} {req.ifname}"
    mine = (owner_of(req.container_id, req.ifname), owner_of(req.container_id))
    reason = ""
    for ip in filter(range_set.find, told):
        owner = lease_files.read(directory, str(ip))
        if owner in mine:
            return
        holder = f"leased to {owner.decode(errors='replace')!r}" if owner else "not leased"
        reason = reason or f"{ip} is {holder}"
    raise CniError(
        Code.CHECK_FAILED,
        f"no address of range set {range_set} is leased to {whom}",
        reason or "prevResult has none of this range set",
    )


def _ip(address: str) -> IP | None:
    try:
        return parse_cidr(address).ip
    except ValueError:
        return None


def delete(req: Request) -> None:
    """Release what the attachment holds, whatever ranges the configuration has by now.

    What an old version has leased to the container alone is released when there is nothing else.
    """
    directory = plan.directory(req)
    if not os.path.isdir(directory):
        return
    with lease_files.opened(directory, "release an address") as files:
        own = _leases(files, owner_of(req.container_id, req.ifname))
        _release(files, own or _leases(files, owner_of(req.container_id)))


def _leases(files: LeaseFiles, owner: bytes) -> list[tuple[str, bytes]]:
    return [(address, owner) for address in files.held_by(owner)]


def gc(req: Request) -> None:
    """Release the network's leases of attachments that the runtime no longer has.

    What an old version has leased to a container alone stays while the container has any.
    """
    directory = plan.directory(req)
    if req.valid_attachments is None or not os.path.isdir(directory):
        return
    valid = {owner_of(*each) for each in req.valid_attachments}
    valid |= {owner_of(container_id) for container_id, _ in req.valid_attachments}
    with lease_files.opened(directory, "collect stale leases") as files:
        _release(files, [each for each in files.everything() if each[1] not in valid])


def _release(files: LeaseFiles, leases: list[tuple[str, bytes]]) -> None:
    """All that can be released is; raises at the end what could not."""
    attempts = Attempts()
    released = [each for each in leases if attempts.value(files.release, *each)]
    if released:
        attempts.run(files.sync)
    log.info("released", count=len(released))
    attempts.finish()


def status(req: Request) -> None:
    """Raises CniError 50 when no lease could be recorded, 7 for a configuration no ADD can use."""
    try:
        want = plan.make(req)
        with lease_files.opened(want.directory, "lease an address", _STATUS_TIMEOUT) as files:
            files.probe()
    except CniError as error:
        raise unavailable(error) from None
