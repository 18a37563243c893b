"""Keeps an address for a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code, invalid
from cni.ctl.leases.selection import Found, Selection
from cni.ctl.leases.source import Pool, seen, whole
from ipam.stores import RESERVED, Hold

if TYPE_CHECKING:
    from cni.ctl.leases.source import Source
    from ipam.addresses import IP


def reserve(
    source: Source,
    ip: IP,
    pod: str,
    *,
    ifname: str = "",
    cidr: str = "",
    network_name: str | None = None,
) -> str:
    """Reserve it for the pod, for ever; returns what was done.

    Without a CIDR the range is the one that a configuration or a lease shows. Raises CniError 7
    when that is not clear, or the range does not hand the address out; 100 when it is another's.
    """
    store = source.open()
    found = Found(store.every(), store.holds())
    pool = _pool(source, found, ip, cidr, network_name)
    about = f"{ip} of range {pool.range.cidr}"
    address = int(ip)
    if not pool.range.offers(ip.version, address) and address not in pool.reserved:
        raise invalid(f"{about} cannot be reserved: the range does not hand it out")
    place = (pool.network_name, pool.range.cidr, ip.version, address)
    source.open(pool).reserve(Hold(*place, RESERVED, pod, ifname))
    leases = Selection(address=ip, pod=pod).of(found.leases, (), source).leases
    if any(each.network_name == pool.network_name for each in leases):
        return f"done: {about} is leased to {pod}, and reserved for it when that has ended"
    return f"done: {about} is reserved for {pod}"


def _pool(source: Source, found: Found, ip: IP, cidr: str, network_name: str | None) -> Pool:
    candidates = {
        (each.network_name, each.range.cidr): each
        for each in (*seen(found), *source.pools)  # a configuration knows more
        if each.range.in_network(ip.version, int(ip))
        and cidr in ("", each.range.cidr)
        and network_name in (None, each.network_name)
    }
    if not candidates and cidr:
        wanted = whole(cidr)
        if not wanted.in_network(ip.version, int(ip)):
            raise invalid(f"{ip} is not in range {cidr}")
        return Pool(network_name or "", wanted)
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    said = ", ".join(f"{range_} of {name or 'no network_name'}" for name, range_ in candidates)
    raise CniError(
        Code.INVALID_CONFIG,
        f"which range is {ip} of? Name it with --range and --network-name, or with --conf",
        said or "no lease tells",
    )
