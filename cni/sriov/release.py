"""The way back of a VF: its settings on the PF, its interface on the host, its allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import log
from cni.core.attempts import Attempts
from cni.host import netns, sriov
from cni.host.rtnl import Rtnl
from cni.sriov import allocation, interface, records, settings
from cni.sriov.record import ORPHAN

if TYPE_CHECKING:
    from cni.sriov.record import Record

_RETURN_WAIT = 3.0  #: seconds; a namespace that died gives its devices back a little later


def take_back(state_dir: str, record: Record, netns_path: str = "") -> None:
    """Restore the VF and forget the attachment, unless another has the VF by now.

    `netns_path` is where the runtime says that the VF is; else the record knows. Raises what
    failed, after everything was tried; the record stays then.
    """
    with allocation.exclusive(state_dir, record.device):
        current = records.read(state_dir, record.key)
        if current is None or current.device != record.device:
            return  # another call was faster
        if is_owner(state_dir, current, netns_path):
            release(state_dir, current, netns_path)
        else:
            log.info("the VF has another owner", device=current.device)
            records.remove(state_dir, current)


def is_owner(state_dir: str, record: Record, netns_path: str = "") -> bool:
    """Whether the VF is still this record's, and not a later attachment's (sriov-cni#219)."""
    newest = records.of_device(state_dir, record.device)[:1]
    if newest and newest[0].key != record.key:
        return False
    holder, ours = allocation.holder(state_dir, record.device), record.netns or netns_path
    if not holder or not ours or holder == ours:
        return True
    return allocation.inode(holder) in (0, record.netns_inode)


def release(state_dir: str, record: Record, netns_path: str = "") -> None:
    """Restore the VF, whose lock is held; drop record and allocation when that is done.

    An interface that is nowhere to be seen, in a namespace that the pod made, say, leaves an
    orphan: its record stays for whoever finds it back on the host.
    """
    home = True
    if not records.is_of_this_boot(record) or not sriov.physical_function(record.device):
        log.info("the VF is another or gone", device=record.device)
    else:
        attempts = Attempts()
        with Rtnl() as nl:
            attempts.run(_restore_settings, nl, state_dir, record)
            home = bool(attempts.value(_bring_home, nl, state_dir, record, netns_path))
        attempts.finish()
    allocation.give_back(state_dir, record.device)
    if home:
        records.remove(state_dir, record)
    else:
        log.warning("the VF has not come back to the host", device=record.device)
        records.set_phase(state_dir, record, ORPHAN)


def _restore_settings(nl: Rtnl, state_dir: str, record: Record) -> None:
    settings.restore(nl, state_dir, settings.find_port(nl, record.device), record.restored)


def _bring_home(nl: Rtnl, state_dir: str, record: Record, netns_path: str) -> bool:
    """Whether the interface is on the host, as it was; true for a VF that has none."""
    if not record.host_name or not interface.is_expected(record.device):
        return True
    for path in _namespaces(state_dir, record, netns_path):
        sandbox = netns.open_if_present(path)
        if sandbox is not None:
            with sandbox:
                interface.bring_out(nl, sandbox, record)
    found = interface.wait_on_host(nl, record.device, seconds=_RETURN_WAIT)
    if found is None:
        return False
    interface.restore(nl, found, record)
    return True


def _namespaces(state_dir: str, record: Record, netns_path: str) -> list[str]:
    """Where the VF may be: where the runtime says, and where it was moved to."""
    recorded = record.netns or allocation.holder(state_dir, record.device)
    if record.netns_inode and allocation.inode(recorded) != record.netns_inode:
        recorded = ""  # another namespace by now
    return [path for path in dict.fromkeys((netns_path, recorded)) if path]
