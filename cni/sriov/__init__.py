"""sriov: gives a virtual function of a network card to the container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni import configure
from cni.core import delegate, log, versions
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code, describe
from cni.core.types import Interface, Result
from cni.core.undo import Undo
from cni.host import announce, link, pci, sriov, vf
from cni.host.link import Link
from cni.host.rtnl import Rtnl
from cni.sriov import allocation, interface, records, settings
from cni.sriov.claim import clear_name, make_free
from cni.sriov.record import ADDING, DONE, Record
from cni.sriov.release import put_back, take_back
from cni.sriov.wish import check_keys, configure_log, named_device, parse

if TYPE_CHECKING:
    from cni.core.types import Request
    from cni.host.netns import Sandbox
    from cni.host.vf import Settings
    from cni.sriov.settings import Port
    from cni.sriov.wish import Wish


def add(req: Request) -> Result:
    configure_log(req)
    wish = parse(req)
    clear_name(req, wish.device)
    with (
        configure.open_sandbox(req) as sandbox,
        allocation.exclusive(req.state_dir, wish.device),
        Rtnl() as nl,
        Undo() as undo,
    ):
        port = settings.find_port(nl, wish.device)
        if not port.uplink.is_up:
            log.warning("the PF is down: its VFs have no carrier", pf=port.uplink.name)
        make_free(req, wish.device)
        on_host = find_interface(nl, wish.device)
        if on_host is not None:
            configure.refuse_taken_name(sandbox, req)
        before = settings.read(nl, port)
        record = snapshot(req, wish, port, before, on_host, sandbox)
        undo.push(put_back, req.state_dir, record)
        records.write(req, record)
        allocation.take(req.state_dir, port.device, req.netns)
        settings.change(nl, req.state_dir, port, wish.settings, before)
        if on_host is None:
            result = configure.addresses(req, undo)
            described = Interface(req.ifname, program_mac(record), port.uplink.mtu)
        else:
            moved = interface.move_in(nl, on_host, sandbox, req.ifname)
            moved = set_up(sandbox, moved, wish)
            result = configure.addresses(req, undo)
            give_addresses(sandbox, moved, result)
            described = Interface(req.ifname, moved.mac, moved.mtu)
        described = described._replace(sandbox=req.netns, pci_id=port.device)
        result = result._replace(interfaces=(described,))
        versions.render(result, req.cni_version)  # what could not be told must not stay
        records.set_phase(req.state_dir, record, DONE)
        undo.keep()
    return result


def find_interface(nl: Rtnl, device: str) -> Link | None:
    """The VF's interface on the host; None when the VF belongs to a program (DPDK).

    Raises CniError 7 for a VF without a driver, 11 for one whose interface is elsewhere.
    """
    if interface.is_userspace(device):
        return None
    found = interface.wait_on_host(nl, device)
    if found is None:
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f'"deviceID": VF {device} has no interface on the host',
            "it is in some network namespace, or its driver "
            f"{pci.driver(pci.PCI, device)} has not made one",
        )
    return found


def snapshot(
    req: Request, wish: Wish, port: Port, before: Settings, on_host: Link | None, sandbox: Sandbox
) -> Record:
    """The VF as it is, before anything is changed."""
    host = on_host or Link(0, "")
    return Record(
        network=req.network,
        key=records.key_of(req.container_id, req.ifname),
        device=port.device,
        container_id=req.container_id,
        ifname=req.ifname,
        phase=ADDING,
        pf=port.uplink.name,
        vf_index=port.vf_index,
        wanted=wish.settings,
        before=before,
        host_name=host.name,
        host_mac=host.mac,
        host_mtu=host.mtu,
        host_flags=host.flags,
        host_alias=host.alias,
        host_altnames=host.altnames,
        instance=sriov.instance(port.device),
        netns=req.netns,
        netns_id=sandbox.id,
        boot=records.this_boot(),
    )


def program_mac(record: Record) -> str:
    """The address that a program will find: what the PF has for the VF, if anything."""
    mac = record.wanted.mac or record.before.mac or ""
    return mac if mac.strip("0:") else ""


def set_up(sandbox: Sandbox, moved: Link, wish: Wish) -> Link:
    """MAC and MTU, and up."""
    if wish.mac:
        interface.set_mac(sandbox.nl, moved, wish.mac)
    if wish.mtu:
        vf.patiently(link.set_mtu, sandbox.nl, moved, wish.mtu)
    vf.patiently(link.set_up, sandbox.nl, moved)
    return link.get_index(sandbox.nl, moved.ifindex)


def give_addresses(sandbox: Sandbox, moved: Link, result: Result) -> None:
    """Addresses and routes, announced to neighbours that may know them by another MAC address."""
    configure.prepare(sandbox, moved.name, result)
    configure.apply(sandbox, moved, result)
    announce.announce(sandbox, moved.name, [ip.address for ip in result.ips])


def delete(req: Request) -> None:
    configure_log(req)
    attempts = Attempts()
    attempts.run(delegate.ipam_delete, req)
    attempts.run(return_vf, req)
    attempts.finish()


def return_vf(req: Request) -> None:
    record = records.of_attachment(req.state_dir, req.attachment)
    if record is None:
        forget_allocation(req)
        records.remove_unreadable(req.state_dir, records.key_of(req.container_id, req.ifname))
    elif record.network == req.network:  # else our ADD was refused because of it
        take_back(req.state_dir, record, req.netns)


def forget_allocation(req: Request) -> None:
    """Without a record only the allocation is known to be ours: it names our namespace."""
    device = named_device(req)
    if not device or not req.netns:
        return
    with allocation.exclusive(req.state_dir, device):
        others = records.of_device(req.state_dir, device)
        holder = allocation.holder(req.state_dir, device)
        if not others and holder and _same(holder, req.netns):
            allocation.give_back(req.state_dir, device)


def _same(one: str, other: str) -> bool:
    """Two paths of one namespace: /run/netns/x and /var/run/netns/x."""
    found = allocation.namespace(one)
    return one == other or (found != 0 and found == allocation.namespace(other))


def check(req: Request) -> None:
    configure_log(req)
    wish = parse(req)
    delegate.ipam_check(req)
    entry = configure.container_interface(req)
    record = records.of_attachment(req.state_dir, req.attachment)
    if record is None or record.device != wish.device:
        raise configure.failed(f"There is no record that VF {wish.device} belongs to {req.ifname}")
    check_settings(wish)
    if interface.is_expected(wish.device) != bool(record.host_name):
        driver = pci.driver(pci.PCI, wish.device) or "none"
        raise configure.failed(f"VF {wish.device} has another driver than it had: {driver}")
    if not record.host_name:
        return
    with configure.open_sandbox(req) as sandbox:
        found = configure.check_interface(sandbox, entry)
        vf_link = interface.inside(sandbox, wish.device)
        if vf_link is None or vf_link.ifindex != found.ifindex:
            raise configure.failed(f"Interface {entry.name} is not VF {wish.device}")
        if not found.is_up:
            raise configure.failed(f"Interface {entry.name} is down")
        if wish.mac not in ("", found.mac):
            raise configure.failed(f"{entry.name} has MAC address {found.mac}, not {wish.mac}")
        if wish.mtu not in (0, found.mtu):
            raise configure.failed(f"{entry.name} has MTU {found.mtu}, not {wish.mtu}")
        configure.check_addresses(sandbox, found, req.prev_result or Result())


def check_settings(wish: Wish) -> None:
    """The PF holds for the VF what the configuration wants."""
    with Rtnl() as nl:
        port = settings.find_port(nl, wish.device)
        present = settings.read(nl, port)
    for name, value in settings.contradicted(wish.settings, present).items():
        held = settings.spell(name, getattr(present, name))
        raise configure.failed(
            f"VF {port.vf_index} of {port.uplink.name} has {held}, expected"
            f" {settings.spell(name, value)}"
        )


def gc(req: Request) -> None:
    configure_log(req)
    if req.valid_attachments is None:
        return
    attempts = Attempts()
    valid = {records.key_of(*pair) for pair in req.valid_attachments}
    for record in list(records.all_records(req.state_dir)):
        if record.network == req.network and record.key not in valid:
            attempts.run(take_back, req.state_dir, record)
    for device in allocation.all_held(req.state_dir):
        attempts.run(forget_dead_allocation, req.state_dir, device)
    attempts.run(records.sweep, req.state_dir)
    attempts.run(allocation.sweep, req.state_dir)
    attempts.run(delegate.ipam_gc, req)
    attempts.finish()


def forget_dead_allocation(state_dir: str, device: str) -> None:
    """One that has no record to say more, and a namespace that is gone."""

    def is_dead() -> bool:
        return not allocation.namespace(allocation.holder(state_dir, device))

    if is_dead():  # most are not, and their locks may be held by an ADD
        with allocation.exclusive(state_dir, device):
            if is_dead() and not records.of_device(state_dir, device):
                allocation.give_back(state_dir, device)


def status(req: Request) -> None:
    """Raises CniError 50 when no record could be written, 7 for what no ADD can use."""
    configure_log(req)
    check_keys(req)
    try:
        allocation.probe(req.state_dir)
    except OSError as error:
        reason = describe(error)
        raise CniError(
            Code.NOT_AVAILABLE, f"cannot record VFs in {req.state_dir}", reason.details
        ) from None
    delegate.ipam_status(req)
