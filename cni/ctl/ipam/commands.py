"""The commands of `plait ipam`: what the user wrote becomes a call, what came of it becomes text.

Help is given as strings and not as docstrings, which the frozen executable does not have.
"""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cni.core import signals
from cni.core.errors import CniError, invalid
from cni.ctl.ipam import judge, reconcile, releasing, reserving
from cni.ctl.ipam.import_command import importer
from cni.ctl.ipam.options import Cidr, DryRun, Ifname, Kubeconfig, NetworkName  # noqa: TC001 (for typer)
from cni.ctl.leases import document, source
from cni.ctl.leases.advice import advised
from cni.ctl.leases.options import AsJson, Conf, Network, address, pod
from cni.ctl.leases.selection import Selection
from cni.ctl.text import say
from ipam.addresses import parse_ip
from ipam.ranges import text

if TYPE_CHECKING:
    from cni.ctl.ipam.reconcile import Outcome

ipam = typer.Typer(
    help="Addresses by hand: reserve, release, reconcile, import, check.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ipam.add_typer(importer)


@ipam.command(
    "reserve",
    short_help="Keep an address for a pod.",
    help="Keep an address for a pod, for ever: others do not get it, and the pod gets it whenever "
    "it comes. An address that the pod has now is reserved when its lease has ended.",
)
def reserve(
    at: Annotated[str, typer.Argument(metavar="ADDRESS", callback=address)],
    owner: Annotated[
        str,
        typer.Option("--pod", metavar="NAMESPACE/NAME", callback=pod, help="The pod."),
    ],
    cidr: Cidr = "",
    network_name: NetworkName = None,
    ifname: Ifname = "",
    conf: Conf = "",
) -> None:
    if not at or not owner:
        raise typer.BadParameter("an address and a pod are needed")
    with advised():
        origin = source.read(conf, os.environ)
        say(
            reserving.reserve(
                origin,
                parse_ip(at),
                owner,
                ifname=ifname,
                cidr=cidr,
                network_name=network_name,
            )
        )


@ipam.command(
    "release",
    short_help="Free an address, or all of a container or pod.",
    help="Free an address, or all that a container or a pod has: forget what is held, drop what is "
    "leased. A lease whose network namespace is still there, or may be, stays.",
)
def release(
    at: Annotated[
        str, typer.Argument(metavar="ADDRESS", callback=address, show_default=False)
    ] = "",
    container: Annotated[str, typer.Option(metavar="ID", help="All of this container.")] = "",
    owner: Annotated[
        str,
        typer.Option("--pod", metavar="NAMESPACE/NAME", callback=pod, help="All of this pod."),
    ] = "",
    network: Network = "",
    force: Annotated[
        bool, typer.Option("--force", help="Even if the network namespace lives.")
    ] = False,
    conf: Conf = "",
) -> None:  # fmt: skip
    if not (at or container or owner):
        raise typer.BadParameter("name an ADDRESS, a --container or a --pod")
    ip = parse_ip(at) if at else None
    wanted = Selection(network=network, pod=owner, address=ip, container=container)
    with advised():
        origin = source.read(conf, os.environ, network)
        for line in releasing.release(origin, wanted, force=force):
            say(line)


@ipam.command(
    "reconcile",
    short_help="Release leases whose owner is gone without a DEL.",
    help="Release leases whose owner is gone without a DEL: those of an earlier boot, those whose "
    "network namespace is gone, and, with a cluster, those whose pod does not exist or has another "
    "UID. What only the cluster says, or contradicts, has to be seen several times. A lease whose "
    "network namespace is there is never released. Nothing is judged when the pods cannot be "
    "listed, are none, or seem to be another node's.",
)
def reconcile_leases(
    kubeconfig: Kubeconfig = "",
    strikes: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=1000, help="How often a pod has to be missed."),
    ] = 3,
    grace: Annotated[
        int,
        typer.Option(metavar="SECONDS", min=0, help="How long a lease is left alone."),
    ] = 300,
    interval: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=86400,
            help="Look several times in this run, so far apart: as often as --strikes says.",
            show_default="once",
        ),
    ] = 0,
    node: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="List the pods of this node only, whose own leases are to be judged.",
            show_default="all pods",
        ),
    ] = "",
    network: Annotated[
        str, typer.Option(metavar="NAME", help="Which store, when --conf means several.")
    ] = "",
    conf: Conf = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    from cni.ctl.ipam import pods  # and with it what speaks TLS

    with advised():
        origin = source.read(conf, os.environ, network)
        access = kubeconfig or origin.kubeconfig
        listing = partial(pods.of, access, node) if access else None
        if node and origin.datastore != "file":
            raise typer.BadParameter("a store of all nodes needs all pods", param_hint="--node")
        rules = judge.Rules(strikes, grace)
        released: list[Outcome] = []
        for left in range(strikes if interval else 1, 0, -1):
            outcomes = reconcile.run(origin, listing, rules, node=node, dry_run=dry_run)
            released += [each for each in outcomes if each.what == judge.RELEASED]
            kept = [each for each in outcomes if each.what != judge.RELEASED]
            if left == 1 or not any(each.what == judge.WAITING for each in kept):
                break
            signals.sleep(interval)
    _tell([*released, *kept], as_json=as_json, dry_run=dry_run)
    if failure := reconcile.failure(kept):
        raise failure


def _tell(outcomes: list[Outcome], *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        told = [
            {
                **document.lease(each.lease),
                "decision": each.what,
                "reason": each.reason,
                "strikes": each.strikes,
            }
            for each in outcomes
        ]
        typer.echo(json.dumps({"dryRun": dry_run, "leases": told}, indent=4))
        return
    for each in outcomes:
        if each.what != judge.KEPT:
            lease = each.lease
            what = f"would be {each.what}" if dry_run else each.what
            at = text(lease.version, lease.address)
            say(f"{what}: {at} of range {lease.cidr}, {releasing.owner(lease)}: {each.reason}")
    say(reconcile.summary(outcomes, dry_run=dry_run))


@ipam.command(
    "check",
    short_help="Verify the database of this node's leases.",
    help="Verify the database of this node's leases: the file's structure, and that its index of "
    "taken addresses says what leases and holds say. Exit status 1 when it does not.",
)
def check(
    repair: Annotated[
        bool, typer.Option("--repair", help="Make the indexes anew from leases and holds.")
    ] = False,
) -> None:
    from cni.ctl.ipam import database

    directory = source.state_dir(os.environ)
    path = source.database(directory)
    if not os.path.exists(path):
        say(f"nothing to check: there is no {path}")
        return
    with advised(), database.opened(directory, "check the leases", may_change=repair) as opened:
        found = database.faults(opened, path)
        for each in found:
            say(each)
        if found and repair:
            database.repair(opened)
            if left := database.faults(opened, path):
                raise CniError(
                    5, f"cannot repair the leases: {path}", f"database disk image: {left[0]}"
                )
    if not found:
        say(f"fine: {path}")
    elif repair:
        say(f"repaired: {path}")
    else:
        raise invalid(f"faults in {path}", "`plait ipam check --repair` makes the indexes anew")
