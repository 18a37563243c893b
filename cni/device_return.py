"""The way back of a moved device: out of the container, to the host, as it was recorded."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from cni import device_record
from cni.core import log, names, signals
from cni.core.errors import CniError, Code
from cni.host import link, netns, pci
from cni.host.rtnl import Rtnl

if TYPE_CHECKING:
    from cni.core.types import Request
    from cni.device_record import Record
    from cni.host.link import Link
    from cni.host.netns import Sandbox

_RETURN_WAIT = 3.0  #: seconds; a namespace that died gives its devices back a little later


def take_back(req: Request, record: Record) -> None:
    """Return the device to the host as it was; where it is gone, forget it.

    Raises CniError 11, and keeps the record, while it is not known where the device is.
    """
    with Rtnl() as nl:
        with device_record.exclusive(req):
            bring_out(req, nl, record)
            settled = settle(req, nl, record)
        deadline = time.monotonic() + _RETURN_WAIT
        while not settled and _may_come(record) and time.monotonic() < deadline:
            signals.sleep(0.05)  # a namespace that died gives the device back a little later
            with device_record.exclusive(req):
                settled = settle(req, nl, record)
    if not settled:
        refuse_to_forget(record)
    device_record.remove(req, record.attachment)


def _may_come(record: Record) -> bool:
    """A virtual device dies with its namespace; one on a bus comes, unless a program has it."""
    return not record.kind and (pci.is_away(record.pci) or not pci.is_listed(record.pci))


def bring_out(req: Request, nl: Rtnl, record: Record) -> None:
    sandbox = open_recorded(req, record)
    if sandbox is None:
        return
    with sandbox:
        inside = find_inside(sandbox.nl, record)
        if inside is not None:
            move_out(nl, sandbox.nl, inside, record.host_name)


def settle(req: Request, nl: Rtnl, record: Record) -> bool:
    """Restore the device if it is on the host; whether there is nothing more to do for it."""
    links = _host_links(nl)
    if found := find_returned(links, record):
        restore(nl, found, record)
        return True
    if any(_is_home(each, record) for each in links):
        return True  # back already, and may have a new purpose
    return not device_record.is_current(req, record)  # another pod has it


def refuse_to_forget(record: Record) -> None:
    """Raises CniError 11 for a device that exists, and so is still to come."""
    if not record.kind and pci.is_away(record.pci):
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f'device "{record.host_name}" is not back from the container yet',
            f"device {record.pci} has no interface on the host",
        )
    log.info("device is not on the host", device=record.host_name)


def open_recorded(req: Request, record: Record) -> Sandbox | None:
    """The container's namespace: the runtime's path, or the recorded one if still the same."""
    if req.netns and (req.container_id, req.ifname) == (record.container_id, record.ifname):
        return netns.open_if_present(req.netns)
    sandbox = netns.open_if_present(record.netns)
    if sandbox is not None and sandbox.id != record.netns_id:
        sandbox.__exit__()
        return None
    return sandbox


def find_inside(nl: Rtnl, record: Record) -> Link | None:
    """The device in the container: its name, its alias or its MAC may have been changed there."""

    def likeness(each: Link) -> tuple[bool, bool, bool]:
        same_name = each.name in (record.ifname, record.host_name)
        return each.alias == record.host_name, same_name, each.mac == record.mac

    candidates = [
        each
        for each in link.list_links(nl)
        if each.alias == record.host_name or (_same_pci(each, record) and any(likeness(each)))
    ]
    return max(candidates, key=likeness, default=None)


def find_returned(links: list[Link], record: Record) -> Link | None:
    """The device on the host, if it still bears our mark.

    The kernel gives a device of a dead namespace back under any name. It has no kind: a virtual
    one, a veth or a VLAN, would have died.
    """

    def ours(each: Link) -> bool:
        if each.alias == record.host_name:
            return each.name == record.host_name or each.kind == record.kind == ""
        return (
            _same_pci(each, record)
            and each.mac == record.mac
            and each.name != record.host_name  # unmarked under its name: it is back already
        )

    return next(filter(ours, links), None)


def _same_pci(each: Link, record: Record) -> bool:
    """A card may have several ports, and so devices, at one address."""
    return bool(record.pci) and each.parent_device == record.pci


def move_out(nl: Rtnl, sandbox_nl: Rtnl, inside: Link, host_name: str) -> None:
    """Raises FileExistsError, and leaves the device where it is, when its host name is taken."""
    if link.find(nl, host_name):
        error = FileExistsError(17, f'the host has another interface "{host_name}"')
        error.add_note(f'move "{inside.name}" back to the host')
        raise error
    link.set_down(sandbox_nl, inside)
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        link.move(sandbox_nl, inside, own, host_name)
    finally:
        os.close(own)


def _host_links(nl: Rtnl) -> list[Link]:
    """The host's links, with the address that kernels before 5.14 show in sysfs alone."""
    return [
        each
        if each.kind or each.parent_device
        else each._replace(parent_device=pci.bus_address(each.name))
        for each in link.list_links(nl)
    ]


def _is_home(each: Link, record: Record) -> bool:
    same_device = (each.kind, each.parent_device) == (record.kind, record.pci)
    return each.name == record.host_name and same_device


def restore(nl: Rtnl, device: Link, record: Record) -> None:
    """Name, MAC, MTU, alternative names, state and alias as they were recorded."""
    if device.name != record.host_name:
        link.set_down(nl, device)
        link.rename(nl, device, record.host_name)
        device = device._replace(name=record.host_name, flags=device.flags & ~link.IFF_UP)
    if record.mac and device.mac != record.mac:
        link.set_mac(nl, device, record.mac)
    if record.mtu and device.mtu != record.mtu:
        link.set_mtu(nl, device, record.mtu)
    link.add_altnames(nl, device, [name for name in record.altnames if name != record.host_name])
    if record.up != device.is_up:
        (link.set_up if record.up else link.set_down)(nl, device)
    # last: as long as our mark is on it, the next DEL knows that there is something to do
    if device.alias != record.alias:
        link.set_alias(nl, device, record.alias)


def return_by_alias(req: Request) -> None:
    """A device that the original plugin moved: its alias is its name on the host."""
    sandbox = netns.open_if_present(req.netns)
    if sandbox is None:
        return
    with sandbox, Rtnl() as nl:
        inside = link.find(sandbox.nl, req.ifname)
        if inside is None or names.ifname_fault(inside.alias):
            return
        move_out(nl, sandbox.nl, inside, inside.alias)
        outside = link.get(nl, inside.alias)
        link.set_alias(nl, outside, "")
