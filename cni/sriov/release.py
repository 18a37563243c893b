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
    from cni.host.link import Link
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
            put_back(state_dir, current, netns_path)
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
    # another spelling of the same path, or what another left
    return allocation.namespace(holder) in (0, record.netns_id or allocation.namespace(ours))


def put_back(state_dir: str, record: Record, netns_path: str = "") -> None:
    """Restore the VF, whose lock is held; drop record and allocation when that is done.

    An interface that is nowhere to be seen, in a namespace that the pod made, say, leaves an
    orphan: its record stays for whoever finds it back on the host.
    """
    home = True
    if _is_there(state_dir, record):
        with Rtnl() as nl:
            home = _restore(nl, state_dir, record, netns_path)
    else:
        log.info("the VF is another or gone", device=record.device)
    allocation.give_back(state_dir, record.device)
    if home:
        records.remove(state_dir, record)
    else:
        log.warning("the VF has not come back to the host", device=record.device)
        records.set_phase(state_dir, record, ORPHAN)


def _is_there(state_dir: str, record: Record) -> bool:
    """Whether it is still the VF that it was: not of an earlier boot, nor of a PF set up anew."""
    if record.instance not in (0, sriov.instance(record.device)):
        return False
    if not records.is_of_this_boot(record):
        # a clock that was set after the boot makes the original's records look old
        holder = allocation.holder(state_dir, record.device)
        if record.boot or not allocation.namespace(holder):
            return False
    return bool(sriov.physical_function(record.device))


def _restore(nl: Rtnl, state_dir: str, record: Record, netns_path: str) -> bool:
    """Whether the VF is home, and as it was.

    The PF keeps its settings as long as the interface is elsewhere: without its VLAN, say, the pod
    would be on another network.
    """
    on_host = None
    if record.host_name and interface.is_expected(record.device):
        on_host = _bring_home(nl, state_dir, record, netns_path)
        if on_host is None:
            return False
        if record.wanted.mac is None and record.host_mac not in ("", on_host.mac):
            # as long as it is trusted. To set it on the PF would be more than the value: some
            # drivers (igb, i40e) forbid the VF to change it ever after
            interface.offer_mac(nl, on_host, record.host_mac)
    attempts = Attempts()
    attempts.run(_restore_settings, nl, state_dir, record)
    if on_host is not None:
        attempts.run(interface.restore, nl, on_host, record)
    attempts.finish()
    return True


def _restore_settings(nl: Rtnl, state_dir: str, record: Record) -> None:
    settings.restore(nl, state_dir, settings.find_port(nl, record.device), record.restored)


def _bring_home(nl: Rtnl, state_dir: str, record: Record, netns_path: str) -> Link | None:
    """The interface on the host, once it is there."""
    for path in _namespaces(state_dir, record, netns_path):
        sandbox = netns.open_if_present(path)
        if sandbox is not None:
            with sandbox:
                interface.bring_out(nl, sandbox, record)
    return interface.wait_on_host(nl, record.device, seconds=_RETURN_WAIT)


def _namespaces(state_dir: str, record: Record, netns_path: str) -> list[str]:
    """Where the VF may be: where the runtime says, and where it was moved to."""
    recorded = record.netns or allocation.holder(state_dir, record.device)
    if record.netns_id and allocation.namespace(recorded) != record.netns_id:
        recorded = ""  # another namespace by now
    return [path for path in dict.fromkeys((netns_path, recorded)) if path]
