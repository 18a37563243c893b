"""Leases, holds and usage for people. Nothing is cut or folded, wherever the text goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cni.ctl.text import printable
from ipam.ranges import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.ctl.leases.selection import Found
    from cni.ctl.leases.usage import Usage
    from ipam.stores import Hold, Lease

_LISTED = ("ADDRESS", "STATE", "RANGE", "NETWORK", "POD", "CONTAINER", "INTERFACE", "NODE", "TIME")
_USAGE = (
    *("RANGE", "NETWORK NAME", "FROM", "TO", "SIZE", "FREE", "USED", "STICKY", "COOLING"),
    *("RESERVED", "ELSEWHERE"),
)
_NUMBERS = frozenset(_USAGE[4:])
_NONE = "-"
_WIDTH = 10_000  #: columns; wider than any line


def show(found: Found, out: TextIO) -> None:
    """Leases and holds in one table, by address."""
    if not found.leases and not found.holds:
        out.write("no leases\n")
        return
    rows = [(_order(each), of_lease(each)) for each in found.leases]
    rows += [(_order(each), of_hold(each)) for each in found.holds]
    _print(_LISTED, [row for _, row in sorted(rows)], out)


def show_usage(ranges: Sequence[Usage], out: TextIO) -> None:
    if not ranges:
        out.write("no range: nothing is leased, and no --conf names one\n")
        return
    _print(_USAGE, [of_usage(each) for each in ranges], out)


def of_lease(lease: Lease) -> tuple[str, ...]:
    """The texts of a lease, one for each column."""
    pod = f"{lease.pod_namespace}/{lease.pod_name}" if lease.pod_name else _NONE
    return (
        text(lease.version, lease.address),
        "leased",
        lease.cidr,
        _network(lease.attachment.network, lease.network_name),
        pod,
        lease.attachment.container_id or _NONE,
        lease.attachment.ifname or _NONE,
        lease.node or _NONE,
        f"since {moment(lease.created)}" if lease.created else _NONE,
    )


def of_hold(hold: Hold) -> tuple[str, ...]:
    is_pod = "/" in hold.holder
    return (
        text(hold.version, hold.address),
        hold.kind,
        hold.cidr,
        _network("", hold.network_name),
        hold.holder if is_pod else _NONE,
        hold.holder if not is_pod else _NONE,
        hold.ifname or _NONE,
        _NONE,
        f"until {moment(hold.until)}" if hold.until else "for ever",
    )


def of_usage(usage: Usage) -> tuple[str, ...]:
    used = _share(usage, usage.leased) + (f" +{usage.outside} outside" if usage.outside else "")
    return (
        usage.cidr,
        usage.network_name or _NONE,
        usage.first,
        usage.last,
        str(usage.capacity),
        _share(usage, usage.free),
        used,
        *(_share(usage, each) for each in (usage.sticky, usage.cooling, usage.reserved)),
        _share(usage, usage.elsewhere),
    )


def moment(seconds: int) -> str:
    """A time since 1970 as ISO 8601; the number itself when no calendar has it."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def _network(network: str, network_name: str) -> str:
    """A network_name is told when it is not the network's own name."""
    if network_name in ("", network):
        return network or _NONE
    return f"{network or _NONE} ({network_name})"


def _share(usage: Usage, count: int) -> str:
    """`12 (4.7%)`; what is there is never 0.0%, what is not all never 100.0%."""
    if not count:
        return "0"
    percent = usage.percent(count)
    if percent < 0.1:
        return f"{count} (<0.1%)"
    if percent > 99.9 and count < usage.capacity:
        return f"{count} (>99.9%)"
    return f"{count} ({percent:.1f}%)"


def _order(each: Lease | Hold) -> tuple[str, int, int, str]:
    return each.network_name, each.version, each.address, each.cidr


def _print(columns: Sequence[str], rows: Sequence[tuple[str, ...]], out: TextIO) -> None:
    console = Console(file=out, width=_WIDTH, highlight=False, emoji=False, markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(name, no_wrap=True, justify="right" if name in _NUMBERS else "left")
    for row in rows:
        table.add_row(*(Text(printable(each)) for each in row))
    console.print(table)
