"""GC: DEL for the containers that are gone, then each network drops what is not attached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import log
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code
from meta.multus import chain, delegates, detach, lock, recover
from meta.multus.attach import lasting_netns
from meta.multus.scratch import MASTER_IFNAME

if TYPE_CHECKING:
    from collections.abc import Collection

    from cni.core.types import Request
    from meta.conf import Multus
    from meta.multus.network import Network
    from meta.multus.scratch import Home, Record

_PATIENCE = 1  #: seconds for the lock of a container: one that is being worked on is alive


def gc(req: Request, conf: Multus, home: Home) -> None:
    """Collect; does nothing when the runtime did not say what is still valid.

    Raises CniError with the first failure's code, after everything was tried.
    """
    if req.valid_attachments is None or conf.disable_gc:
        return
    networks: dict[str, Network] = {}
    for choice in delegates.choose_leniently(conf, req):
        networks.setdefault(choice.network.name, choice.network)
    pairs: dict[str, set[tuple[str, str]]] = {}
    attempts = Attempts()
    for record in recover.every(home):
        for each in record.delegates:
            networks.setdefault(each.network.name, each.network)
        if not _is_valid(record, req, req.valid_attachments) and _remove(req, record, attempts):
            continue
        for each in record.delegates:
            pairs.setdefault(each.network.name, set()).add((record.container_id, each.ifname))
    for name, network in networks.items():
        chain.gc(_for_nobody(req), network, pairs.get(name, set()), attempts)
    attempts.finish()


def _is_valid(record: Record, req: Request, valid: Collection[tuple[str, str]]) -> bool:
    """Whether it is to stay: it is attached, or of a network that this GC does not speak of."""
    if record.network not in ("", req.network):
        return True
    if record.parent:
        return (record.container_id, record.parent) in valid
    return any(container_id == record.container_id for container_id, _ in valid)


def _remove(req: Request, stale: Record, attempts: Attempts) -> bool:
    """Delete a stale attachment; False when another call works on it."""
    ifname = stale.parent or MASTER_IFNAME
    try:
        with lock.container(req.run_dir, stale.container_id, timeout=_PATIENCE):
            record = recover.find(stale.home, stale.container_id, ifname)
            if record is not None:
                log.info("collecting a stale attachment", container=record.container_id)
                req = _for_nobody(req)._replace(ifname=ifname, netns=lasting_netns(record.netns))
                detach.remove(req, record, attempts)
                attempts.run(record.settle)
    except CniError as error:
        if error.code != Code.TRY_AGAIN_LATER:
            raise
        log.warning("not collected: in use", container=stale.container_id, reason=error)
        return False
    return True


def _for_nobody(req: Request) -> Request:
    """The request without the runtime's words about a container: GC has none."""
    config = {key: value for key, value in req.config.items() if key != "runtimeConfig"}
    return req._replace(container_id="", ifname="", netns="", args="", config=config)
