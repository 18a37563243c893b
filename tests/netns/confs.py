"""Configurations, shorter than their JSON."""

from __future__ import annotations

import json
from typing import Any

Conf = dict[str, Any]


def bridge(
    *, version: str = "1.0.0", name: str = "net", ipam: Conf | None = None, **keys: Any
) -> Conf:
    """bridge on `br0`; without `ipam` a network without addresses."""
    conf: Conf = {"cniVersion": version, "name": name, "type": "bridge", "bridge": "br0", **keys}
    return conf if ipam is None else conf | {"ipam": ipam}


def host_device(*, version: str = "1.0.0", name: str = "net", **keys: Any) -> Conf:
    return {"cniVersion": version, "name": name, "type": "host-device", **keys}


def static(*addresses: str, gateway: str = "", **keys: Any) -> Conf:
    """`ipam` that gives these addresses."""
    entries = [{"address": each} | ({"gateway": gateway} if gateway else {}) for each in addresses]
    return {"type": "static", "addresses": entries, **keys}


def whereabouts(cidr: str, **keys: Any) -> Conf:
    """`ipam` that leases, so that a leak shows."""
    return {"type": "whereabouts", "range": cidr, **keys}


def encoded(conf: Conf) -> bytes:
    """As it comes on standard input."""
    return json.dumps(conf).encode()
