"""The network configurations that the tests hand to the clients."""

import os
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

Config = dict[str, Any]

#: One address for a container beside the gateway's: the second container is refused, unless the
#: first has given its address back.
ONE_ADDRESS = "10.88.1.0/30"


def ipam(subnet: str) -> Config:
    """Addresses from `subnet`, lowest first; the highest is the gateway."""
    gateway = str(IPv4Network(subnet)[-2])
    routes = [{"dst": "0.0.0.0/0"}]
    if os.environ.get("PLAIT_CLIENT_IPAM") == "host-local":
        return host_local(subnet)
    return {
        "type": "whereabouts",
        "range": subnet,
        "gateway": gateway,
        # whereabouts gives away its gateway unless it is told not to.
        "exclude": [f"{gateway}/32"],
        "routes": routes,
    }


def host_local(subnet: str) -> Config:
    """The same in the words of host-local; podman reads this section itself and knows no other."""
    addresses = {"subnet": subnet, "gateway": str(IPv4Network(subnet)[-2])}
    return {
        "type": "host-local",
        "ranges": [[addresses]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }


def bridge(addresses: Mapping[str, Any], name: str = "plait0") -> Config:
    """A bridge on the node, which has the gateway's address."""
    return {"type": "bridge", "bridge": name, "isGateway": True, "ipam": dict(addresses)}


def conflist(*plugins: Config, name: str = "pods", version: str = "1.0.0") -> Config:
    """A network list as it lies in /etc/cni/net.d."""
    return {"cniVersion": version, "name": name, "plugins": list(plugins)}


def multus(*delegates: Config, version: str = "1.0.0") -> Config:
    """A multus that needs no API server: the first delegate is the default network."""
    named = [
        {"cniVersion": version, "name": f"delegate{number}", **delegate}
        for number, delegate in enumerate(delegates)
    ]
    return {"type": "multus", "delegates": named}
