"""The commands of `plait vf`: what the user wrote becomes a call, what came of it becomes text.

Help is given as strings and not as docstrings, which the frozen executable does not have.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from cni.ctl.text import say
from cni.ctl.vf import inventory, orphan, table
from cni.ctl.vf.document import document
from cni.ctl.vf.plan import KERNEL, VFIO, Wish, indices
from cni.ctl.vf.provision import World, provision, rehearse
from cni.host.rtnl import Rtnl

vf = typer.Typer(
    help="Virtual functions (SR-IOV) of this node: list, provision, release.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_PF = typer.Argument(metavar="PF", help="A PF by its interface or its PCI address.")


def _state_dir() -> str:
    return os.environ.get("PLAIT_STATE_DIR") or "/var/lib/cni"


@vf.command("list", help="Show PFs and their VFs: drivers, interfaces, owners, settings.")
def list_all(
    pf: Annotated[str, typer.Option(metavar="PF", help="Only this one, by name or address.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    with Rtnl() as nl:
        wanted = inventory.find(nl, pf) if pf else ""
        found = [
            each for each in inventory.read_all(nl, _state_dir()) if wanted in ("", each.address)
        ]
    if as_json:
        typer.echo(json.dumps(document(found), indent=4))
    else:
        table.show(found, sys.stdout)


@vf.command(
    "provision",
    short_help="Create VFs of a PF, for the kernel or for programs.",
    help="Create VFs of a PF and give them to the kernel's network stack or to programs (DPDK). "
    "Does only what is missing; refuses while a VF that it must change is in use. "
    "Nothing of it survives a restart of the machine.",
)
def provision_pf(
    pf: Annotated[str, _PF],
    num: Annotated[
        int, typer.Option("--num", metavar="N", min=0, help="How many VFs the PF is to have.")
    ],
    driver: Annotated[
        str, typer.Option(metavar=f"{KERNEL}|{VFIO}", help="Who drives the VFs.")
    ] = KERNEL,
    vfs: Annotated[
        str,
        typer.Option(
            metavar="RANGE",
            help="The VFs that --driver and --mtu are for, as 0-3 or 0,2-4.",
            show_default="all",
        ),
    ] = "",
    mtu: Annotated[
        int,
        typer.Option(
            metavar="BYTES", min=0, max=65535,
            help="MTU of the VFs; the PF's is raised if it is lower.",
            show_default="unchanged",
        ),
    ] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Even if it takes VFs away from pods or the host.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the steps, do none.")] = False,
) -> None:  # fmt: skip
    if driver not in (KERNEL, VFIO):
        raise typer.BadParameter(
            f'"{driver}" is neither {KERNEL} nor {VFIO}', param_hint="--driver"
        )
    try:
        wish = Wish(num, driver, indices(vfs, num) if vfs else None, mtu)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--vfs") from None
    with Rtnl() as nl:
        world = World(nl, _state_dir(), say)
        address = inventory.find(nl, pf)
        steps = (rehearse if dry_run else provision)(world, address, wish, force=force)
    if not steps:
        say(f"nothing to do: {pf} is so already")


@vf.command(
    "release",
    short_help="Give back a VF whose pod is gone.",
    help="Give back a VF whose pod is gone without a DEL: restore its name, MAC address, VLAN and "
    "the rest from its record, and free it. An address that IPAM gave stays for IPAM's GC.",
)
def release_vf(
    device: Annotated[
        str, typer.Argument(metavar="VF", help="A VF by its PCI address or its interface.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Even if the pod's network namespace lives.")
    ] = False,
) -> None:
    with Rtnl() as nl:
        address = inventory.find_vf(nl, device)
    say(orphan.release(_state_dir(), address, force=force))
