"""Wishes against what the PF says: which to set, and which it contradicts."""

from __future__ import annotations

from cni.host.vf import Rate, Settings, Vlan
from cni.sriov.settings import contradicted, differing

WANTED = Settings(vlan=Vlan(100), rate=Rate(0, 50), trust=True)


def test_what_is_not_told_is_set_but_contradicts_nothing() -> None:
    """A driver that cannot say whether a VF is trusted must not fail every CHECK."""
    told = Settings(vlan=Vlan(100), rate=Rate(0, 20))
    assert differing(WANTED, told) == {"rate": Rate(0, 50), "trust": True}
    assert contradicted(WANTED, told) == {"rate": Rate(0, 50)}
    assert contradicted(WANTED, WANTED) == differing(WANTED, WANTED) == {}
    assert contradicted(Settings(), WANTED) == {}
