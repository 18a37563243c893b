"""`plait ipam import`. Help is given as strings, see commands.py."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from cni.core.errors import invalid
from cni.core.names import is_identifier
from cni.ctl.ipam.options import DryRun, Kubeconfig, NetworkName, cidr
from cni.ctl.ipam.options import ifname as checked_ifname
from cni.ctl.leases import source
from cni.ctl.leases.advice import advised
from cni.ctl.leases.options import Conf  # noqa: TC001 (for typer)
from cni.ctl.leases.selection import Found
from ipam.node import node_name

if TYPE_CHECKING:
    from cni.ctl.ipam.importing import Taken
    from cni.ctl.leases.source import Pool
    from ipam.stores import Hold

importer = typer.Typer(rich_markup_mode=None)


@importer.command(
    "import",
    short_help="Take leases over into the store of this node.",
    help="Take leases over into the store of this node: from the files of host-local, or from "
    "whereabouts' pools in a cluster. All of them or none: a conflict is an error. "
    "Leases that are there already are fine.",
)
def import_leases(
    network: Annotated[
        str, typer.Option(metavar="NAME", help="The network whose attachments lease them.")
    ],
    host_local: Annotated[
        str,
        typer.Option(metavar="DIR", help="host-local's directory, usually /var/lib/cni/networks."),
    ] = "",
    whereabouts: Annotated[
        bool, typer.Option("--whereabouts", help="The IPPools of the cluster of --kubeconfig.")
    ] = False,
    cidrs: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="CIDR",
            help="The range that they are to be of; of IPPools only this one. Repeatable.",
            show_default="of --conf, or that of other leases",
        ),
    ] = None,
    network_name: NetworkName = None,
    ifname: Annotated[
        str,
        typer.Option(
            "--ifname",
            metavar="NAME",
            callback=checked_ifname,
            help="Where a file names no interface.",
        ),
    ] = "eth0",
    kubeconfig: Kubeconfig = "",
    namespace: Annotated[
        str, typer.Option(metavar="NAME", help="Of the IPPools.", show_default="the kubeconfig's")
    ] = "",
    node: Annotated[
        str, typer.Option(metavar="NAME", help="Of IPPools only what pods of this node have.")
    ] = "",
    conf: Conf = "",
    dry_run: DryRun = False,
) -> None:
    from cni.ctl.ipam import importing  # what only this command needs

    if bool(host_local) == whereabouts:
        raise typer.BadParameter("either --host-local or --whereabouts")
    if whereabouts and not kubeconfig:
        raise typer.BadParameter("--whereabouts needs --kubeconfig")
    if not is_identifier(network):
        raise typer.BadParameter(f'"{network}" is no name of a network', param_hint="--network")
    wanted = [cidr(each) for each in cidrs or []]
    directory = source.state_dir(os.environ)
    with advised():
        holds: list[Hold] = []
        if host_local:
            pools = _pools(conf, network, wanted, network_name)
            own = node_name(os.environ)
            leases = importing.from_host_local(
                host_local, network, pools, directory, node=own, ifname=ifname
            )
        else:
            leases, holds = _from_cluster(
                kubeconfig, namespace, network, wanted, network_name, node
            )
        done = importing.take_over(directory, leases, holds, dry_run=dry_run)
    said = "would be imported" if dry_run else "imported"
    typer.echo(f"{said}: {done.leases} leases, {done.holds} holds; {done.known} were there already")


def _pools(
    conf: str, network: str, cidrs: list[str], network_name: str | None
) -> list[Pool]:  # fmt: skip
    """Where leases are to be: as the options say, as a configuration does, as other leases are."""
    origin = source.read(conf, os.environ, network)
    if cidrs:
        found = [source.Pool(network_name or "", source.whole(each)) for each in cidrs]
        known = {(each.network_name, each.range.cidr): each for each in origin.pools}
        return [known.get((each.network_name, each.range.cidr), each) for each in found]
    if conf:
        return origin.pools
    store = origin.open()
    seen = source.seen(Found(store.every(), store.holds()))
    return [each for each in seen if network_name in (None, each.network_name)]


def _from_cluster(
    kubeconfig: str,
    namespace: str,
    network: str,
    cidrs: list[str],
    network_name: str | None,
    node: str,
) -> tuple[list[Taken], list[Hold]]:
    """What IPPools have, of all nodes or of one."""
    from cni.ctl.ipam import importing, pods
    from ipam.stores.journal import Journal
    from ipam.stores.kubernetes import KubernetesStore

    client = pods.client(kubeconfig)
    try:
        where = namespace or client.namespace or "kube-system"
        journal = Journal(source.state_dir(os.environ), f"kubernetes/{where}")
        store = KubernetesStore(client, where, journal)
        every = Found(store.every(), store.holds())
    finally:
        client.close()
    of_node = pods.of(kubeconfig, node) if node else None
    found = Found(
        [
            each
            for each in every.leases
            if (not cidrs or each.cidr in cidrs)
            and network_name in (None, each.network_name)
            and (of_node is None or f"{each.pod_namespace}/{each.pod_name}" in of_node)
        ],
        [
            each
            for each in every.holds
            if (not cidrs or each.cidr in cidrs)
            and network_name in (None, each.network_name)
            and (of_node is None or each.holder in of_node)
        ],
    )
    if not found.both:
        raise invalid(f"nothing to import: no IPPool in namespace {where} has what fits")
    return importing.from_store(found, network, source.seen(found)), found.holds
