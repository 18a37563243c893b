"""The options that commands about leases share."""

from __future__ import annotations

from typing import Annotated

import typer

from cni.ctl.leases import selection

Conf = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="A network configuration, conflist or flat file: the store that it means, its ranges.",
        show_default="the leases of this node",
    ),
]
Network = Annotated[
    str, typer.Option(metavar="NAME", help="Only this network, or this network_name.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def pod(text: str) -> str:
    """Raises typer.BadParameter."""
    try:
        return selection.pod(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def address(text: str) -> str:
    """An address in canonical text, or nothing. Raises typer.BadParameter."""
    try:
        return str(selection.address(text) or "")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Pod = Annotated[
    str,
    typer.Option(metavar="NAMESPACE/NAME", callback=pod, help="Only what is this pod's."),
]
At = Annotated[
    str, typer.Option("--address", metavar="IP", callback=address, help="Only this address.")
]
Node = Annotated[str, typer.Option(metavar="NAME", help="Only leases of this node.")]
