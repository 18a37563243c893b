"""The VF's interface: find it wherever it is, give it its MAC address, bring it home."""

from __future__ import annotations

import errno
import os
import time
from itertools import count
from typing import TYPE_CHECKING, ParamSpec

from cni.core import log, signals
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code, invalid
from cni.host import ethtool, link, pci, vf

if TYPE_CHECKING:
    from collections.abc import Callable

    from cni.host.link import Link
    from cni.host.netns import Sandbox
    from cni.host.rtnl import Rtnl
    from cni.sriov.record import Record

P = ParamSpec("P")

IFF_ALLMULTI = 0x200
#: what a pod may set, and the VF keeps on its way back
_KEPT_FLAGS = link.IFF_PROMISC | IFF_ALLMULTI

_APPEAR_WAIT = 2.0  #: seconds; a driver that was just bound, sriov-cni#178
_MAC_WAIT = 5.0  #: seconds
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


def inside(sandbox: Sandbox, device: str) -> Link | None:
    """The VF's interface in a namespace, whatever it is called there."""
    links = link.list_links(sandbox.nl)
    for each in links:
        if each.parent_device == device:
            return each
    with sandbox.entered():  # a kernel before 5.14
        untold = (each for each in links if not (each.kind or each.parent_device))
        return next((each for each in untold if ethtool.bus_address(each.name) == device), None)


def set_mac(nl: Rtnl, interface: Link, mac: str, or_else: str = "") -> None:
    """Give the interface, which is down, the MAC address that the PF has for its VF.

    A VF that knows of it already has it (iavf), lets it be set (mlx5), or refuses even that one
    until it has been reset, which happens when it goes down (igbvf). One that insists on
    `or_else`, the PF's address, may keep that.
    """
    deadline = time.monotonic() + _MAC_WAIT
    refusal: Exception | None = None
    while (present := link.get_index(nl, interface.ifindex).mac) != mac:
        if refusal is not None and present == or_else:
            log.warning("the VF keeps the PF's MAC address", wanted=mac, mac=present)
            return
        if refusal is not None and time.monotonic() > deadline:
            raise refusal
        try:
            vf.patiently(link.set_mac, nl, interface, mac)
        except OSError as error:
            if error.errno not in _NOT_YET:
                raise
            refusal = error
            vf.patiently(link.set_up, nl, interface)
            link.set_down(nl, interface)
        else:
            refusal = CniError(
                Code.KERNEL_REFUSED,
                f'"{interface.name}" does not take the MAC address {mac}',
                "the driver accepted it, and shows another",
            )
            signals.sleep(0.01)


def offer_mac(nl: Rtnl, interface: Link, mac: str) -> None:
    """Give the interface a MAC address if it may choose one itself: it is trusted, or its PF has
    none for it.
    """
    try:
        link.set_mac(nl, interface, mac)
    except OSError as error:
        log.info("MAC address refused", interface=interface.name, mac=mac, reason=error)


def move_in(nl: Rtnl, device: Link, sandbox: Sandbox, name: str) -> Link:
    """From the host to a namespace. It arrives down, and without its alternative names: one that
    another has there would stop it (sriov-cni#445).
    """
    link.drop_altnames(nl, device, device.altnames)
    link.move(nl, device, sandbox.fd, name)
    return link.get(sandbox.nl, name)


def bring_out(nl: Rtnl, sandbox: Sandbox, record: Record) -> None:
    """From a namespace to the host: under its own name or, when that is taken, under a free one."""
    found = inside(sandbox, record.device)
    if found is None:
        return
    link.set_down(sandbox.nl, found)
    known = record.host_altnames is not None  # and so can be given back
    names = found.altnames if known else _foreign_altnames(found, record)
    link.drop_altnames(sandbox.nl, found, names)
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        link.move(sandbox.nl, found, own, _free_name(nl, record))
    finally:
        os.close(own)


def _foreign_altnames(device: Link, record: Record) -> list[str]:
    """Those that it got in the pod; where that is not known, those that are in the way."""
    known, in_the_way = record.host_altnames, (record.host_name, record.ifname)
    return [
        name
        for name in device.altnames
        if name in in_the_way or (known is not None and name not in known)
    ]


def _free_name(nl: Rtnl, record: Record, device: Link | None = None) -> str:
    """The recorded name; where another interface of the host has it, one made from it.

    What `device`, the VF's interface if it is on the host, has itself is free for it.
    """

    def is_free(name: str) -> bool:
        found = link.find(nl, name)
        return found is None or (device is not None and found.ifindex == device.ifindex)

    wanted = record.host_name
    if is_free(wanted):
        return wanted
    stem = wanted.encode()[:10].decode(errors="ignore")
    name = next(filter(is_free, (f"{stem}_{n}" for n in count(1))))
    log.warning("the name of the VF is taken", wanted=wanted, name=name, device=record.device)
    return name


def restore(nl: Rtnl, device: Link, record: Record) -> None:
    """Name, MAC, MTU, flags, alternative names, alias and state as they were recorded."""
    attempts = Attempts()
    device = link.get_index(nl, device.ifindex)
    attempts.run(link.drop_altnames, nl, device, _foreign_altnames(device, record))
    name = _free_name(nl, record, device)
    needs_mac = bool(record.host_mac) and device.mac != record.host_mac
    if device.is_up and (device.name != name or needs_mac or not record.host_flags & link.IFF_UP):
        attempts.run(link.set_down, nl, device)
        device = device._replace(flags=device.flags & ~link.IFF_UP)
    if device.name != name and attempts.run(link.rename, nl, device, name):
        device = device._replace(name=name)
    if record.host_mac:  # it may have taken the PF's when it went down
        attempts.run(set_mac, nl, device, record.host_mac, or_else=record.before.mac or "")
    if record.host_mtu and device.mtu != record.host_mtu:
        attempts.run(vf.patiently, link.set_mtu, nl, device, record.host_mtu)
    if record.host_altnames is not None:  # the original's records tell no more
        changed = (device.flags ^ record.host_flags) & _KEPT_FLAGS
        if changed:
            attempts.run(link.set_flags, nl, device, record.host_flags, changed, "restore flags of")
        _restore_labels(nl, device, record, attempts)
    if record.host_flags & link.IFF_UP and not device.is_up:
        attempts.run(vf.patiently, link.set_up, nl, device)
    attempts.finish()


def _restore_labels(nl: Rtnl, device: Link, record: Record, attempts: Attempts) -> None:
    """Alias and alternative names."""
    if device.alias != record.host_alias:
        attempts.run(_label, link.set_alias, nl, device, record.host_alias)
    for name in record.host_altnames or ():
        if link.find(nl, name) is None:
            attempts.run(_label, link.add_altnames, nl, device, [name])


def _label(step: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Nothing depends on a label: one that can never be had does not keep the VF."""
    try:
        step(*args, **kwargs)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.EINVAL, errno.ERANGE, errno.EOPNOTSUPP):
            raise
        log.warning("label not restored", reason=error)
