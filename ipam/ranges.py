"""Ranges of addresses: pure arithmetic over ints. No kernel, no disk, no configuration."""

from __future__ import annotations

from bisect import bisect_right
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Interval = tuple[int, int]  #: first and last address, both included

_BITS = {4: 32, 6: 128}


class Range(NamedTuple):
    """A network, the window in it that is handed out, and what of the window is not.

    All bounds are included; `exclude` is sorted and merged (see `merge`).
    """

    version: int  #: 4 or 6
    base: int  #: the network's own address
    prefix_len: int
    first: int
    last: int
    exclude: tuple[Interval, ...] = ()
    exclude_text: tuple[str, ...] = ()  #: as configured, for messages

    @property
    def cidr(self) -> str:
        """The network in canonical text: what makes the identity of a pool."""
        return self.with_prefix(self.base)

    @property
    def top(self) -> int:
        """The network's last address: the broadcast address of IPv4."""
        return self.base | ((1 << (_BITS[self.version] - self.prefix_len)) - 1)

    def text(self, address: int) -> str:
        return text(self.version, address)

    def with_prefix(self, address: int) -> str:
        return f"{self.text(address)}/{self.prefix_len}"

    def in_network(self, version: int, address: int) -> bool:
        return version == self.version and self.base <= address <= self.top

    def offers(self, version: int, address: int) -> bool:
        """Whether the range may hand this address out at all."""
        return (
            version == self.version
            and self.first <= address <= self.last
            and self.excluded_to(address) is None
        )

    def excluded_to(self, address: int) -> int | None:
        """The last address of the exclude that holds `address`; None when none does."""
        at = bisect_right(self.exclude, address, key=_first) - 1
        if at < 0 or address > self.exclude[at][1]:
            return None
        return self.exclude[at][1]

    def without(self, version: int, address: int) -> Range:
        """The range that never hands out this address."""
        if not self.in_network(version, address):
            return self
        return self._replace(exclude=merge((*self.exclude, (address, address))))


def _first(interval: Interval) -> int:
    return interval[0]


def text(version: int, address: int) -> str:
    """The address in canonical text (RFC 5952)."""
    return str(IPv4Address(address) if version == 4 else IPv6Address(address))


def size(version: int) -> int:
    """Bytes of an address."""
    return _BITS[version] // 8


def window(version: int, base: int, prefix_len: int) -> Interval | None:
    """What a network can hand out: all but its first and last address, in both families.

    None when fewer than two host bits are left. As whereabouts does it, IPv6 included.
    """
    host_bits = _BITS[version] - prefix_len
    if host_bits < 2:
        return None
    return base + 1, base + (1 << host_bits) - 2


def merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same addresses in sorted intervals of which no two touch."""
    merged: list[Interval] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def first_free(wanted: Range, leased_to: Callable[[int], int | None]) -> int | None:
    """The lowest address of the range that is neither excluded nor leased; None when full.

    `leased_to` tells the last address of the unbroken run of leases that holds an address, None
    when it is free. A run ends before a free address, so that at most one run is asked about per
    exclude: the steps are bounded by the number of excludes, not by that of leases or addresses.
    """
    address = wanted.first
    while address <= wanted.last:
        end = wanted.excluded_to(address)
        if end is None:
            end = leased_to(address)
        if end is None:
            return address
        address = end + 1
    return None
