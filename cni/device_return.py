"""The way back of a moved device: out of the container, to the host, as it was recorded."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from cni import device_record
from cni.core import log, names, signals
from cni.host import link, netns
from cni.host.rtnl import Rtnl

if TYPE_CHECKING:
    from cni.core.types import Request
    from cni.device_record import Record
    from cni.host.link import Link
    from cni.host.netns import Sandbox

_RETURN_WAIT = 3.0  #: seconds; a namespace that died gives its devices back a little later


def take_back(req: Request, record: Record) -> None:
    """Return the device to the host as it was; where it is gone, forget it."""
    with Rtnl() as nl:
        sandbox = open_recorded(req, record)
        if sandbox is not None:
            with sandbox:
                inside = find_inside(sandbox.nl, record)
                if inside is not None:
                    move_out(nl, sandbox.nl, inside, record.host_name)
        outside = await_return(nl, record)
        if outside is not None:
            restore(nl, outside, record)
    device_record.remove(req, record.attachment)


def open_recorded(req: Request, record: Record) -> Sandbox | None:
    """The container's namespace: the runtime's path, or the recorded one if still the same."""
    if req.netns and (req.container_id, req.ifname) == (record.container_id, record.ifname):
        return netns.open_if_present(req.netns)
    sandbox = netns.open_if_present(record.netns)
    if sandbox is not None and os.fstat(sandbox.fd).st_ino != record.netns_inode:
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


def await_return(nl: Rtnl, record: Record) -> Link | None:
    """The device on the host; one of a namespace that died comes a little later."""
    deadline = time.monotonic() + (_RETURN_WAIT if record.pci and not record.kind else 0)
    while True:
        links = link.list_links(nl)
        if found := find_returned(links, record):
            return found
        if any(each.name == record.host_name and _same_pci(each, record) for each in links):
            return None  # back already, and may have a new purpose
        if time.monotonic() >= deadline:
            log.info("device is not on the host", device=record.host_name)
            return None
        signals.sleep(0.05)


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
