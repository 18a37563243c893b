"""host-device: moves an interface of the host into the container, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni import configure, device_record
from cni.core import delegate, log, mac, versions
from cni.core.attempts import Attempts
from cni.core.errors import invalid
from cni.core.load import load
from cni.core.types import Interface, Result
from cni.core.undo import Undo
from cni.device_record import Record
from cni.device_return import return_by_alias, take_back
from cni.host import link, pci
from cni.host.rtnl import Rtnl

if TYPE_CHECKING:
    from cni.conf import HostDevice
    from cni.core.errors import CniError
    from cni.core.types import Request
    from cni.host.link import Link
    from cni.host.netns import Sandbox


def add(req: Request) -> Result:
    conf = parse(req)
    dns = versions.parse_dns(req.config.get("dns"))
    with configure.open_sandbox(req) as sandbox, Rtnl() as nl, Undo() as undo:
        if userspace_driver(conf):
            interface = Interface(req.ifname, sandbox=req.netns, pci_id=conf.pci_bus_id)
            result = configure.addresses(req, undo)
        else:
            moved = take(req, conf, nl, sandbox, undo)
            result = configure.addresses(req, undo)
            configure.prepare(sandbox, req.ifname, result)
            configure.apply(sandbox, moved, result)
            interface = Interface(
                req.ifname, moved.mac, moved.mtu, req.netns, pci_id=conf.pci_bus_id
            )
        result = result._replace(interfaces=(interface,), dns=dns if any(dns) else result.dns)
        versions.render(result, req.cni_version)  # what could not be told must not stay
        undo.keep()
    return result


def delete(req: Request) -> None:
    attempts = Attempts()
    attempts.run(delegate.ipam_delete, req)
    record = device_record.read(req, req.attachment)
    if record is not None and record.network != req.network:
        # our ADD was refused because of it
        log.warning("the interface is of another network", network=record.network)
    elif record is not None:
        attempts.run(take_back, req, record)
    elif attempts.run(return_by_alias, req):
        attempts.run(device_record.remove_unreadable, req)
    attempts.finish()


def check(req: Request) -> None:
    conf = parse(req)
    delegate.ipam_check(req)
    entry = configure.container_interface(req)
    if userspace_driver(conf):
        return
    with configure.open_sandbox(req) as sandbox:
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
    attempts.run(device_record.sweep, req)
    attempts.run(delegate.ipam_gc, req)
    attempts.finish()


def status(req: Request) -> None:
    """Raises CniError 7 for keys that no ADD can use; the device may come with the pod."""
    load("cni.conf:HostDevice", req.config)
    delegate.ipam_status(req)


def parse(req: Request) -> HostDevice:
    """The configuration with one choice of device: the runtime's takes the place of pciBusID.

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
    if conf.device or conf.hwaddr or conf.kernelpath:
        return conf.model_copy(update={"pci_bus_id": ""})
    if not (conf.pci_bus_id or device_id):
        raise invalid('specify either "device", "hwaddr", "kernelpath" or "pciBusID"')
    return conf


def userspace_driver(conf: HostDevice) -> bool:
    """Whether the device belongs to a program (DPDK): there is no interface to move."""
    return bool(conf.pci_bus_id) and (pci.driver(pci.PCI, conf.pci_bus_id) in pci.USERSPACE_DRIVERS)


def find_device(nl: Rtnl, conf: HostDevice) -> Link:
    """The device on the host: device, else hwaddr, else kernelpath, else the bus address.

    Raises CniError 7 naming the key that leads nowhere.
    """
    if conf.device:
        return _by_name(nl, conf.device, f'"device": "{conf.device}"')
    if conf.hwaddr:
        wanted = mac.parse(conf.hwaddr, "hwaddr")
        found = [each for each in link.list_links(nl) if each.mac == wanted]
        if not found:
            raise _not_found(f'"hwaddr": "{conf.hwaddr}"', "no interface has this MAC address")
        # a bridge or a VLAN above the device has the same
        return min(found, key=lambda each: bool(each.kind))
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


def take(req: Request, conf: HostDevice, nl: Rtnl, sandbox: Sandbox, undo: Undo) -> Link:
    """Find the device, record what it is like, and move it in.

    One call at a time: of two that found the same device the later would replace the record of
    the earlier, which alone is right.
    """
    with device_record.exclusive(req):
        device = find_device(nl, conf)
        configure.refuse_taken_name(sandbox, req)
        record = describe(req, device, sandbox, conf)
        undo.push(take_back, req, record)
        device_record.write(req, record)
        return move_in(nl, sandbox, device, record)


def describe(req: Request, device: Link, sandbox: Sandbox, conf: HostDevice) -> Record:
    return Record(
        *req.attachment,
        host_name=device.name,
        alias=device.alias,
        mac=device.mac,
        mtu=device.mtu,
        up=device.is_up,
        pci=device.parent_device or pci.bus_address(device.name) or conf.pci_bus_id,
        kind=device.kind,
        altnames=device.altnames,
        netns=req.netns,
        netns_id=sandbox.id,
    )


def move_in(nl: Rtnl, sandbox: Sandbox, device: Link, record: Record) -> Link:
    """Into the sandbox under its new name; the alias that tells the old one travels with it."""
    link.set_alias(nl, device, record.host_name)
    # an alternative name of the same spelling would block the new name (sriov-cni#445)
    link.drop_altnames(nl, device, (record.ifname,))
    link.move(nl, device, sandbox.fd, record.ifname)
    return link.get(sandbox.nl, record.ifname)
