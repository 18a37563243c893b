"""DEL: everything recorded, in reverse; the record goes when what it records is gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.attempts import Attempts
from cni.core.errors import CniError
from cni.store import files
from meta.multus import chain, deleted, device_info, lock, recover, results, scratch
from meta.multus.delegates import device_file, device_info_root, refreshed

if TYPE_CHECKING:
    from cni.core.types import Request
    from meta.conf import Multus
    from meta.multus.delegates import Delegate
    from meta.multus.scratch import Home, Record


def delete(req: Request, conf: Multus, home: Home) -> None:
    """Detach the container; needs no namespace, no configuration file, no foreign executable.

    Raises CniError with the first failure's code when something could not be deleted.
    """
    with lock.container(home.run_dir, req.container_id):
        record = recover.find(home, req.container_id, req.ifname, ())
        if record is None and deleted.is_marked(home.run_dir, req.container_id, req.ifname):
            return
        record = record or recover.find(home, req.container_id, req.ifname)
        if record is None:
            _delete_unrecorded(req, conf, home)
            return
        if record.is_damaged:
            recover.add_configured(record, conf, req)
        attempts = Attempts()
        remove(req, record, attempts)
        attempts.run(record.settle)
    attempts.finish()


def remove(req: Request, record: Record, attempts: Attempts) -> None:
    """Delete what is pending in the record, the last added first."""
    for index in sorted(record.pending, reverse=True):
        attempts.run(remove_one, req, record, index)


def remove_one(req: Request, record: Record, index: int) -> None:
    """Delete one delegate and its cached answer.

    Raises CniError naming the network; the delegate is pending still.
    """
    delegate = refreshed(record.delegates[index], req, is_master=index == 0)
    cni_dir, container_id = record.home.cni_dir, record.container_id
    cached = results.result_of(cni_dir, delegate, container_id)
    try:
        chain.delete(req._replace(container_id=container_id), delegate, cached)
    except CniError as error:
        name = delegate.network.name
        raise error.within(f'error deleting container from network "{name}"') from error
    _forget_device(delegate, req._replace(container_id=container_id))
    results.remove(cni_dir, delegate, container_id)
    record.pending.discard(index)


def _forget_device(delegate: Delegate, req: Request) -> None:
    try:
        if file := device_file(delegate, req) or _told_file(delegate, req):
            device_info.remove(file)
    except CniError as error:  # a record of somebody else: there cannot be a file of that name
        log.warning("no device-info file", network=delegate.name, reason=error)


def _told_file(delegate: Delegate, req: Request) -> str:
    """The device-info file of a delegate that only the cache knows: the path that it was told."""
    path = delegate.runtime_config.get("CNIDeviceInfoFile")
    directory = os.path.join(device_info_root(req), "cni")
    if not isinstance(path, str) or os.path.dirname(path) != directory:
        return ""
    return path if path.endswith(f"-{req.container_id}_{delegate.ifname}") else ""


def _delete_unrecorded(req: Request, conf: Multus, home: Home) -> None:
    """Nothing was attached, or somebody else attached it: without multus, or with its records gone.

    To the master, which the runtime then called itself, the DEL is as without multus. To the
    others it is courtesy, never a failure: the record is written before the first delegate runs.
    Not at an interface of the container's other attachments: this ADD may have been refused for it.

    Raises CniError when the master's DEL fails.
    """
    taken = recover.taken(home, req.container_id)
    if taken is None:
        log.warning("nothing deleted: another attachment has no whole record")
        return
    wanted = [each for each in recover.configured(conf, req) if each.ifname not in taken]
    record = scratch.new(home, req.container_id, req.ifname, wanted)
    files.remove(record.path)  # what an ADD left that was killed as it wrote it
    record.pending = set(range(len(record.delegates)))
    attempts = Attempts()
    masters = [index for index, each in enumerate(wanted) if each.ifname == req.ifname]
    for index in sorted(record.pending.difference(masters), reverse=True):
        attempts.run(remove_one, req, record, index)
    record.finish()
    for error in attempts.errors:
        log.warning("passed over: nothing is recorded of the container", reason=error)
    for index in masters:
        remove_one(req, record, index)
