"""From the text of a range to a Range: CIDR or dash form, bounds, excludes, as whereabouts reads.

Bounds that the original silently ignores are ignored here too, with a warning that names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core import log
from cni.core.errors import CniError, invalid
from ipam.addresses import IP, Interface, parse_cidr, parse_ip
from ipam.ranges import Interval, Range, merge, window

if TYPE_CHECKING:
    from collections.abc import Sequence


class RangeText(NamedTuple):
    """One range as configured; `where` is where its keys are ("ipam", "ipam.ipRanges[0]")."""

    where: str
    range: str
    start: str = ""
    end: str = ""
    exclude: Sequence[str] = ()
    #: a bound that is no address is an error in ipRanges, and ignored beside the top-level range
    strict: bool = True


def read(source: RangeText) -> Range:
    """The range of addresses that is meant.

    Raises CniError 7 naming the key and its value.
    """
    network, start, end = _network(source)
    base = int(network.network.network_address)
    usable = window(network.version, base, network.network.prefixlen)
    if usable is None:
        raise invalid(
            f'"{source.where}.range": net mask is too short, subnet {network} has no usable IP '
            "addresses, it is too small"
        )
    first, last = _narrow(source, network, usable, start, end)
    return Range(
        version=network.version,
        base=base,
        prefix_len=network.network.prefixlen,
        first=first,
        last=last,
        exclude=merge(_excludes(source, network.version)),
        exclude_text=tuple(source.exclude),
    )


class _Bound(NamedTuple):
    key: str
    ip: IP


def _network(source: RangeText) -> tuple[Interface, _Bound | None, _Bound | None]:
    """`first-last/len` sets both bounds; a plain CIDR leaves them to their own keys."""
    first, dash, rest = source.range.partition("-")
    if not dash:
        network = _cidr(source, source.range, f"invalid CIDR {source.range}")
        return network, _bound(source, "range_start"), _bound(source, "range_end")
    if source.start or source.end:
        log.warning(
            "range_start and range_end are ignored beside a range in dash form",
            key=f"{source.where}.range",
            value=source.range,
        )
    try:
        start = parse_ip(first, sloppy=True)
    except ValueError as error:
        raise _fault(source, f"invalid range start IP: {first}", error) from None
    last = _cidr(
        source,
        rest,
        f"invalid CIDR (do you have the 'range' parameter set for Whereabouts?) '{rest}'",
    )
    if start not in last.network:
        raise _fault(source, f"invalid range start for CIDR {last.network}: {start}")
    return last, _Bound("range", start), _Bound("range", last.ip)


def _cidr(source: RangeText, text: str, complaint: str) -> Interface:
    try:
        return parse_cidr(text, sloppy=True)
    except ValueError as error:
        raise _fault(source, complaint, error) from None


def _fault(source: RangeText, complaint: str, reason: object = "") -> CniError:
    return invalid(f'"{source.where}.range": {complaint}', str(reason))


def _bound(source: RangeText, key: str) -> _Bound | None:
    text = source.start if key == "range_start" else source.end
    if not text:
        return None
    try:
        return _Bound(key, parse_ip(text, sloppy=not source.strict))
    except ValueError as error:
        if source.strict:
            raise invalid(
                f'"{source.where}.{key}": invalid IP address: {text}', str(error)
            ) from None
        _ignore(source, key, text, "it is no IP address")
        return None


def _narrow(
    source: RangeText,
    network: Interface,
    usable: Interval,
    start: _Bound | None,
    end: _Bound | None,
) -> Interval:
    """The usable window, cut by those bounds that lie in it."""
    first, last = usable
    if start:
        if start.ip.version == network.version and first <= int(start.ip) <= last:
            first = int(start.ip)
        else:
            _ignore(source, start.key, start.ip, f"it is outside the range {network.network}")
    if end:
        if end.ip.version == network.version and first <= int(end.ip) <= last:
            last = int(end.ip)
        else:
            _ignore(source, end.key, end.ip, f"it is outside {network.network} or before the start")
    return first, last


def _ignore(source: RangeText, key: str, value: object, reason: str) -> None:
    log.warning(
        "bound of the range ignored", key=f"{source.where}.{key}", value=value, reason=reason
    )


def _excludes(source: RangeText, version: int) -> list[Interval]:
    """CIDRs (host bits dropped) and bare addresses; those of the other family exclude nothing."""
    found: list[Interval] = []
    for i, text in enumerate(source.exclude):
        key = f"{source.where}.exclude[{i}]"
        network = _exclude(key, text).network
        if network.version == version:
            found.append((int(network.network_address), int(network.broadcast_address)))
        else:
            log.warning("exclude is of the other address family", key=key, value=text)
    return found


def _exclude(key: str, text: str) -> Interface:
    try:
        if "/" in text:
            return parse_cidr(text)
        ip = parse_ip(text)
        return parse_cidr(f"{ip}/{ip.max_prefixlen}")
    except ValueError as error:
        raise invalid(
            f'"{key}": could not parse exclude range, err: "invalid CIDR address: {text}"',
            str(error),
        ) from None
