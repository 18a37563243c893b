"""The commands of `plait leases`: what the user wrote becomes a call, what came of it becomes text.

Help is given as strings and not as docstrings, which the frozen executable does not have.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from cni.core import log
from cni.core.errors import Interrupted
from cni.ctl.leases import document, metrics, source, table
from cni.ctl.leases import watch as watching
from cni.ctl.leases.advice import advised
from cni.ctl.leases.options import AsJson, At, Conf, Network, Node, Pod  # noqa: TC001 (for typer)
from cni.ctl.leases.selection import Selection, address
from cni.ctl.text import printable
from ipam.stores import Lease

if TYPE_CHECKING:
    from cni.ctl.leases.selection import Found
    from cni.ctl.leases.source import Source
    from cni.ctl.leases.usage import Usage
    from cni.ctl.leases.watch import Event


class _Listing(TyperGroup):
    """`plait leases` without a command is `plait leases list`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        is_bare = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        return super().parse_args(ctx, ["list", *args] if is_bare else args)


leases = typer.Typer(
    cls=_Listing,
    help="Leases of addresses: list (what it does without a command), usage, watch, metrics.",
    rich_markup_mode=None,
)


@leases.command("list", help="Show leases, and addresses that are held for somebody.")
def list_all(
    network: Network = "",
    pod: Pod = "",
    at: At = "",
    node: Node = "",
    conf: Conf = "",
    as_json: AsJson = False,
) -> None:
    with advised():
        found = _find(
            source.read(conf, os.environ, network), Selection(network, pod, address(at), node)
        )
    if as_json:
        typer.echo(json.dumps(document.listed(found), indent=4))
    else:
        table.show(found, sys.stdout)


@leases.command(
    "usage",
    short_help="Show how full the ranges are.",
    help="Show how full the ranges are: those of --conf, else those that something is leased of. "
    "STICKY waits for its pod, COOLING rests after its release, RESERVED is for a pod that has "
    "not come, ELSEWHERE is taken by another range of the same network_name.",
)
def show_usage(network: Network = "", conf: Conf = "", as_json: AsJson = False) -> None:
    ranges = _usage(conf, network)
    if as_json:
        typer.echo(json.dumps(document.usage(ranges), indent=4))
    else:
        table.show_usage(ranges, sys.stdout)


@leases.command(
    "watch",
    short_help="Show leases, and then what happens to them.",
    help="Show leases, and then what happens to them: + for an address that is leased or held, "
    "- for one that no longer is. SIGINT ends it.",
)
def watch(
    network: Network = "",
    pod: Pod = "",
    at: At = "",
    node: Node = "",
    conf: Conf = "",
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.05, max=3600, help="How often to look.")
    ] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON document on each line.")
    ] = False,
) -> None:  # fmt: skip
    origin = source.read(conf, os.environ, network)
    wanted = Selection(network, pod, address(at), node)
    log.configure(level="warning")
    try:
        with advised():
            for event in watching.watch(lambda: _find(origin, wanted), interval):
                sys.stdout.write(_line(event, as_json=as_json))
                sys.stdout.flush()
    except Interrupted:
        return


@leases.command(
    "metrics",
    short_help="Write the usage of the ranges for Prometheus.",
    help="Write the usage of the ranges in Prometheus's text format, as a node exporter's textfile "
    "collector reads it from a file *.prom.",
)
def show_metrics(
    output: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Replace this file at once.", show_default="standard output"
        ),
    ] = "",
    network: Network = "",
    conf: Conf = "",
) -> None:
    text = metrics.exposition(_usage(conf, network), int(time.time()))
    if output:
        metrics.write(output, text)
    else:
        typer.echo(text, nl=False)


def _find(origin: Source, wanted: Selection) -> Found:
    store = origin.open()
    return wanted.of(store.every(), store.holds(), origin)


def _usage(conf: str, network: str) -> list[Usage]:
    from cni.ctl.leases import usage  # and with it netaddr, 30 ms

    with advised():
        origin = source.read(conf, os.environ, network)
        found = _find(origin, Selection())
    pools = origin.pools
    if not pools:
        of_network = Selection(network).of(*found, origin)
        pools = source.seen(of_network)
    return usage.of(pools, found)


def _line(event: Event, *, as_json: bool) -> str:
    is_lease = isinstance(event.about, Lease)
    if as_json:
        about = document.lease(event.about) if isinstance(event.about, Lease) else (
            document.hold(event.about))  # fmt: skip
        return json.dumps({"event": event.kind, "lease" if is_lease else "hold": about}) + "\n"
    sign = {watching.ADDED: "+", watching.REMOVED: "-"}.get(event.kind, " ")
    row = table.of_lease(event.about) if isinstance(event.about, Lease) else (
        table.of_hold(event.about))  # fmt: skip
    return printable(f"{sign} {'  '.join(row)}") + "\n"
