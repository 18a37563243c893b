"""The parts of a result that the configuration spells out: addresses, routes, dns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import CniError, Code, invalid
from cni.core.types import DNS, IPConfig, Route
from ipam.addresses import IP, Interface, parse_cidr, parse_ip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cni.core.types import Result
    from ipam import conf


class Fixed(NamedTuple):
    """One address that is not chosen here; `gateway` is canonical text or empty."""

    interface: Interface
    gateway: str = ""

    def as_result(self) -> IPConfig:
        return IPConfig(str(self.interface), self.gateway)


def addresses(configured: Iterable[conf.Address], complaint: str) -> tuple[Fixed, ...]:
    """The `addresses` of an `ipam` section; `complaint` is the plugin's own word for a bad CIDR.

    Raises CniError 7 naming the key and its value.
    """
    return tuple(
        Fixed(
            interface(f'"ipam.addresses[{i}].address"', each.address, complaint),
            ip(f"ipam.addresses[{i}].gateway", each.gateway),
        )
        for i, each in enumerate(configured)
    )


def interface(where: str, text: str, complaint: str, code: int = Code.INVALID_CONFIG) -> Interface:
    """An address with its prefix length. Raises `code`, naming `where` and the text."""
    try:
        return parse_cidr(text)
    except ValueError as error:
        raise CniError(code, f"{where}: {complaint} '{text}'", str(error)) from None


def ip(key: str, text: str, *, sloppy: bool = False) -> str:
    """A bare address in canonical text; empty stays empty. Raises CniError 7."""
    if not text:
        return ""
    try:
        return str(parse_ip(text, sloppy=sloppy))
    except ValueError as error:
        raise invalid(f'"{key}": invalid IP address: {text}', str(error)) from None


def with_gateways(fixed: Iterable[Fixed], gateways: Sequence[IP]) -> tuple[Fixed, ...]:
    """The same addresses, each with the last of the gateways that lies in its network."""
    return tuple(
        each._replace(gateway=gateway_for(each.interface, gateways) or each.gateway)
        for each in fixed
    )


def gateway_for(address: Interface, gateways: Sequence[IP]) -> str:
    """The last of the gateways that lies in the address's network; empty when none does."""
    inside = [str(gateway) for gateway in gateways if gateway in address.network]
    return inside[-1] if inside else ""


def refuse_several(fixed: Iterable[Fixed], version: str) -> None:
    """0.1.0 and 0.2.0 can tell one address per family. Raises CniError 7."""
    if version not in ("0.1.0", "0.2.0"):
        return
    families = [each.interface.version for each in fixed]
    if families.count(4) > 1 or families.count(6) > 1:
        raise invalid(
            f'"ipam.addresses": CNI version {version} does not support more than 1 address '
            "per family"
        )


def routes(configured: Iterable[conf.Route]) -> tuple[Route, ...]:
    """The `routes` of an `ipam` section, host bits of the destination kept. Raises CniError 7."""
    return tuple(_route(f"ipam.routes[{i}]", each) for i, each in enumerate(configured))


def _route(where: str, each: conf.Route) -> Route:
    return Route(
        dst=str(interface(f'"{where}.dst"', each.dst, "invalid CIDR address:")),
        gw=ip(f"{where}.gw", each.gw),
        mtu=each.mtu,
        advmss=each.advmss,
        priority=each.priority,
        table=each.table,
        scope=each.scope,
    )


def dns(configured: conf.Dns) -> DNS:
    return DNS(
        nameservers=tuple(configured.nameservers),
        domain=configured.domain,
        search=tuple(configured.search),
        options=tuple(configured.options),
    )


def require_prev_result(prev_result: Result | None) -> Result:
    """Raises CniError 7 when a CHECK came without what the ADD returned."""
    if prev_result is None:
        raise invalid('"prevResult": Required prevResult missing')
    return prev_result


def find(prev_result: Result, address: str) -> IPConfig:
    """The address (canonical text) in a previous result. Raises CniError 102 when it is not."""
    for each in prev_result.ips:
        if _canonical(each.address) == address:
            return each
    told = " ".join(each.address for each in prev_result.ips) or "no address"
    raise CniError(
        Code.CHECK_FAILED, f'address "{address}" is not in prevResult', f'"prevResult.ips": {told}'
    )


def _canonical(address: str) -> str:
    try:
        return str(parse_cidr(address))
    except ValueError:
        return address
