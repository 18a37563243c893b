"""The VF's interface: find it wherever it is, give it its MAC address, bring it home."""

from __future__ import annotations

import errno
import os
import time
from itertools import count
from typing import TYPE_CHECKING

from cni.core import log, signals
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code, invalid
from cni.host import link, pci, vf

if TYPE_CHECKING:
    from cni.host.link import Link
    from cni.host.netns import Sandbox
    from cni.host.rtnl import Rtnl
    from cni.sriov.record import Record

IFF_ALLMULTI = 0x200
#: what a pod may set, and the VF keeps on its way back
_KEPT_FLAGS = link.IFF_PROMISC | IFF_ALLMULTI

_APPEAR_WAIT = 2.0  #: seconds; a driver that was just bound, sriov-cni#178
_MAC_WAIT = 2.0  #: seconds
#: how drivers say that a VF may have no other address than the PF gave it, or not yet
_NOT_YET = (errno.EADDRNOTAVAIL, errno.EPERM, errno.EACCES, errno.EBUSY, errno.EAGAIN)


def is_userspace(device: str) -> bool:
    """Whether a program drives the VF (DPDK): it has no interface.

    Raises CniError 7 for a VF that nobody drives.
    """
    driver = pci.driver(pci.PCI, device)
    if not driver:
        raise invalid(f'"deviceID": "{device}" has no driver')
    return _drives_for_programs(driver)


def is_expected(device: str) -> bool:
    """Whether the VF has an interface somewhere: the kernel drives it."""
    driver = pci.driver(pci.PCI, device)
    return bool(driver) and not _drives_for_programs(driver)


def _drives_for_programs(driver: str) -> bool:
    # a card may have its own variant: mlx5_vfio_pci
    return driver in pci.USERSPACE_DRIVERS or "vfio" in driver


def on_host(nl: Rtnl, device: str) -> Link | None:
    names = pci.interfaces(pci.PCI, device)
    return link.find(nl, names[0]) if names else None


def wait_on_host(nl: Rtnl, device: str, seconds: float = _APPEAR_WAIT) -> Link | None:
    """The VF's interface on the host; None when it has not come within `seconds`."""
    deadline = time.monotonic() + seconds
    while (found := on_host(nl, device)) is None and time.monotonic() < deadline:
        signals.sleep(0.05)
    return found


def inside(sandbox: Sandbox, record: Record) -> Link | None:
    """The VF's interface in a namespace, whatever it is called there.

    Kernels before 5.14 do not tell the device: there it has its name and its MAC address.
    """
    links = link.list_links(sandbox.nl)
    found = next((each for each in links if each.parent_device == record.device), None)
    names, macs = (record.ifname, record.host_name), (record.wanted.mac, record.host_mac)
    alike = (
        each
        for each in links
        if not (each.parent_device or each.kind) and each.name in names and each.mac in macs
    )
    return found or next(alike, None)


def set_mac(nl: Rtnl, interface: Link, mac: str) -> None:
    """Give the interface, which is down, the MAC address that the PF has for its VF.

    A VF that knows of it already has it (iavf), lets it be set (mlx5), or refuses even that one
    until it has been reset, which happens when it goes down (igbvf).
    """
    deadline = time.monotonic() + _MAC_WAIT
    while link.get_index(nl, interface.ifindex).mac != mac:
        try:
            vf.patiently(link.set_mac, nl, interface, mac)
        except OSError as error:
            if error.errno not in _NOT_YET or time.monotonic() > deadline:
                raise
            vf.patiently(link.set_up, nl, interface)
            link.set_down(nl, interface)
            continue
        if time.monotonic() > deadline:
            raise CniError(
                Code.KERNEL_REFUSED,
                f'"{interface.name}" does not take the MAC address {mac}',
                "the driver accepted it, and shows another",
            )
        signals.sleep(0.01)


def bring_out(nl: Rtnl, sandbox: Sandbox, record: Record) -> None:
    """From a namespace to the host: under its own name or, when that is taken, under a free one."""
    found = inside(sandbox, record)
    if found is None:
        return
    link.set_down(sandbox.nl, found)
    _drop_foreign_altnames(sandbox.nl, found, record)  # the host may have such a name
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        link.move(sandbox.nl, found, own, _free_name(nl, record))
    finally:
        os.close(own)


def _free_name(nl: Rtnl, record: Record) -> str:
    """The recorded name; where another interface of the host has it, one made from it."""
    wanted = record.host_name
    if link.find(nl, wanted) is None:
        return wanted
    stem = wanted.encode()[:10].decode(errors="ignore")
    name = next(name for n in count(1) if link.find(nl, name := f"{stem}_{n}") is None)
    log.warning("the name of the VF is taken", wanted=wanted, name=name, device=record.device)
    return name


def _drop_foreign_altnames(nl: Rtnl, device: Link, record: Record) -> None:
    """Those that it got in the pod; where that is not known, those that would be in the way."""
    known = record.host_altnames
    in_the_way = {record.host_name, record.ifname}
    foreign = in_the_way if known is None else {*in_the_way, *device.altnames} - {*known}
    link.drop_altnames(nl, device, sorted(foreign))


def restore(nl: Rtnl, device: Link, record: Record) -> None:
    """Name, MAC, MTU, flags, alternative names, alias and state as they were recorded."""
    attempts = Attempts()
    attempts.run(_drop_foreign_altnames, nl, device, record)
    needs_mac = bool(record.host_mac) and device.mac != record.host_mac
    needs_name = device.name != record.host_name
    if device.is_up and (needs_name or needs_mac or not record.host_flags & link.IFF_UP):
        attempts.run(link.set_down, nl, device)
        device = device._replace(flags=device.flags & ~link.IFF_UP)
    if needs_name:
        name = _free_name(nl, record)
        attempts.run(link.rename, nl, device, name)
        device = device._replace(name=name)
    if needs_mac:
        attempts.run(set_mac, nl, device, record.host_mac)
    if record.host_mtu and device.mtu != record.host_mtu:
        attempts.run(link.set_mtu, nl, device, record.host_mtu)
    if record.host_altnames is not None:
        _restore_more(nl, device, record, attempts)
    if record.host_flags & link.IFF_UP and not device.is_up:
        attempts.run(vf.patiently, link.set_up, nl, device)
    attempts.finish()


def _restore_more(nl: Rtnl, device: Link, record: Record, attempts: Attempts) -> None:
    """What the original's records do not tell."""
    changed = (device.flags ^ record.host_flags) & _KEPT_FLAGS
    if changed:
        attempts.run(link.set_flags, nl, device, record.host_flags, changed, "restore flags of")
    if device.alias != record.host_alias:
        attempts.run(link.set_alias, nl, device, record.host_alias)
    for name in record.host_altnames or ():
        if link.find(nl, name) is None:
            attempts.run(link.add_altnames, nl, device, [name])
