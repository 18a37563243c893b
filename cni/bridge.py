"""bridge: a veth pair per container, its host end a port of a Linux bridge."""

from __future__ import annotations

import hashlib
import ipaddress
from contextlib import nullcontext
from typing import TYPE_CHECKING

from cni import bridge_gateway, configure
from cni.core import args, delegate, log, mac, names, versions
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code, invalid
from cni.core.load import load
from cni.core.types import Attachment, Interface, Result
from cni.core.undo import Undo
from cni.host import address, link, masquerade, netns, spoofcheck, veth
from cni.host import bridge as linux_bridge
from cni.host.rtnl import Rtnl
from cni.store.lock import locked

if TYPE_CHECKING:
    from cni.conf import Bridge, Trunk
    from cni.core.types import Request
    from cni.host.link import Link
    from cni.host.netns import Sandbox


#: of CNI_ARGS; what asks for an address is for the IPAM plugin, which sees them too
KNOWN_ARGS = ("MAC", "IP", "GATEWAY")


def add(req: Request) -> Result:
    conf = parse(req)
    mac_address = wanted_mac(req, conf)
    dns = versions.parse_dns(req.config.get("dns"))
    with configure.open_sandbox(req) as sandbox, Rtnl() as nl, Undo() as undo:
        shared = bridge_gateway.Shared(nl, conf.bridge, lock_path(req))
        with locked(lock_path(req)):
            refuse_attached(nl, sandbox, req)
            undo.push(shared.undo)
            undo.push(link.remove, nl, host_name(req.attachment))
            bridge = shared.ensure_bridge(conf)
            host, peer = attach(nl, bridge, sandbox, req, conf, mac_address)
        if conf.macspoofchk:
            undo.push(spoofcheck.remove, spoof_ref(req))
            spoofcheck.ensure(host.name, peer.mac, spoof_ref(req))
        result = Result()
        if delegate.ipam_type(req):
            undo.push(delegate.ipam_delete, req)  # before the call: a half-made lease goes too
            result = with_gateways(configure.validate(delegate.ipam_add(req)), conf)
            configure.prepare(sandbox, req.ifname, result, dad=conf.enabledad)
            configure.apply(sandbox, peer, result)
        elif not conf.disable_container_interface:
            link.set_up(sandbox.nl, peer)
        extra = shared.ensure_gateways(result, conf) if conf.is_gateway else ()
        if conf.ip_masq and result.ips:
            undo.push(remove_masquerade, req, sandbox)
            masquerade.ensure(owner(req), subnets(result), conf.ip_masq_backend)
        if not conf.disable_container_interface:
            bridge_gateway.wait_forwarding(nl, host)
        for name in (bridge.name, *(each.name for each in extra)):
            bridge_gateway.forget_neighbours(nl, link.get(nl, name), result.ips)
        bridge = link.get(nl, bridge.name)  # its MAC may have followed the new port
        interfaces = (
            Interface(bridge.name, bridge.mac),
            Interface(host.name, host.mac),
            Interface(req.ifname, peer.mac, sandbox=req.netns),
            *extra,
        )
        result = result._replace(interfaces=interfaces, dns=dns if any(dns) else result.dns)
        versions.render(result, req.cni_version)  # what could not be told must not stay
        undo.keep()
    return result


def delete(req: Request) -> None:
    conf = parse_if_valid(req)
    attempts = Attempts()
    sandbox = attempts.value(netns.open_if_present, req.netns)
    with Rtnl() as nl, sandbox or nullcontext():
        if sandbox is not None:
            attempts.run(detach, sandbox, req.ifname)
        attempts.run(link.remove, nl, host_name(req.attachment))
        # the address last: it must not be given away while it is in use
        attempts.run(delegate.ipam_delete, req)
        if conf is None or conf.macspoofchk:
            attempts.run(spoofcheck.remove, spoof_ref(req))
        if conf is None or conf.ip_masq:
            attempts.run(remove_masquerade, req, sandbox)
    attempts.finish()


def check(req: Request) -> None:
    conf = parse(req)
    delegate.ipam_check(req)
    entry = configure.container_interface(req)
    prev_result = req.prev_result or Result()
    with configure.open_sandbox(req) as sandbox, Rtnl() as nl:
        peer = configure.check_interface(sandbox, entry, "veth")
        configure.check_addresses(sandbox, peer, prev_result)
        bridge = link.find(nl, conf.bridge)
        if bridge is None or bridge.kind != "bridge":
            raise configure.failed(f"Bridge interface {conf.bridge} not found")
        if conf.promisc_mode and not bridge.promiscuity:
            raise configure.failed(f"Bridge interface {conf.bridge} is not promiscuous")
        check_port(nl, bridge, peer, conf)
    if conf.macspoofchk and not spoofcheck.is_set(spoof_ref(req)):
        raise configure.failed(f"source MAC lock of {req.ifname} is missing")
    if conf.ip_masq and prev_result.ips:
        addresses = subnets(prev_result)
        if not masquerade.is_set(owner(req), addresses, conf.ip_masq_backend):
            raise configure.failed(f"masquerading of {' '.join(addresses)} is missing")


def gc(req: Request) -> None:
    if req.valid_attachments is None:
        return
    conf = parse(req)
    attempts = Attempts()
    with Rtnl() as nl:
        attempts.run(remove_stale_ports, nl, conf.bridge, req)
        attempts.run(remove_remnants, nl, lock_path(req))
        attempts.run(delegate.ipam_gc, req)
        attempts.run(masquerade.keep_only, req.network, req.valid_attachments)
        attempts.run(spoofcheck.remove_dangling, nl)
    attempts.finish()


def status(req: Request) -> None:
    conf = parse(req)
    if conf.ip_masq and (reason := masquerade.unavailable(conf.ip_masq_backend)):
        raise CniError(Code.NOT_AVAILABLE, '"ipMasq": cannot masquerade', reason)
    if conf.macspoofchk and (reason := masquerade.unavailable("nftables")):
        raise CniError(Code.NOT_AVAILABLE, '"macspoofchk": cannot lock the MAC address', reason)
    delegate.ipam_status(req)


def parse(req: Request) -> Bridge:
    """The configuration with the rules that concern several keys; raises CniError 7."""
    conf: Bridge = load("cni.conf:Bridge", req.config)
    if fault := names.ifname_fault(conf.bridge):
        raise invalid(f'"bridge": "{conf.bridge}": {fault}')
    if conf.hairpin_mode and conf.promisc_mode:
        raise invalid(
            '"hairpinMode" and "promiscMode": cannot set hairpin mode and promiscuous mode'
            " at the same time"
        )
    if conf.disable_container_interface and delegate.ipam_type(req):
        raise invalid(
            '"disableContainerInterface": cannot use IPAM when the container interface is disabled',
            f'"ipam.type" is "{delegate.ipam_type(req)}"',
        )
    for trunk in conf.vlan_trunk or ():
        check_trunk(trunk)
    if conf.vlan and conf.is_gateway | conf.is_default_gateway:
        gateway = bridge_gateway.vlan_link_name(conf.bridge, conf.vlan)
        if fault := names.ifname_fault(gateway):
            raise invalid(f'"bridge": VLAN gateway interface "{gateway}": {fault}')
    return conf.model_copy(update={"is_gateway": conf.is_gateway or conf.is_default_gateway})


def parse_if_valid(req: Request) -> Bridge | None:
    """For DEL, which must not fail for ever over a value that only ADD needs."""
    try:
        return parse(req)
    except CniError as error:
        log.warning("configuration is not valid", reason=error)
        return None


def check_trunk(trunk: Trunk) -> None:
    if (trunk.min_id is None) != (trunk.max_id is None):
        missing = "minID" if trunk.min_id is None else "maxID"
        raise invalid(
            '"vlanTrunk": minID and maxID should be configured simultaneously,'
            f" {missing} is missing"
        )
    if trunk.min_id and trunk.max_id and trunk.min_id > trunk.max_id:
        raise invalid(f'"vlanTrunk": minID {trunk.min_id} is greater than maxID {trunk.max_id}')


def wanted_mac(req: Request, conf: Bridge) -> str:
    """runtimeConfig.mac, else args.cni.mac, else MAC in CNI_ARGS; empty is the kernel's choice."""
    if conf.runtime_config.mac:
        return mac.parse(conf.runtime_config.mac, "runtimeConfig.mac")
    if conf.args.cni.mac:
        return mac.parse(conf.args.cni.mac, "args.cni.mac")
    asked = args.parse_known(req.args, KNOWN_ARGS).get("MAC", "")
    return mac.parse(asked, "CNI_ARGS MAC") if asked else ""


def host_name(attachment: Attachment) -> str:
    """The host end's name follows from the attachment: a DEL finds it when all else is gone."""
    digest = hashlib.sha512("\0".join(attachment).encode(errors="surrogateescape")).hexdigest()
    return f"veth{digest[:11]}"


def alias(attachment: Attachment) -> str:
    """What `ip link` shows beside the host end, and what GC knows it by."""
    return "/".join(attachment).encode()[:254].decode(errors="ignore")  # IFALIASZ, less two


def lock_path(req: Request) -> str:
    """One lock for all bridges: the kernel serialises the few ms under it anyway."""
    return f"{req.run_dir}/bridge.lock"


def spoof_ref(req: Request) -> str:
    return spoofcheck.reference(req.container_id, req.ifname)


def owner(req: Request) -> masquerade.Owner:
    return masquerade.Owner(req.network, req.container_id, req.ifname)


def subnets(result: Result) -> list[str]:
    return [ip.address for ip in result.ips]


def refuse_attached(nl: Rtnl, sandbox: Sandbox, req: Request) -> None:
    """Raises CniError 4 when the container is attached already, under whatever name.

    A host end that leads into another namespace was left by a container of the same ID.
    """
    configure.refuse_taken_name(sandbox, req)
    host = link.find(nl, host_name(req.attachment))
    if host is None:
        return
    if host.alias not in ("", alias(req.attachment)):
        raise CniError(
            Code.INVALID_ENVIRONMENT, f'interface "{host.name}" already exists on the host',
            f'it belongs to "{host.alias}"',
        )  # fmt: skip
    inside = link.find_index(sandbox.nl, host.parent)
    if inside is not None and inside.kind == "veth" and inside.parent == host.ifindex:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f'CNI_IFNAME "{req.ifname}" already exists in {req.netns} as "{inside.name}"',
        )
    link.delete(nl, host.ifindex, host.name)


def attach(
    nl: Rtnl, bridge: Link, sandbox: Sandbox, req: Request, conf: Bridge, mac_address: str
) -> tuple[Link, Link]:
    """The veth pair, its host end up as a port of the bridge; returns (host, peer)."""
    host, peer = veth.create(
        nl, host_name(req.attachment), sandbox, req.ifname,
        mtu=conf.mtu, mac=mac_address,
    )  # fmt: skip
    link.enslave(nl, host, bridge, alias=alias(req.attachment))
    linux_bridge.set_port(nl, host, hairpin=conf.hairpin_mode, isolated=conf.port_isolation)
    if vlans := port_vlans(conf):
        linux_bridge.set_vlans(nl, host, vlans, keep=conf.preserve_default_vlan)
    bridge_gateway.ignore_router_advertisements(host.name)
    link.set_up(nl, host)
    return host, peer


def port_vlans(conf: Bridge) -> list[linux_bridge.Vlan]:
    """The VLANs of the port: `vlan` native, the trunk tagged; a trunk alone keeps VLAN 1 native.

    The native VLAN is left out of the trunk: adding it again would take its untagged flag away.
    """
    trunk: set[int] = set()
    for each in conf.vlan_trunk or ():
        if each.id is not None:
            trunk.add(each.id)
        if each.min_id is not None and each.max_id is not None:
            trunk.update(range(each.min_id, each.max_id + 1))
    if not conf.vlan and not trunk:
        return []
    native = conf.vlan or 1
    tagged = [linux_bridge.Vlan(vid) for vid in sorted(trunk - {native})]
    return [linux_bridge.Vlan(native, native=True), *tagged]


def with_gateways(result: Result, conf: Bridge) -> Result:
    """The addresses with their gateways, on the container's interface (index 2), and defaults."""
    if not conf.is_gateway:
        return result._replace(ips=tuple(ip._replace(interface=2) for ip in result.ips))
    ips = tuple(
        ip._replace(interface=2, gateway=ip.gateway or first_host(ip.address)) for ip in result.ips
    )
    for ip in ips:
        if ipaddress.ip_interface(ip.address).ip == ipaddress.ip_address(ip.gateway):
            raise invalid(
                f'"isGateway": IPAM gave the container the address of the gateway, {ip.gateway}',
                "keep the gateway out of the range",
            )
    routes = list(result.routes)
    if conf.is_default_gateway:
        for ip in ips:
            default = "::/0" if ":" in ip.address else "0.0.0.0/0"
            # one without a gateway goes through ours anyway; two would be the same route twice
            if not any(
                ipaddress.ip_network(r.dst, strict=False).compressed == default for r in routes
            ):
                routes.append(bridge_gateway.default_route(default, ip.gateway))
    return result._replace(ips=ips, routes=tuple(routes))


def first_host(cidr: str) -> str:
    """The address that a gateway has by convention: the network's first."""
    network = ipaddress.ip_interface(cidr).network
    try:
        return str(network.network_address + 1)
    except ValueError:  # behind the last address of all
        raise invalid(f'"isGateway": the network of {cidr} has no room for a gateway') from None


def remove_masquerade(req: Request, sandbox: Sandbox | None) -> None:
    """Without the container's namespace there are no other interfaces to spare."""
    others: list[str] = []
    if sandbox is not None:
        own = link.find(sandbox.nl, req.ifname)
        held = address.list_all(sandbox.nl)
        others = [each.cidr for each in held if own is None or each.ifindex != own.ifindex]
    masquerade.remove(owner(req), others)


def detach(sandbox: Sandbox, ifname: str) -> None:
    """Delete the container's end, which takes the host's with it."""
    found = link.find(sandbox.nl, ifname)
    if found is None:
        return
    if found.kind != "veth":
        log.warning("interface left alone: not a veth", ifname=ifname, kind=found.kind)
        return
    link.delete(sandbox.nl, found.ifindex, ifname)


def check_port(nl: Rtnl, bridge: Link, peer: Link, conf: Bridge) -> None:
    """The host end is a port of the bridge with the flags and VLANs of the configuration."""
    host = link.find_index(nl, peer.parent)
    if host is None or host.kind != "veth" or host.master != bridge.ifindex:
        raise configure.failed(f"CNI veth created for bridge {bridge.name} was not found")
    if host.hairpin != conf.hairpin_mode or host.isolated != conf.port_isolation:
        raise configure.failed(
            f"hairpin mode or isolation of port {host.name} is not as configured"
        )
    wanted = port_vlans(conf)
    if wanted and not set(wanted) <= set(linux_bridge.get_vlans(nl, host)):
        raise configure.failed(f"VLANs of port {host.name} are not as configured")


def remove_stale_ports(nl: Rtnl, bridge_name: str, req: Request) -> None:
    """Delete the host ends that this network made for attachments the runtime does not have."""
    bridge = link.find(nl, bridge_name)
    # compared as aliases, which are cut: a long container ID must not look like an unknown one
    valid = {alias(Attachment(req.network, *each)) for each in req.valid_attachments or ()}
    for port in link.ports(nl, bridge.ifindex) if bridge else ():
        ours = port.kind == "veth" and port.alias.startswith(f"{req.network}/")
        if ours and port.alias not in valid:
            link.delete(nl, port.ifindex, port.name)


def remove_remnants(nl: Rtnl, lock: str) -> None:
    """Delete the veth pairs of ADDs that were killed between making one and attaching it.

    Under the lock no living ADD is in between.
    """
    with locked(lock):
        for each in link.list_links(nl):
            if (
                each.kind == "veth"
                and not each.alias
                and not each.master
                and is_host_name(each.name)
            ):
                link.delete(nl, each.ifindex, each.name)


def is_host_name(name: str) -> bool:
    """Whether `host_name` can have made it."""
    digits = name.removeprefix("veth")
    return len(name) == 15 and len(digits) == 11 and all(c in "0123456789abcdef" for c in digits)
