"""Whose a VF is: from records and allocation files of the sriov plugin, ours or the original's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.sriov import allocation, records

if TYPE_CHECKING:
    from cni.sriov.record import Record

STALE = "stale"  #: the namespace is gone, or the machine was restarted, and nothing was undone
ALLOCATED = "allocated"  #: there is a file that says so, and no record of what the VF was


class Owner(NamedTuple):
    """An attachment that has a VF, or had it and did not give it back."""

    network: str
    container_id: str
    ifname: str
    netns: str  #: path
    phase: str  #: adding, done, orphan, stale, allocated
    lives: bool  #: its namespace is there

    def __str__(self) -> str:
        name = "/".join(filter(None, (self.network, self.container_id, self.ifname)))
        return name or self.netns


def all_owners(state_dir: str) -> dict[str, Owner]:
    """The owner of each VF that has one, by the VF's PCI address."""
    newest: dict[str, Record] = {}
    for each in sorted(records.all_records(state_dir), key=lambda each: each.written):
        newest[each.device] = each
    found = {device: _of_record(state_dir, record) for device, record in newest.items()}
    for device in allocation.all_held(state_dir):
        if device not in found:
            netns = allocation.holder(state_dir, device)
            lives = bool(allocation.namespace(netns))
            found[device] = Owner("", "", "", netns, ALLOCATED if lives else STALE, lives)
    return found


def _of_record(state_dir: str, record: Record) -> Owner:
    netns = record.netns or allocation.holder(state_dir, record.device)
    there = allocation.namespace(netns)
    same = there == (record.netns_id or there)
    lives = bool(there) and same and records.is_of_this_boot(record)
    phase = record.phase
    if phase == "done" and not lives:
        phase = STALE
    container_id, ifname = record.container_id, record.ifname
    if not ifname:  # of the original's records the file's name alone tells
        container_id, _, ifname = record.key.partition("-")
    return Owner(record.network, container_id, ifname, netns, phase, lives)


def forget(state_dir: str, device: str) -> None:
    """Drop what is recorded of a VF that is gone, whose lock is held: there is nothing to restore,
    and a DEL must not do it to the next VF with that address.
    """
    for each in records.of_device(state_dir, device):
        records.remove(state_dir, each)
    allocation.give_back(state_dir, device)
