"""host-device: moves an interface of the host into the container, and back."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from cni import configure, device_record
from cni.core import delegate, log, mac, versions
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code, invalid
from cni.core.load import load
from cni.core.types import Interface, Result
from cni.core.undo import Undo
from cni.device_record import Record
from cni.host import link, netns, pci
from cni.host.rtnl import Rtnl

if TYPE_CHECKING:
    from cni.conf import HostDevice
    from cni.core.types import Request
    from cni.host.link import Link
    from cni.host.netns import Sandbox

_RETURN_WAIT = 3.0  #: seconds; a namespace that died gives its devices back a little later


def add(req: Request) -> Result:
    conf = parse(req)
    dns = versions.parse_dns(req.config.get("dns"))
    with netns.Sandbox(req.netns) as sandbox, Rtnl() as nl, Undo() as undo:
        if userspace_driver(conf):
            interface = Interface(req.ifname, sandbox=req.netns, pci_id=conf.pci_bus_id)
            result = addresses(req, undo) if delegate.ipam_type(req) else Result()
        else:
            device = find_device(nl, conf)
            refuse_taken_name(sandbox, req)
            record = describe(req, device, sandbox, conf)
            undo.push(take_back, req, record)
            device_record.write(req, record)
            moved = move_in(nl, sandbox, device, record)
            result = addresses(req, undo) if delegate.ipam_type(req) else Result()
            configure.prepare(sandbox, req.ifname, result)
            configure.apply(sandbox, moved, result)
            interface = Interface(
                req.ifname, moved.mac, moved.mtu, req.netns, pci_id=conf.pci_bus_id
            )
        undo.keep()
    return result._replace(interfaces=(interface,), dns=dns if any(dns) else result.dns)


def delete(req: Request) -> None:
    attempts = Attempts()
    attempts.run(delegate.ipam_delete, req)
    record = device_record.read(req, req.attachment)
    if record is not None:
        attempts.run(take_back, req, record)
    else:
        attempts.run(return_by_alias, req)
    attempts.finish()


def check(req: Request) -> None:
    conf = parse(req)
    delegate.ipam_check(req)
    entry = configure.container_interface(req)
    if userspace_driver(conf):
        return
    with netns.Sandbox(req.netns) as sandbox:
        found = configure.check_interface(sandbox, entry)
        if not found.is_up:
            raise configure.failed(f"Interface {entry.name} is down")
        configure.check_addresses(sandbox, found, req.prev_result or Result())


def gc(req: Request) -> None:
    if req.valid_attachments is None:
        return
    attempts = Attempts()
    for record in list(device_record.of_network(req)):
        if (record.container_id, record.ifname) not in req.valid_attachments:
            attempts.run(take_back, req, record)
    attempts.run(delegate.ipam_gc, req)
    attempts.finish()


def status(req: Request) -> None:
    delegate.ipam_status(req)


def parse(req: Request) -> HostDevice:
    """The configuration; a device of the runtime takes the place of pciBusID.

    Raises CniError 7.
    """
    conf: HostDevice = load("cni.conf:HostDevice", req.config)
    device_id = conf.runtime_config.device_id
    for key, value in (("pciBusID", conf.pci_bus_id), ("runtimeConfig.deviceID", device_id)):
        if value and not pci.is_device_id(value):
            raise invalid(f'"{key}": "{value}" is no device address')
    if device_id and pci.exists(pci.PCI, device_id):
        conf = conf.model_copy(update={"pci_bus_id": device_id})
    elif device_id and not pci.exists(pci.AUXILIARY, device_id):
        raise invalid(f'"runtimeConfig.deviceID": device {device_id} not found or unsupported')
    elif device_id:
        conf = conf.model_copy(update={"pci_bus_id": ""})
    if not (conf.device or conf.hwaddr or conf.kernelpath or conf.pci_bus_id or device_id):
        raise invalid('specify either "device", "hwaddr", "kernelpath" or "pciBusID"')
    return conf


def userspace_driver(conf: HostDevice) -> bool:
    """Whether the device belongs to a program (DPDK): there is no interface to move."""
    if conf.device or conf.hwaddr or conf.kernelpath or not conf.pci_bus_id:
        return False
    return pci.driver(pci.PCI, conf.pci_bus_id) in pci.USERSPACE_DRIVERS


def find_device(nl: Rtnl, conf: HostDevice) -> Link:
    """The device on the host: device, else hwaddr, else kernelpath, else the bus address.

    Raises CniError 7 naming the key that leads nowhere.
    """
    if conf.device:
        return _by_name(nl, conf.device, f'"device": "{conf.device}"')
    if conf.hwaddr:
        wanted = mac.parse(conf.hwaddr, "hwaddr")
        for each in link.list_links(nl):
            if each.mac == wanted:
                return each
        raise _not_found(f'"hwaddr": "{conf.hwaddr}"', "no interface has this MAC address")
    if conf.kernelpath:
        try:
            name = pci.interface_at(conf.kernelpath)
        except ValueError as error:
            raise invalid(f'"kernelpath": {error}') from None
        return _by_name(nl, name, f'"kernelpath": "{conf.kernelpath}"')
    if conf.pci_bus_id:
        names = pci.interfaces(pci.PCI, conf.pci_bus_id)
        return _by_name(nl, next(iter(names), ""), f'"pciBusID": "{conf.pci_bus_id}"')
    device_id = conf.runtime_config.device_id
    names = pci.interfaces(pci.AUXILIARY, device_id)
    return _by_name(nl, next(iter(names), ""), f'"runtimeConfig.deviceID": "{device_id}"')


def _by_name(nl: Rtnl, name: str, where: str) -> Link:
    found = link.find(nl, name) if name else None
    if found is None:
        raise _not_found(where, "no such interface on the host" if name else "it has no interface")
    return found


def _not_found(where: str, reason: str) -> CniError:
    return invalid(f"failed to find host device: {where}", reason)


def refuse_taken_name(sandbox: Sandbox, req: Request) -> None:
    if link.find(sandbox.nl, req.ifname):
        raise CniError(
            Code.INVALID_ENVIRONMENT, f'CNI_IFNAME "{req.ifname}" already exists in {req.netns}'
        )


def addresses(req: Request, undo: Undo) -> Result:
    undo.push(delegate.ipam_delete, req)  # before the call: a half-made lease goes too
    result = configure.validate(delegate.ipam_add(req))
    return result._replace(ips=tuple(ip._replace(interface=0) for ip in result.ips))


def describe(req: Request, device: Link, sandbox: Sandbox, conf: HostDevice) -> Record:
    return Record(
        *req.attachment,
        host_name=device.name,
        alias=device.alias,
        mac=device.mac,
        mtu=device.mtu,
        up=device.is_up,
        pci=device.parent_device or conf.pci_bus_id,
        kind=device.kind,
        altnames=device.altnames,
        netns=req.netns,
        netns_inode=os.fstat(sandbox.fd).st_ino,
    )


def move_in(nl: Rtnl, sandbox: Sandbox, device: Link, record: Record) -> Link:
    """Into the sandbox under its new name; the alias that tells the old one travels with it."""
    link.set_alias(nl, device, record.host_name)
    # an alternative name of the same spelling would block the new name (sriov-cni#445)
    link.drop_altnames(nl, device, (record.ifname,))
    link.move(nl, device, sandbox.fd, record.ifname)
    return link.get(sandbox.nl, record.ifname)


def take_back(req: Request, record: Record) -> None:
    """Return the device to the host as it was; where it is gone, forget it."""
    with Rtnl() as nl:
        sandbox = open_recorded(req, record)
        if sandbox is not None:
            with sandbox:
                inside = locate(sandbox.nl, record)
                if inside is not None:
                    move_out(nl, sandbox.nl, inside, record.host_name)
        outside = await_return(nl, record)
        if outside is not None:
            restore(nl, outside, record)
    device_record.remove(req, record)


def open_recorded(req: Request, record: Record) -> Sandbox | None:
    """The container's namespace: the runtime's path, or the recorded one if still the same."""
    if req.netns and (req.container_id, req.ifname) == (record.container_id, record.ifname):
        return netns.open_if_present(req.netns)
    sandbox = netns.open_if_present(record.netns)
    if sandbox is not None and os.fstat(sandbox.fd).st_ino != record.netns_inode:
        sandbox.__exit__()
        return None
    return sandbox


def locate(nl: Rtnl, record: Record) -> Link | None:
    """The device in a namespace, by bus address or alias: the name may have been changed."""
    links = link.list_links(nl)
    if record.pci:
        for each in links:
            if each.parent_device == record.pci:
                return each
    return next((each for each in links if each.alias == record.host_name), None)


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
    """The device on the host, if it still bears our mark there.

    One of a dead namespace comes back by itself, a little later and under any name. A virtual
    device (one with a kind) died with its namespace, and there is nothing to wait for.
    """
    deadline = time.monotonic() + (_RETURN_WAIT if record.pci and not record.kind else 0)
    while True:
        found = locate(nl, record)
        if found is not None:
            # unmarked under its own name: it is back already, and may have a new purpose
            ours = found.alias == record.host_name or found.name != record.host_name
            return found if ours else None
        if time.monotonic() >= deadline:
            log.info("device is not on the host", device=record.host_name)
            return None
        time.sleep(0.05)


def restore(nl: Rtnl, device: Link, record: Record) -> None:
    """Name, alias, MAC, MTU, alternative names and state as they were recorded."""
    if device.name != record.host_name:
        link.set_down(nl, device)
        link.rename(nl, device, record.host_name)
        device = device._replace(name=record.host_name, flags=device.flags & ~link.IFF_UP)
    if device.alias != record.alias:
        link.set_alias(nl, device, record.alias)
    if record.mac and device.mac != record.mac:
        link.set_mac(nl, device, record.mac)
    if record.mtu and device.mtu != record.mtu:
        link.set_mtu(nl, device, record.mtu)
    link.add_altnames(nl, device, [name for name in record.altnames if name != record.host_name])
    if record.up != device.is_up:
        (link.set_up if record.up else link.set_down)(nl, device)


def return_by_alias(req: Request) -> None:
    """A device that the original plugin moved: its alias is its name on the host."""
    sandbox = netns.open_if_present(req.netns)
    if sandbox is None:
        return
    with sandbox, Rtnl() as nl:
        inside = link.find(sandbox.nl, req.ifname)
        if inside is None or not inside.alias:
            return
        move_out(nl, sandbox.nl, inside, inside.alias)
        outside = link.get(nl, inside.alias)
        link.set_alias(nl, outside, "")
