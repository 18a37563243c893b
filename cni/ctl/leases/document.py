"""Leases, holds and usage as JSON. The keys are an interface: add to them, rename none.

    list:  {"leases": [...], "holds": [...]}
    usage: {"ranges": [...]}
    watch: a line for each change, {"event": "there"|"added"|"removed", "lease"|"hold": {...}}

Times are seconds since 1970. Null is what nobody knows, and for `until`: for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipam.ranges import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.core.types import Json
    from cni.ctl.leases.selection import Found
    from cni.ctl.leases.usage import Usage
    from ipam.stores import Hold, Lease


def listed(found: Found) -> Json:
    return {
        "leases": [lease(each) for each in found.leases],
        "holds": [hold(each) for each in found.holds],
    }


def lease(each: Lease) -> Json:
    return {
        "address": text(each.version, each.address),
        "range": each.cidr,
        "networkName": each.network_name,
        "network": each.attachment.network,
        "containerID": each.attachment.container_id,
        "ifName": each.attachment.ifname,
        "podNamespace": each.pod_namespace,
        "podName": each.pod_name,
        "podUID": each.pod_uid,
        "node": each.node,
        "netns": each.netns,
        "created": each.created or None,
    }


def hold(each: Hold) -> Json:
    return {
        "address": text(each.version, each.address),
        "range": each.cidr,
        "networkName": each.network_name,
        "kind": each.kind,
        "holder": each.holder,
        "ifName": each.ifname,
        "until": each.until or None,
    }


def usage(ranges: Iterable[Usage]) -> Json:
    return {
        "ranges": [
            {
                "range": each.cidr,
                "networkName": each.network_name,
                "first": each.first,
                "last": each.last,
                "capacity": each.capacity,
                "free": each.free,
                "used": each.leased,
                "held": each.held,
                "cooling": each.cooling,
                "sticky": each.sticky,
                "reserved": each.reserved,
                "elsewhere": each.elsewhere,
                "outside": each.outside,
                "usedPercent": round(each.percent(each.leased), 3),
                "freePercent": round(each.percent(each.free), 3),
                "oldestLease": each.oldest or None,
            }
            for each in ranges
        ]
    }
