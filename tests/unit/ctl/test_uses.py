"""What stands upon a link goes with it."""

from __future__ import annotations

from cni.ctl.vf.uses import on_top
from cni.host.link import Link


def test_links_upon_links() -> None:
    own = Link(3, "eth0")
    links = [
        Link(7, "ipv", kind="ipvlan", parent=6),
        own,
        Link(6, "stor", kind="vlan", parent=3),
        Link(8, "other", kind="vlan", parent=4),
        Link(9, "veth0", kind="veth", parent=3),  # the index of its peer in another namespace
        Link(10, "tap", kind="macvtap", parent=3),
    ]
    assert [each.name for each in on_top(own, links)] == ["stor", "tap", "ipv"]
    assert on_top(links[3], links) == []
