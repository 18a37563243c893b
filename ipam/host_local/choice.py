"""Which address of a range set an attachment gets: the requested, its own, else the next free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code
from ipam.addresses import parse_ip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipam.addresses import IP
    from ipam.host_local.lease_files import LeaseFiles
    from ipam.host_local.plan import Want
    from ipam.host_local.range_sets import Address, RangeSet


def choose(files: LeaseFiles, number: int, want: Want, held: Sequence[str]) -> Address:
    """An address of the set with this number; of those that the attachment has, if one will do.

    Raises CniError 100 when there is none, or the requested one is another's.
    """
    if want.requested is not None:
        return _requested(files, want.range_set, want.requested, held)
    for text in held:
        address = want.range_set.find(parse_ip(text))
        if address is not None and not address.is_gateway:
            return address
    for address in want.range_set.turn(files.last(number)):
        if not files.is_taken(str(address)):
            return address
    raise CniError(
        Code.RANGE_EXHAUSTED, f"no IP addresses available in range set: {want.range_set}"
    )


def _requested(files: LeaseFiles, range_set: RangeSet, ip: IP, held: Sequence[str]) -> Address:
    address = range_set.find(ip)
    if address is None:  # the plan has looked
        raise CniError(Code.INTERNAL, f"{ip} not in range set {range_set}")
    if str(ip) not in held and files.is_taken(str(ip)):
        owner = files.owner(str(ip)) or b"nobody"
        raise CniError(
            Code.RANGE_EXHAUSTED,
            f"requested IP address {ip} is not available in range set {range_set}",
            f"leased to {owner.decode(errors='replace')!r}",
        )
    return address
