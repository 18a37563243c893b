"""What the host itself and its programs do with a card: who changes it would take that away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.host import address, driver, link, route

if TYPE_CHECKING:
    from cni.ctl.vf.inventory import Pf
    from cni.host.link import Link
    from cni.host.rtnl import Rtnl

#: whose parent is a peer, by an index that can be of another namespace
_PAIRS = frozenset({"veth", "netkit", "vxcan"})


def add_to(nl: Rtnl, pf: Pf) -> Pf:
    """The same card, its `uses` and those of its VFs filled in."""
    links = link.list_links(nl)
    named = {each.name: each for each in links}
    carrying = _carriers(nl, links)

    def of(interface: str) -> tuple[str, ...]:
        own = named.get(interface)
        return tuple(_uses(nl, own, carrying, links)) if own else ()

    programs = _programs(pf)
    return pf._replace(
        uses=of(pf.interface),
        vfs=tuple(
            each._replace(uses=of(each.interface), programs=tuple(programs.get(each.address, ())))
            for each in pf.vfs
        ),
    )


def _programs(pf: Pf) -> dict[str, list[str]]:
    """Of each VF that programs may have, those that do; all processes are looked at once."""
    devices = {
        path: vf.address
        for vf in pf.vfs
        if vf.is_for_programs
        for path in driver.character_devices(vf.address)
    }
    found: dict[str, list[str]] = {}
    for path, program in driver.programs_with(set(devices)):
        found.setdefault(devices[path], []).append(program)
    return found


def _carriers(nl: Rtnl, links: list[Link]) -> set[int]:
    """The links that a default route leads through: of a VLAN its parent, of a bond its ports."""
    parents = {each.ifindex: each.parent for each in links}
    found: set[int] = set()
    front = {each.oif for each in route.list_routes(nl, table=0) if each.is_default}
    while front := front - found - {0}:
        found |= front
        ports = {each.ifindex for each in links if each.master in front}
        front = ports | {parents.get(index, 0) for index in front}
    return found


def _uses(nl: Rtnl, own: Link, carrying: set[int], links: list[Link]) -> list[str]:
    found = []
    if own.ifindex in carrying:
        found.append("carries a default route of this node")
    addresses = [each.cidr for each in address.list_addresses(nl, own) if each.is_global]
    if addresses:
        found.append(f"has the address {' '.join(addresses)}")
    if own.master:
        masters = [each.name for each in links if each.ifindex == own.master]
        found.append(f'is a port of "{"".join(masters) or own.master}"')
    upper = [f'"{each.name}"' for each in on_top(own, links)]
    if upper:
        found.append(f"has {', '.join(upper)} on top")
    return found


def on_top(own: Link, links: list[Link]) -> list[Link]:
    """The VLANs, macvlans and the like upon the link, and those upon them: they go with it.

    Those that are in other namespaces cannot be seen.
    """
    found: list[Link] = []
    front = {own.ifindex}
    while front:
        upper = [
            each
            for each in links
            if each.parent in front and each.kind not in _PAIRS and each not in found
        ]
        found += upper
        front = {each.ifindex for each in upper}
    return found
