"""What `plait ipam reconcile` did, address by address."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.ctl.leased import Node


def run(node: Node, *options: str, grace: int = 0) -> dict[str, tuple[str, str]]:
    """Address -> what was done, and why."""
    said = node.ok("ipam", "reconcile", "--json", "--grace", str(grace), *options).json
    return {each["address"]: (each["decision"], each["reason"]) for each in said["leases"]}


def done(node: Node, *options: str, grace: int = 0) -> dict[str, str]:
    return {address: what for address, (what, _) in run(node, *options, grace=grace).items()}
