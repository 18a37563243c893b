"""Addresses and routes of a result on an interface in a sandbox: apply them, verify them."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING

from cni.core import delegate
from cni.core.errors import CniError, Code, describe, invalid
from cni.core.types import Result
from cni.host import address, link, route, sysctl
from cni.host.netns import Sandbox

if TYPE_CHECKING:
    from cni.core.types import Interface, IPConfig, Request
    from cni.core.undo import Undo
    from cni.host.link import Link

#: what the kernel's fields of a route hold
_LIMITS = {
    "mtu": 2**32 - 1,
    "advmss": 2**32 - 1,
    "priority": 2**32 - 1,
    "table": 2**32 - 1,
    "scope": 255,
}


def open_sandbox(req: Request) -> Sandbox:
    """The container's namespace, for a verb that cannot do without; raises CniError 8."""
    try:
        return Sandbox(req.netns)
    except OSError as error:
        raise CniError(
            Code.INVALID_NETNS,
            f'CNI_NETNS "{req.netns}" cannot be opened',
            describe(error).details,
        ) from None


def refuse_taken_name(sandbox: Sandbox, req: Request) -> None:
    """Raises CniError 4 when the container has an interface of that name."""
    if link.find(sandbox.nl, req.ifname):
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f'CNI_IFNAME "{req.ifname}" already exists in {req.netns}',
        )


def addresses(req: Request, undo: Undo) -> Result:
    """The IPAM plugin's addresses, all for the first interface; none without an `ipam` section."""
    if not delegate.ipam_type(req):
        return Result()
    undo.push(delegate.ipam_delete, req)  # before the call: a half-made lease goes too
    result = validate(delegate.ipam_add(req))
    return result._replace(ips=tuple(ip._replace(interface=0) for ip in result.ips))


def validate(result: Result, where: str = "IPAM result") -> Result:
    """A result from elsewhere, checked before any of it reaches the kernel.

    Raises CniError 7 naming the address, gateway or route that is none.
    """
    for ip in result.ips:
        _validate(f"{where}: address", ip.address, ip.gateway)
    for each in result.routes:
        _validate(f"{where}: route", each.dst, each.gw)
        for key, limit in _LIMITS.items():
            if not 0 <= (getattr(each, key) or 0) <= limit:
                raise invalid(f'{where}: route {each.dst}: "{key}": {getattr(each, key)}')
    return result


def _validate(what: str, cidr: str, gateway: str) -> None:
    """Python reads more than CIDR notation: netmasks, missing lengths, zones."""
    _, _, length = cidr.partition("/")
    try:
        if not (length.isascii() and length.isdigit()) or "%" in cidr:
            raise ValueError("not in CIDR notation")
        version = ipaddress.ip_interface(cidr).version
    except ValueError as error:
        raise invalid(f'{what} "{cidr}" cannot be used', str(error)) from None
    try:
        if gateway and ("%" in gateway or ipaddress.ip_address(gateway).version != version):
            raise ValueError(f"not an address of its family, IPv{version}")
    except ValueError as error:
        reason = str(error)
        raise invalid(f'{what} "{cidr}": gateway "{gateway}" cannot be used', reason) from None


def prepare(sandbox: Sandbox, ifname: str, result: Result, *, dad: bool = True) -> None:
    """Set the kernel parameters that must stand before the interface comes up.

    arp_notify and ndisc_notify announce the addresses when it does.
    """
    has_ipv6 = any(":" in ip.address for ip in result.ips)
    with sandbox.entered():
        sysctl.write_if_present(f"net/ipv4/conf/{ifname}/arp_notify", "1")
        if has_ipv6:
            for name in ("lo", ifname):
                sysctl.ensure(f"net/ipv6/conf/{name}/disable_ipv6", "0")
            sysctl.write_if_present(f"net/ipv6/conf/{ifname}/keep_addr_on_down", "1")
            sysctl.write_if_present(f"net/ipv6/conf/{ifname}/ndisc_notify", "1")
            if not dad:
                sysctl.write_if_present(f"net/ipv6/conf/{ifname}/accept_dad", "0")
            else:
                sysctl.write_if_present(f"net/ipv6/conf/{ifname}/enhanced_dad", "1")
                sysctl.write_if_present(f"net/ipv6/conf/{ifname}/accept_dad", "1")


def apply(sandbox: Sandbox, interface: Link, result: Result) -> None:
    """Give the interface its addresses, bring it up, add the routes.

    A route without gateway goes through the first gateway of its family.
    """
    for ip in result.ips:
        address.add(sandbox.nl, interface, ip.address)
    if not interface.is_up:
        link.set_up(sandbox.nl, interface)
    if any(":" in ip.gateway for ip in result.ips):
        address.wait_dad(sandbox.nl, interface)
    for each in kernel_routes(interface, result):
        route.add(sandbox.nl, each)


def kernel_routes(interface: Link, result: Result) -> list[route.Route]:
    """The routes of a result as the kernel shall have them, each once."""
    gateways = {
        is_v6: next(
            (ip.gateway for ip in result.ips if (":" in ip.gateway) == is_v6 and ip.gateway), ""
        )
        for is_v6 in (False, True)
    }
    wanted = []
    for each in result.routes:
        is_v6 = ":" in each.dst
        # a scope of its own may be meant to have no gateway
        gw = each.gw or ("" if each.scope == route.SCOPE_LINK else gateways[is_v6])
        wanted.append(
            route.Route(
                dst=str(ipaddress.ip_network(each.dst, strict=False)),
                oif=interface.ifindex,
                gw=str(ipaddress.ip_address(gw)) if gw else "",  # in the kernel's spelling
                priority=each.priority,
                table=each.table or route.MAIN_TABLE,
                scope=each.scope,
                mtu=each.mtu,
                advmss=each.advmss,
            )
        )
    return list(dict.fromkeys(wanted))


def container_interface(req: Request) -> Interface:
    """The entry of prevResult for CNI_IFNAME in CNI_NETNS.

    Raises CniError 7 without prevResult, 102 when the entry or its sandbox is another.
    """
    if req.prev_result is None:
        raise invalid("Required prevResult missing")
    for each in req.prev_result.interfaces:
        if each.name == req.ifname and each.sandbox:
            if not _same(each.sandbox, req.netns):
                raise failed(
                    f"Sandbox in prevResult {each.sandbox} doesn't match"
                    f" configured netns: {req.netns}"
                )
            return each
    raise failed(f"Container interface name missing in prevResult: {req.ifname}")


def _same(one: str, other: str) -> bool:
    """Two paths of one namespace: /run/netns/x and /var/run/netns/x."""
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False


def check_interface(sandbox: Sandbox, entry: Interface, kind: str = "") -> Link:
    """The link of that entry; raises CniError 102 when it is gone, of another kind or MAC."""
    found = link.find(sandbox.nl, entry.name)
    if found is None:
        raise failed(f"Container interface {entry.name} not found")
    if kind and found.kind != kind:
        raise failed(f"Container interface {entry.name} is not of type {kind}")
    if entry.mac and entry.mac.lower() != found.mac:
        raise failed(
            f"Interface {entry.name} Mac {entry.mac} doesn't match container Mac: {found.mac}"
        )
    return found


def check_addresses(sandbox: Sandbox, interface: Link, result: Result) -> None:
    """Every address and route of the result is there; raises CniError 102 naming the first not."""
    validate(result, "prevResult")
    held = {
        str(ipaddress.ip_interface(each.cidr))
        for each in address.list_addresses(sandbox.nl, interface)
    }
    own = [ip for ip in result.ips if _owner(result, ip) in ("", interface.name)]
    for ip in own:
        if str(ipaddress.ip_interface(ip.address)) not in held:
            raise failed(f"Failed to match addr {ip.address} on interface {interface.name}")
    for wanted in kernel_routes(interface, result):
        present = route.list_routes(sandbox.nl, table=wanted.table)
        if not any(_matches(each, wanted) for each in present):
            raise failed(f"Expected route {wanted} not found in routing table")


def _owner(result: Result, ip: IPConfig) -> str:
    """The name of the interface that an address belongs to; empty when the result does not say."""
    if ip.interface is None:
        return ""
    if not 0 <= ip.interface < len(result.interfaces):
        raise invalid(f"prevResult: address {ip.address}: there is no interface {ip.interface}")
    return result.interfaces[ip.interface].name


def _matches(present: route.Route, wanted: route.Route) -> bool:
    # a default may have been moved to another interface on purpose
    return present.dst == wanted.dst and (wanted.is_default or present.gw == wanted.gw)


def failed(msg: str) -> CniError:
    return CniError(Code.CHECK_FAILED, msg)
