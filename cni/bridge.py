"""bridge: a veth pair per container, its host end a port of a Linux bridge."""

from __future__ import annotations

import ipaddress
from contextlib import nullcontext
from typing import TYPE_CHECKING

from cni import bridge_gateway, bridge_port, configure
from cni.core import args, delegate, log, mac, names, versions
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code, invalid
from cni.core.load import load
from cni.core.types import Interface, Result, Route
from cni.core.undo import Undo
from cni.host import address, link, masquerade, netns, route, spoofcheck
from cni.host.rtnl import Rtnl
from cni.store.lock import locked

if TYPE_CHECKING:
    from cni.conf import Bridge, Trunk
    from cni.core.types import Request
    from cni.host.netns import Sandbox


#: of CNI_ARGS; what asks for an address is for the IPAM plugin, which sees them too
KNOWN_ARGS = ("MAC", "IP", "GATEWAY")


def add(req: Request) -> Result:
    conf = parse(req)
    mac_address = wanted_mac(req, conf)
    dns = versions.parse_dns(req.config.get("dns"))
    with configure.open_sandbox(req) as sandbox, Rtnl() as nl, Undo() as undo:
        shared = bridge_gateway.Shared(nl, conf.bridge, bridge_port.lock_path(req))
        with locked(bridge_port.lock_path(req)):
            bridge_port.refuse_attached(nl, sandbox, req)
            undo.push(shared.undo)
            undo.push(link.remove, nl, bridge_port.host_name(req.attachment))
            bridge = shared.ensure_bridge(conf)
            host, peer = bridge_port.attach(nl, bridge, sandbox, req, conf, mac_address)
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
        for target in (bridge, *(link.get(nl, each.name) for each in extra)):
            bridge_gateway.forget_neighbours(nl, target, result.ips)
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
    ours = True
    with Rtnl() as nl, sandbox or nullcontext():
        if sandbox is not None:
            ours = attempts.value(bridge_port.detach, nl, sandbox, req) is not False
        attempts.run(link.remove, nl, bridge_port.host_name(req.attachment))
        # the address last: it must not be given away while it is in use
        attempts.run(delegate.ipam_delete, req)
        if ours and (conf is None or conf.macspoofchk):
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
        bridge_port.check_port(nl, bridge, peer, conf)
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
        attempts.run(bridge_port.remove_stale_ports, nl, conf.bridge, req)
        attempts.run(bridge_port.remove_remnants, nl, bridge_port.lock_path(req))
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


def spoof_ref(req: Request) -> str:
    return spoofcheck.reference(req.container_id, req.ifname)


def owner(req: Request) -> masquerade.Owner:
    return masquerade.Owner(req.network, req.container_id, req.ifname)


def subnets(result: Result) -> list[str]:
    return [ip.address for ip in result.ips]


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
            if not any(is_default(each, default) for each in routes):
                routes.append(Route(default, ip.gateway))
    return result._replace(ips=ips, routes=tuple(routes))


def is_default(each: Route, default: str) -> bool:
    """Whether it is that default route, of the table that everything uses."""
    in_main = each.table in (None, 0, route.MAIN_TABLE)
    return in_main and ipaddress.ip_network(each.dst, strict=False).compressed == default


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
