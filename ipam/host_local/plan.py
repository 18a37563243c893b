"""What a host-local attachment is to have: from the configuration and the caller's requests.

Nothing is leased here, and nothing written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from cni.core import log
from cni.core.errors import CniError, Code, invalid
from cni.core.load import load
from ipam import fixed, requested
from ipam.addresses import IP, parse_cidr, parse_ip
from ipam.host_local import range_sets, resolv_conf

if TYPE_CHECKING:
    from cni.core.types import DNS, Request, Route
    from ipam import conf
    from ipam.host_local.range_sets import RangeSet, Source


class Want(NamedTuple):
    """One address: of this set, and if one was asked for, this one."""

    range_set: RangeSet
    requested: IP | None


class Plan(NamedTuple):
    directory: str  #: of the network's lease files
    wants: tuple[Want, ...]
    routes: tuple[Route, ...]
    dns: DNS


def make(req: Request) -> Plan:
    """The plan of one call.

    Raises CniError 7 naming the key and its value, 4 for one in CNI_ARGS, 5 for a resolvConf that
    cannot be read.
    """
    if "ipam" not in req.config:
        raise invalid("IPAM config missing 'ipam' key")
    settings: conf.HostLocal = load("ipam.conf:HostLocal", req.config["ipam"], "ipam")
    sets = range_sets.read(_sources(req, settings))
    if not sets:
        raise invalid('"ipam.ranges": no IP ranges specified')
    _refuse_several(sets, req.cni_version)
    return Plan(
        directory=_directory(req, settings.data_dir),
        wants=_assign(sets, _wishes(req)),
        routes=fixed.routes(settings.routes),
        dns=resolv_conf.read(settings.resolv_conf),
    )


def directory(req: Request) -> str:
    """Where the network's lease files are, whatever else the configuration says by now.

    Empty when it names no place at all, where no ADD can have leased.
    """
    try:
        ipam = req.config.get("ipam", {})
        place: conf.HostLocalPlace = load("ipam.conf:HostLocalPlace", ipam, "ipam")
    except CniError as error:
        log.warning("no address to release", reason=error)
        return ""
    return _directory(req, place.data_dir)


def _directory(req: Request, data_dir: str) -> str:
    return os.path.join(data_dir or os.path.join(req.state_dir, "networks"), req.network)


def _sources(req: Request, settings: conf.HostLocal) -> list[Source]:
    """The runtime's sets, the one of the old style, the list of sets: as the original counts."""
    caller = req.runtime_config()
    runtime = load("ipam.conf:HostLocalRuntime", caller, "runtimeConfig").ip_ranges
    old: list[Source] = [("ipam", [("ipam", settings)])] if settings.subnet else []
    return [
        *_listed("runtimeConfig.ipRanges", runtime),
        *old,
        *_listed("ipam.ranges", settings.ranges),
    ]


def _listed(key: str, sets: list[list[conf.HostLocalRange]]) -> list[Source]:
    return [
        (f"{key}[{i}]", [(f"{key}[{i}][{j}]", each) for j, each in enumerate(entries)])
        for i, entries in enumerate(sets)
    ]


def _refuse_several(sets: tuple[RangeSet, ...], version: str) -> None:
    families = [each.version for each in sets]
    if version in ("0.1.0", "0.2.0") and len(families) > len(set(families)):
        raise invalid(
            f'"ipam.ranges": CNI version {version} does not support more than 1 address per family'
        )


class _Wish(NamedTuple):
    """One requested address; `code` is that of the errors about it, `where` what they name."""

    where: str
    ip: IP
    code: int


def _wishes(req: Request) -> list[_Wish]:
    """Every way to ask, once for each address."""
    asked = requested.read(req, requested.pairs(req, frozenset({"IP"})))
    every = [_wish("CNI_ARGS: IP", text, Code.INVALID_ENVIRONMENT) for text in asked.args]
    for key, texts in (("args.cni.ips", asked.config), ("runtimeConfig.ips", asked.runtime)):
        every += [_wish(f'"{key}[{i}]"', text, Code.INVALID_CONFIG) for i, text in enumerate(texts)]
    return list({wish.ip: wish for wish in reversed(every)}.values())[::-1]


def _wish(where: str, text: str, code: int) -> _Wish:
    try:
        return _Wish(where, parse_cidr(text).ip if "/" in text else parse_ip(text), code)
    except ValueError as error:
        raise CniError(code, f"{where}: invalid IP address {text}", str(error)) from None


def _assign(sets: tuple[RangeSet, ...], wishes: list[_Wish]) -> tuple[Want, ...]:
    """Each set has the first wish that it can fulfil; none may be left over."""
    wants = []
    left = list(wishes)
    for each in sets:
        wish = next((wish for wish in left if each.find(wish.ip)), None)
        if wish is not None:
            left.remove(wish)
            _refuse_gateway(each, wish)
        wants.append(Want(each, wish.ip if wish else None))
    if left:
        ips = " ".join(str(wish.ip) for wish in left)
        raise CniError(
            left[0].code,
            f"{left[0].where}: failed to allocate all requested IPs: {ips}",
            f"{left[0].ip} not in range set {' or '.join(map(str, sets))}, or a second one of it",
        )
    return tuple(wants)


def _refuse_gateway(range_set: RangeSet, wish: _Wish) -> None:
    address = range_set.find(wish.ip)
    if address is not None and address.is_gateway:
        raise CniError(wish.code, f"{wish.where}: requested ip {wish.ip} is subnet's gateway")
