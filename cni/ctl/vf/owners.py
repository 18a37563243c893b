"""Whose a VF is: from records and allocation files of the sriov plugin, ours or the original's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.host import sriov
from cni.sriov import allocation, records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.sriov.record import Record

STALE = "stale"  #: the namespace is gone, and nothing was undone
ALLOCATED = "allocated"  #: there is a file that says so, and no record of what the VF was


class Owner(NamedTuple):
    """An attachment that has a VF, or had it and did not give it back."""

    network: str
    container_id: str
    ifname: str
    netns: str  #: path
    phase: str  #: adding, done, orphan, stale, allocated
    lives: bool  #: its namespace is there

    @property
    def counts(self) -> bool:
        """Whether there is something to lose: a mere file, its namespace gone, is a leftover."""
        return self.lives or bool(self.network or self.container_id or self.ifname)

    def __str__(self) -> str:
        name = "/".join(filter(None, (self.network, self.container_id, self.ifname)))
        return name or self.netns


def all_owners(state_dir: str) -> dict[str, Owner]:
    """The owner of each VF that has one, by the VF's PCI address.

    What is left of a VF that was there before, at the same address, is no owner.
    """
    newest: dict[str, Record] = {}
    for each in sorted(records.all_records(state_dir), key=lambda each: each.written):
        newest[each.device] = each
    found = {
        device: _of_record(state_dir, record)
        for device, record in newest.items()
        if is_current(state_dir, record)
    }
    for device in allocation.all_held(state_dir):
        netns = allocation.holder(state_dir, device)
        older = newest.get(device)
        if device in found or (older and older.netns in ("", netns)):
            continue
        lives = bool(allocation.namespace(netns))
        found[device] = Owner("", "", "", netns, ALLOCATED if lives else STALE, lives)
    return found


def is_current(state_dir: str, record: Record) -> bool:
    """Whether it is about the VF that has the address now: not one of an earlier boot, nor one
    before its PF was set up anew.
    """
    if record.instance not in (0, sriov.instance(record.device)):
        return False
    if records.is_of_this_boot(record):
        return True
    # a clock that was set after the boot makes the original's records look old
    holder = allocation.holder(state_dir, record.device)
    return not record.boot and bool(allocation.namespace(holder))


def _of_record(state_dir: str, record: Record) -> Owner:
    netns = record.netns or allocation.holder(state_dir, record.device)
    there = allocation.namespace(netns)
    same = there == (record.netns_id or there)
    lives = bool(there) and same
    phase = record.phase
    if phase == "done" and not lives:
        phase = STALE
    container_id, ifname = record.container_id, record.ifname
    if not ifname:  # of the original's records the file's name alone tells
        container_id, _, ifname = record.key.partition("-")
    return Owner(record.network, container_id, ifname, netns, phase, lives)


def forget(state_dir: str, devices: Iterable[str]) -> None:
    """Drop what is recorded of VFs that are gone, whose locks are held: there is nothing to
    restore, and a DEL must not do it to the next VF with that address.
    """
    gone = set(devices)
    for each in records.all_records(state_dir):
        if each.device in gone:
            records.remove(state_dir, each)
    for device in gone:
        allocation.give_back(state_dir, device)
