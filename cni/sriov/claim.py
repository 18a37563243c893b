"""May an ADD have the VF? What a dead or broken-off attachment left is cleared away first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import CniError, Code
from cni.host import pci
from cni.sriov import allocation, interface, records
from cni.sriov.record import ADDING, DONE
from cni.sriov.release import put_back, take_back

if TYPE_CHECKING:
    from cni.core.types import Request
    from cni.sriov.record import Record


def make_free(req: Request, device: str) -> None:
    """Leave the VF, whose lock is held, free and as it was before any attachment.

    A state that a dead pod left must not be taken for the VF's own. Raises CniError 11 while a
    living attachment has the VF.
    """
    found = records.of_device(req.state_dir, device)
    newest = found[0] if found else None
    if owner := _living_owner(req, device, newest):
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f'"deviceID": pci address {device} is already allocated',
            f"it belongs to {owner}",
        )
    if newest is not None:
        log.info("VF of a former attachment", device=device, owner=newest.owner)
        put_back(req.state_dir, newest)
    for stale in found[1:]:
        records.remove(req.state_dir, stale)


def clear_name(req: Request, device: str) -> None:
    """The attachment's name is free for a record: an older one of another VF is settled.

    No lock may be held. Raises CniError 4 while that VF is attached under this name: one without
    an interface does not show in the container.
    """
    former = records.read(req.state_dir, records.key_of(req.container_id, req.ifname))
    if former is None or former.device == device:
        return
    if former.phase == DONE and _is_alive(req.state_dir, former):
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f'CNI_IFNAME "{req.ifname}" already exists in {req.netns}',
            f"it is VF {former.device} of network {former.network}",
        )
    take_back(req.state_dir, former)


def _is_alive(state_dir: str, record: Record) -> bool:
    found = allocation.namespace(record.netns or allocation.holder(state_dir, record.device))
    return found == record.netns_id if record.netns_id else found != 0


def _living_owner(req: Request, device: str, newest: Record | None) -> str:
    """Who has the VF, for people; empty when nobody does."""
    holder = allocation.holder(req.state_dir, device)
    if not allocation.namespace(holder):
        return ""
    if newest is not None and newest.netns == holder:
        if not _is_alive(req.state_dir, newest):
            return ""  # the path is another namespace's by now: the original believes the path
        if newest.phase == ADDING and _is_of(newest, req):
            return ""  # our own ADD, which broke off
    if interface.is_expected(device) and pci.interfaces(pci.PCI, device):
        return ""  # what has its interface here is in no pod
    return f"{newest.owner} in {holder}" if newest else holder


def _is_of(record: Record, req: Request) -> bool:
    return (record.container_id, record.ifname) == (req.container_id, req.ifname)
