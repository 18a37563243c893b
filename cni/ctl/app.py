"""The tool's front door: `plait COMMAND ...`, its exit status, its one line for an error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cni import __version__
from cni.agent import server
from cni.core import signals
from cni.core.errors import Interrupted, describe
from cni.ctl.install.commands import node
from cni.ctl.ipam.commands import ipam
from cni.ctl.leases.commands import leases
from cni.ctl.text import printable
from cni.ctl.trace import tracing
from cni.ctl.vf.commands import vf

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="plait",
    help="Plait: CNI plugins for bare metal. This is the operator's tool; the plugins are started "
    "by the container runtime.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(node)
app.add_typer(tracing)
app.add_typer(leases, name="leases", short_help="Leases of addresses: list, usage, watch, metrics.")
app.add_typer(
    ipam, name="ipam", short_help="Addresses: reserve, release, reconcile, import, check."
)
app.add_typer(vf, name="vf", short_help="Virtual functions of this node: list, provision, release.")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"plait {__version__}")
        raise typer.Exit


@app.callback()
def plait(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command(
    "agent",
    short_help="Run this node's calls in a process that has everything imported.",
    help="Serve calls of this node's plugins from a process that has everything imported: each "
    "takes some 15 ms less. Without it, or when it is busy, they run by themselves.",
)
def agent(
    calls: Annotated[
        int, typer.Option(min=1, max=server.MOST, help="So many at a time; more run by themselves.")
    ] = server.CALLS,
) -> None:
    raise typer.Exit(server.main(["--calls", str(calls)]))


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 wrongly called."""
    signals.install()
    try:
        app(args=list(arguments), prog_name="plait")
        sys.stdout.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except (Exception, Interrupted) as failure:
        sys.stderr.write(f"plait: {printable(str(describe(failure)))}\n")
        return 1
    return 0
