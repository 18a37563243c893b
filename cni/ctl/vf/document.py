"""The inventory as one JSON document. Its keys are an interface: add to them, rename none.

    {"pfs": [{"address", "interface", "driver", "numaNode", "totalVFs", "numVFs", "mtu", "up",
              "operState", "vfs": [...]}]}

    a VF: {"index", "address", "driver", "interface", "numaNode", "iommuGroup", "mtu", "mac",
           "vlan": {"id", "qos", "proto"}, "spoofchk", "trust", "linkState", "minTxRate",
           "maxTxRate", "owner": {"network", "containerID", "ifName", "netns", "phase"}}

Null is what nobody knows; `interface` is empty and `mtu` null for a VF that has no interface on the
host. MTU in bytes, rates in Mbit/s with 0 being unlimited; `mac` is the administrative address that
the PF has for the VF. `owner` is null for a free VF; `phase` is adding, done, orphan (deleted, but
its interface did not come back), stale (its namespace is gone) or allocated (no record of it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.core.types import Json
    from cni.ctl.vf.inventory import Pf, Vf
    from cni.ctl.vf.owners import Owner


def document(pfs: Iterable[Pf]) -> Json:
    return {"pfs": [_pf(each) for each in pfs]}


def _pf(pf: Pf) -> Json:
    return {
        "address": pf.address,
        "interface": pf.interface,
        "driver": pf.driver,
        "numaNode": pf.numa_node,
        "totalVFs": pf.total,
        "numVFs": pf.present,
        "mtu": pf.mtu or None,
        "up": pf.is_up,
        "operState": pf.state,
        "vfs": [_vf(each) for each in pf.vfs],
    }


def _vf(vf: Vf) -> Json:
    held = vf.settings
    rates: tuple[int | None, int | None] = held.rate or (None, None)
    return {
        "index": vf.number,
        "address": vf.address,
        "driver": vf.driver,
        "interface": vf.interface,
        "numaNode": vf.numa_node,
        "iommuGroup": vf.iommu_group,
        "mtu": vf.mtu or None,
        "mac": held.mac,
        "vlan": held.vlan._asdict() if held.vlan else None,
        "spoofchk": held.spoofchk,
        "trust": held.trust,
        "linkState": held.link_state,
        "minTxRate": rates[0],
        "maxTxRate": rates[1],
        "owner": _owner(vf.owner),
    }


def _owner(owner: Owner | None) -> dict[str, Any] | None:
    if owner is None:
        return None
    return {
        "network": owner.network,
        "containerID": owner.container_id,
        "ifName": owner.ifname,
        "netns": owner.netns,
        "phase": owner.phase,
    }
