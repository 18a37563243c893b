"""The options that commands of `plait ipam` share."""

from __future__ import annotations

from typing import Annotated

import typer

from cni.core.names import ifname_fault
from ipam.addresses import parse_cidr


def cidr(text: str) -> str:
    """A network in canonical text, or nothing. Raises typer.BadParameter."""
    try:
        return str(parse_cidr(text).network) if text else ""
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def ifname(text: str) -> str:
    """Raises typer.BadParameter."""
    if text and (fault := ifname_fault(text)):
        raise typer.BadParameter(f'"{text}": {fault}')
    return text


Cidr = Annotated[
    str,
    typer.Option(
        "--range",
        metavar="CIDR",
        callback=cidr,
        help="The range that the address is of.",
        show_default="the only one that has it",
    ),
]
NetworkName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="network_name of the range.", show_default="any"),
]
Ifname = Annotated[
    str, typer.Option(metavar="NAME", callback=ifname, help="Only for this interface of it.")
]
Kubeconfig = Annotated[
    str, typer.Option(metavar="FILE", help="The cluster, of which pods are to be listed.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]
