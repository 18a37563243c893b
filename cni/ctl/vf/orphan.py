"""Gives a VF back that a dead attachment still has, as its DEL would have done."""

from __future__ import annotations

from cni.core.errors import CniError, Code
from cni.ctl.vf import owners
from cni.sriov import allocation, records
from cni.sriov.record import ORPHAN
from cni.sriov.release import put_back


def release(state_dir: str, device: str, *, force: bool = False) -> str:
    """Restore the VF from its record, drop record and allocation; returns what was done.

    Raises CniError while the owner lives, unless forced, and for a VF that did not come back.
    """
    with allocation.exclusive(state_dir, device):
        owner = owners.all_owners(state_dir).get(device)
        found = records.of_device(state_dir, device)
        if owner is None:
            if not found and not allocation.holder(state_dir, device):
                return f"nothing to do: nobody has {device}"
            owners.forget(state_dir, [device])
            return f"done: {device} is free; forgot what was recorded of an earlier VF there"
        if owner.lives and owner.phase != ORPHAN and not force:
            raise CniError(
                Code.TRY_AGAIN_LATER,
                f"{device} belongs to {owner}, nothing was changed (--force takes it away)",
                f"its network namespace {owner.netns} lives",
            )
        restored = bool(found) and owners.is_current(state_dir, found[0])
        if found:
            put_back(state_dir, found[0])
        for older in found[1:]:
            records.remove(state_dir, older)
        allocation.give_back(state_dir, device)
        if records.of_device(state_dir, device):
            raise CniError(
                Code.TRY_AGAIN_LATER,
                f"{device} has not come back from {owner}",
                "its interface is in no namespace that is known; its record stays",
            )
    what = "was restored and " if restored else ""
    return f"done: {device} {what}is free, it belonged to {owner} ({owner.phase})"
