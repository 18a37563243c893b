"""Range sets: subnets of one family, of which an attachment gets one address. Pure arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import CniError, invalid
from ipam import fixed
from ipam.addresses import IP, Interface, parse_ip
from ipam.ranges import Range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ipam import conf


class Subnet(NamedTuple):
    """The window of a subnet that is handed out, and the gateway, which is not."""

    range: Range
    gateway: IP

    def contains(self, ip: IP) -> bool:
        return self.range.offers(ip.version, int(ip))

    def overlaps(self, other: Subnet) -> bool:
        mine, theirs = self.range, other.range
        return (
            mine.version == theirs.version
            and mine.first <= theirs.last
            and theirs.first <= mine.last
        )

    def between(self, first: int, last: int) -> Iterator[Address]:
        """The addresses from first to last, both included, without the gateway."""
        gateway = int(self.gateway) if self.gateway.version == self.range.version else None
        return (Address(self, each) for each in range(first, last + 1) if each != gateway)

    def __str__(self) -> str:
        return f"{self.range.text(self.range.first)}-{self.range.text(self.range.last)}"


class Address(NamedTuple):
    """One address of a subnet."""

    subnet: Subnet
    number: int

    @property
    def is_gateway(self) -> bool:
        return str(self) == str(self.subnet.gateway)

    @property
    def with_prefix(self) -> str:
        return self.subnet.range.with_prefix(self.number)

    def __str__(self) -> str:
        return self.subnet.range.text(self.number)


class RangeSet(NamedTuple):
    subnets: tuple[Subnet, ...]

    @property
    def version(self) -> int:
        return self.subnets[0].range.version

    def find(self, ip: IP) -> Address | None:
        """The address in its subnet; None when it is in none, or outside the window."""
        own = next((each for each in self.subnets if each.contains(ip)), None)
        return Address(own, int(ip)) if own else None

    def overlaps(self, other: RangeSet) -> bool:
        return any(mine.overlaps(theirs) for mine in self.subnets for theirs in other.subnets)

    def turn(self, last: IP | None) -> Iterator[Address]:
        """Every address once, beginning behind `last`, which itself comes last.

        From the beginning when there is no last, or it is of other ranges.
        """
        found = self.find(last) if last is not None else None
        if found is None:
            for each in self.subnets:
                yield from each.between(each.range.first, each.range.last)
            return
        own, number = found
        at = self.subnets.index(own)
        yield from own.between(number + 1, own.range.last)
        for each in (*self.subnets[at + 1 :], *self.subnets[:at]):
            yield from each.between(each.range.first, each.range.last)
        yield from own.between(own.range.first, number)

    def __str__(self) -> str:
        return ",".join(map(str, self.subnets))


#: where a range set is configured ("ipam.ranges[0]"), and its ranges with the key of each
Source = tuple[str, "Sequence[tuple[str, conf.HostLocalRange | conf.HostLocal]]"]


def read(sources: Sequence[Source]) -> tuple[RangeSet, ...]:
    """The range sets that are configured, no two of them with a common address.

    Raises CniError 7 naming the key and its value.
    """
    sets: list[RangeSet] = []
    for number, (where, entries) in enumerate(sources):
        try:
            read_ = _range_set(where, entries)
        except CniError as error:
            raise error.within(f"invalid range set {number}") from None
        for other, each in enumerate(sets):
            if each.overlaps(read_):
                raise invalid(
                    f'"{where}": range set {other} overlaps with {number}', f"{each} and {read_}"
                )
        sets.append(read_)
    return tuple(sets)


def _range_set(
    where: str, entries: Sequence[tuple[str, conf.HostLocalRange | conf.HostLocal]]
) -> RangeSet:
    if not entries:
        raise invalid(f'"{where}": empty range set')
    subnets: list[Subnet] = []
    for key, each in entries:
        subnet = _subnet(key, each)
        if subnets and subnets[0].range.version != subnet.range.version:
            raise invalid(f'"{key}.subnet": mixed address families')
        for other in subnets:
            if other.overlaps(subnet):
                raise invalid(f'"{key}.subnet": subnets {other} and {subnet} overlap')
        subnets.append(subnet)
    return RangeSet(tuple(subnets))


def _subnet(key: str, each: conf.HostLocalRange | conf.HostLocal) -> Subnet:
    interface = fixed.interface(f'"{key}.subnet"', each.subnet, "invalid CIDR address:")
    network = interface.network
    if network.max_prefixlen - network.prefixlen < 2:
        raise invalid(f'"{key}.subnet": Network {network} too small to allocate from')
    if interface.ip != network.network_address:
        raise invalid(
            f'"{key}.subnet": Network has host bits set. For a subnet mask of length '
            f"{network.prefixlen} the network address is {network.network_address}",
            each.subnet,
        )
    if _is_mapped(interface):
        raise invalid(f'"{key}.subnet": IPNet IP and Mask version mismatch: {each.subnet}')
    base = int(network.network_address)
    top = int(network.broadcast_address)
    whole = Range(network.version, base, network.prefixlen, base, top)
    start = _bound(f"{key}.rangeStart", each.range_start, whole)
    first = base + 1 if start is None else start
    end = _bound(f"{key}.rangeEnd", each.range_end, whole)
    last = end if end is not None else top - 1 if network.version == 4 else top
    if first > last:  # the original sees it from the start: it is not within what ends before it
        raise invalid(
            f'"{key}.rangeStart": RangeStart {whole.text(first)} not in network {network}',
            f"rangeEnd is {whole.text(last)}",
        )
    gateway = fixed.ip(f"{key}.gateway", each.gateway) or whole.text(base + 1)
    return Subnet(whole._replace(first=first, last=last), parse_ip(gateway))


def _is_mapped(interface: Interface) -> bool:
    return interface.version == 6 and parse_ip(str(interface.ip)).version == 4


def _bound(key: str, text: str, network: Range) -> int | None:
    canonical = fixed.ip(key, text)
    if not canonical:
        return None
    ip = parse_ip(canonical)
    if not network.in_network(ip.version, int(ip)):
        name = "RangeStart" if key.endswith("rangeStart") else "RangeEnd"
        raise invalid(f'"{key}": {name} {ip} not in network {network.cidr}')
    return int(ip)
