"""GC: DEL for the containers that are gone, then each network drops what is not attached."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code, describe
from cni.store import files
from meta.multus import chain, choice, detach, lock, recover, results, sandbox, scratch, subject
from meta.multus.scratch import MASTER_IFNAME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

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
    attempts = Attempts()
    records = recover.every(home)
    live: list[Record] = []
    stale: list[Record] = []
    for record in records:
        (live if _is_valid(record, req, req.valid_attachments) else stale).append(record)
    live += [record for record in stale if not _remove(req, record, live, attempts)]
    _collect_networks(req, _networks(req, conf, records), live, attempts)
    attempts.run(scratch.forget_unwritten, home)
    for directory in (home.cni_dir, results.directory(home.cni_dir), lock.directory(home.run_dir)):
        attempts.run(files.sweep, directory)
    attempts.finish()


def _networks(req: Request, conf: Multus, records: Iterable[Record]) -> Iterable[Network]:
    """What the configuration names now, then what it named when something was attached.

    Not the networks of another multus network: its own GC knows them.
    """
    found: dict[str, Network] = {}
    for each in choice.choose_leniently(subject.leniently(conf, req)):
        found.setdefault(each.network.name, each.network)
    for record in records:
        if _is_ours(record, req):
            for delegate in record.delegates:
                found.setdefault(delegate.network.name, delegate.network)
    return found.values()


def _collect_networks(
    req: Request, networks: Iterable[Network], live: Iterable[Record], attempts: Attempts
) -> None:
    """Have each network drop what no live container has there.

    The runtime names the containers, records name their interfaces on each network. Of a container
    without a whole record (attached before multus was, or with another `cniDir`) these cannot be
    guessed, for an attachment may have asked for any name; and a pair that a network is not told
    costs a pod its interface and its address. So the networks are asked when all is known: what is
    left over until then is only what no record names.
    """
    unknown = _unknown(req.valid_attachments or (), live)
    if unknown:
        log.warning("networks not collected: no whole record", containers=" ".join(sorted(unknown)))
        return
    pairs: dict[str, set[tuple[str, str]]] = {}
    for record in live:
        for each in record.delegates:
            pairs.setdefault(each.network.name, set()).add((record.container_id, each.ifname))
    for network in networks:
        chain.gc(_for_nobody(req), network, pairs.get(network.name, set()), attempts)


def _unknown(valid: Iterable[tuple[str, str]], live: Iterable[Record]) -> set[str]:
    """The live containers, of whichever multus network, that may have what no record names."""
    known = {(each.container_id, each.parent) for each in live if not each.is_damaged}
    lost = {pair[0] for pair in valid if pair not in known and (pair[0], "") not in known}
    return lost | {each.container_id for each in live if each.is_damaged}


def _is_ours(record: Record, req: Request) -> bool:
    return record.network in ("", req.network)


def _is_valid(record: Record, req: Request, valid: Collection[tuple[str, str]]) -> bool:
    """Whether it is to stay: it is attached, or of a network that this GC does not speak of."""
    is_named = any(container_id == record.container_id for container_id, _ in valid)
    if not _is_ours(record, req):
        # the network may have been renamed: then nobody else will speak of it
        return is_named or not record.netns or os.path.exists(record.netns)
    if record.parent:
        return (record.container_id, record.parent) in valid
    return is_named


def _remove(req: Request, stale: Record, live: Collection[Record], attempts: Attempts) -> bool:
    """Delete a stale attachment; False when that is not possible now: it counts as live."""
    ifname = stale.parent or MASTER_IFNAME
    try:
        with lock.container(req.run_dir, stale.container_id, timeout=_PATIENCE):
            record = recover.find(stale.home, stale.container_id, ifname)
            if record is not None:
                log.info("collecting a stale attachment", container=record.container_id)
                netns = _netns(record, live)
                req = _for_nobody(req)._replace(ifname=ifname, netns=netns)
                detach.remove(req, record, attempts)
                attempts.run(record.settle)
    except (CniError, OSError) as failure:
        error = describe(failure)
        if error.code == Code.TRY_AGAIN_LATER:
            log.warning("not collected: in use", container=stale.container_id, reason=error)
        else:
            attempts.errors.append(error)
        return False
    return True


def _netns(stale: Record, live: Iterable[Record]) -> str:
    """The stale attachment's namespace; empty when it is gone, or another container's by now."""
    others = {each.netns for each in live if each.container_id != stale.container_id}
    return "" if stale.netns in others else sandbox.lasting(stale.netns, stale.netns_id)


def _for_nobody(req: Request) -> Request:
    """The request without the runtime's words about a container: GC has none."""
    config = {key: value for key, value in req.config.items() if key != "runtimeConfig"}
    return req._replace(container_id="", ifname="", netns="", args="", config=config)
