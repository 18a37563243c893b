"""The inventory for people: a line for each PF, below it its VFs.

Nothing is cut or folded: an address must be whole wherever the text goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cni.ctl.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.ctl.vf.inventory import Pf, Vf

_COLUMNS = ("VF", "ADDRESS", "DRIVER", "INTERFACE", "OWNER", "ADMIN MAC", "VLAN", "NUMA", "IOMMU")
_NUMBERS = frozenset({"VF", "NUMA", "IOMMU"})
_NONE = "-"
_WIDTH = 10_000  #: columns; wider than any line


def show(pfs: Sequence[Pf], out: TextIO) -> None:
    """Bold and dim on a terminal, plain text elsewhere."""
    console = Console(file=out, width=_WIDTH, highlight=False, emoji=False, markup=False)
    if not pfs:
        console.print("no SR-IOV network card")
    for number, pf in enumerate(pfs):
        if number:
            console.print()
        console.print(Text(printable(headline(pf)), style="bold"))
        if pf.vfs:
            console.print(_table(pf))


def headline(pf: Pf) -> str:
    """`pf0  0000:21:00.0  igb  4 of 7 VFs  NUMA node 0  MTU 1500  up`"""
    facts = [
        pf.interface or _NONE,
        pf.address,
        pf.driver or _NONE,
        f"{pf.present} of {pf.total} VFs",
    ]
    if pf.numa_node is not None:
        facts.append(f"NUMA node {pf.numa_node}")
    if pf.interface:
        facts.append(f"MTU {pf.mtu}")
        facts.append("down" if not pf.is_up else "up" if pf.state == "up" else "up, no carrier")
    return "  ".join(facts)


def row(vf: Vf) -> tuple[str, ...]:
    """The texts of a VF, one for each column."""
    return (
        str(vf.number),
        vf.address,
        vf.driver or _NONE,
        vf.interface or _whereabouts(vf),
        _owner(vf),
        vf.settings.mac or _NONE,
        _vlan(vf),
        _NONE if vf.numa_node is None else str(vf.numa_node),
        _NONE if vf.iommu_group is None else str(vf.iommu_group),
    )


def _table(pf: Pf) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in _COLUMNS:
        table.add_column(name, no_wrap=True, justify="right" if name in _NUMBERS else "left")
    for vf in pf.vfs:
        table.add_row(*(Text(printable(each)) for each in row(vf)))
    return table


def _whereabouts(vf: Vf) -> str:
    if not vf.is_away:
        return _NONE
    return f"in {vf.owner.netns}" if vf.owner and vf.owner.netns else "in another namespace"


def _owner(vf: Vf) -> str:
    if vf.owner is None:
        return _NONE
    return str(vf.owner) + ("" if vf.owner.phase == "done" else f" ({vf.owner.phase})")


def _vlan(vf: Vf) -> str:
    vlan = vf.settings.vlan
    if vlan is None or not vlan.id:
        return _NONE
    qos = f" qos {vlan.qos}" if vlan.qos else ""
    return f"{vlan.id}{qos}" + (f" {vlan.proto}" if vlan.proto != "802.1q" else "")
