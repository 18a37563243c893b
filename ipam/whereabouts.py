"""whereabouts: the lowest free address of each range, leased to one attachment.

The leases are in a store: a file of this node, the cluster's objects, or an etcd (ipam.stores).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code
from cni.core.types import Result
from ipam import fixed, plan, settings
from ipam.opening import open_store
from ipam.readiness import unavailable
from ipam.stores import match
from ipam.stores.file import FileStore

if TYPE_CHECKING:
    from cni.core.types import Request
    from ipam.ranges import Range

_STATUS_TIMEOUT = 5.0  #: seconds to wait for the lock; kubelet asks as often


def add(req: Request) -> Result:
    """Lease an address of each range: all of them, or none.

    An attachment that holds its addresses already gets them again. Raises CniError 7 for a
    configuration that cannot be used, 100 for a full range or an address that is taken, 11 when
    the store does not answer.
    """
    want = plan.make(req)
    addresses = open_store(want.settings, req).lease(want.owner, want.asks)
    leased = [want.ip(ask, address) for ask, address in zip(want.asks, addresses, strict=True)]
    given = [each.as_result() for each in want.fixed]
    count = len(want.ranges)
    log.info("leased", ips=" ".join(each.address for each in leased))
    return Result(ips=(*leased[:count], *given, *leased[count:]), routes=want.routes, dns=want.dns)


def check(req: Request) -> None:
    """Each range's lease must exist, and it and the fixed addresses be in the previous result.

    Raises CniError 102 naming the range or the address.
    """
    prev_result = fixed.require_prev_result(req.prev_result)
    want = plan.make(req)
    held = open_store(want.settings, req).leases(req.attachment, want.pools)
    for ask, lease in zip(want.asks, match(want.asks, held), strict=True):
        if lease is None:
            raise CniError(
                Code.CHECK_FAILED,
                f"no lease in range {ask.range.cidr} for container {req.container_id} {req.ifname}",
            )
        fixed.find(prev_result, ask.range.with_prefix(lease.address))
    for each in want.fixed:
        fixed.find(prev_result, str(each.interface))


def delete(req: Request) -> None:
    """Release what the attachment holds, whatever the configuration says by now.

    What a store has that cannot be asked now is released by the next call that can. Raises
    CniError 5 or 11 when this node's own records cannot be used.
    """
    attempts = Attempts()
    attempts.run(FileStore(req.state_dir).release, req.attachment)
    try:
        conf = settings.read(req.config.get("ipam") or {})
        store = open_store(conf, req, is_hurried=True)
        if not isinstance(store, FileStore):
            store.release(req.attachment, _pools(req))
    except CniError as error:
        log.warning("only the leases of this node were released", reason=error)
    if os.path.isdir(os.path.join(req.state_dir, "plait", "intents")):
        from ipam.stores.journal import release_later

        attempts.run(release_later, req.state_dir, req.attachment)
    attempts.finish()


def gc(req: Request) -> None:
    """Release the network's leases of attachments that the runtime no longer has."""
    if req.valid_attachments is None:
        return
    attempts = Attempts()
    own = FileStore(req.state_dir)
    released = attempts.value(own.keep_only, req.network, req.valid_attachments) or 0
    try:
        conf = settings.read(req.config.get("ipam") or {})
        store = open_store(conf, req, is_hurried=True)
        if not isinstance(store, FileStore):
            released += store.keep_only(req.network, req.valid_attachments)
    except CniError as error:
        log.warning("only the leases of this node were collected", reason=error)
    log.info("collected", count=released)
    attempts.finish()


def status(req: Request) -> None:
    """Raises CniError 50 when no lease could be recorded, 7 for a configuration no ADD can use."""
    try:
        conf = plan.make(req).settings
        open_store(conf, req, timeout=_STATUS_TIMEOUT, is_hurried=True).probe()
    except CniError as error:
        raise unavailable(error) from None


def _pools(req: Request) -> list[tuple[str, Range]]:
    """Where to look for what no record knows; nowhere when the configuration is no good by now."""
    try:
        return plan.make(req).pools
    except CniError as error:
        log.warning("leases are not sought that another node has made", reason=error)
        return []
