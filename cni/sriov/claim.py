"""May an ADD have the VF? What a dead or broken-off attachment left is cleared away first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import CniError, Code
from cni.host import pci
from cni.sriov import allocation, interface, records
from cni.sriov.record import ADDING, DONE
from cni.sriov.release import release, take_back

if TYPE_CHECKING:
    from cni.core.types import Request
    from cni.sriov.record import Record


def claim(req: Request, device: str) -> None:
    """The VF, whose lock is held, is free and as it was before any attachment.

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
        release(req.state_dir, newest)
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
    inode = allocation.inode(record.netns or allocation.holder(state_dir, record.device))
    return inode == record.netns_inode if record.netns_inode else inode != 0


def _living_owner(req: Request, device: str, newest: Record | None) -> str:
    """Who has the VF, for people; empty when nobody does.

    The original believes the path alone: of a process' namespace it may be another's by now.
    """
    holder = allocation.holder(req.state_dir, device)
    inode = allocation.inode(holder) if holder else 0
    if not inode:
        return ""
    if newest is not None and newest.netns == holder:
        repeated = (newest.container_id, newest.ifname) == (req.container_id, req.ifname)
        if newest.netns_inode != inode or (repeated and newest.phase == ADDING):
            return ""
    if interface.is_expected(device) and pci.interfaces(pci.PCI, device):
        return ""  # what has an interface here is in no pod
    return f"{newest.owner} in {holder}" if newest else holder
