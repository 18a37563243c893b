"""What each file of conf-examples needs from the node, and what it must give to a pod."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.conformance.node import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.conformance.node import Node, Pod

FOLDER = REPOSITORY / "conf-examples"


class Example(NamedTuple):
    """One run of one file; a file may have several."""

    file: str
    #: interface in the pod -> its addresses
    pod: Mapping[str, list[str]]
    #: bridge on the node -> its addresses
    bridges: Mapping[str, list[str]] = {}
    gateways: tuple[str, ...] = ()  #: of the pod's default routes
    devices: tuple[str, ...] = ()  #: of the node, given to the pod
    capabilities: Mapping[str, Any] = {}  #: CAP_ARGS
    args: str = ""  #: CNI_ARGS
    vlan_filtering: bool = False  #: not every kernel has it
    next_is_another: bool = False  #: the IPAM plugin goes round: an address is not had again soon
    attachments: str = ""  #: a folder beside the file that is multus' confDir
    more: Callable[[Node, Pod], object] = lambda node, pod: None


def files() -> set[str]:
    """Every network that a user could copy; what a list refers to is run through it."""
    found = (path for path in FOLDER.rglob("*") if path.suffix in (".conflist", ".conf", ".json"))
    return {str(path.relative_to(FOLDER)) for path in found if Path(path.parent).name != "net.d"}


def folders() -> set[str]:
    return {each.name for each in FOLDER.iterdir() if each.is_dir()}


def _masquerades(*addresses: str) -> Callable[[Node, Pod], None]:
    def check(node: Node, pod: Pod) -> None:
        rules = node.net.rules()
        for address in addresses:
            assert any(f"saddr {address} " in rule for rule in rules), rules

    return check


def _bridge(node: Node, pod: Pod) -> None:
    _masquerades("10.85.0.2")(node, pod)
    (port,) = node.net.ip("link", "show", "master", "cni0")
    assert port["linkinfo"]["info_slave_data"]["hairpin"] is True


def _crio_bridge(node: Node, pod: Pod) -> None:
    _bridge(node, pod)
    _masquerades("1100:200::2")(node, pod)
    routes = pod.net.ip("-6", "route", "show", "1100:200::/24")
    assert "1100:200::1" in [each.get("gateway") for each in routes], routes


def _three_networks(node: Node, pod: Pod) -> None:
    links = pod.net.links()
    assert links["net1"]["mtu"] == 9000
    assert "ens2f0" not in node.net.links()
    _masquerades("10.85.0.2")(node, pod)


def _fixed_mac(node: Node, pod: Pod) -> None:
    assert pod.net.links()["eth0"]["address"] == "02:00:00:00:00:20"


def _forwards_a_port(node: Node, pod: Pod) -> None:
    ruleset = node.net.run("nft", "list", "ruleset")
    assert "18080" in ruleset, ruleset
    assert "10.89.0.2" in ruleset, ruleset


def _vlans(node: Node, pod: Pod) -> None:
    (port,) = node.net.ip("link", "show", "master", "trunk0")
    vlans = node.net.vlans(port["ifname"])
    tagged = dict.fromkeys((101, *range(200, 211)), "")
    assert vlans == {100: "PVID Egress Untagged", **tagged}, vlans


#: run by tests/vm/suite/test_sriov_multus.py, where there are cards with VFs
NEED_CARDS = {"sriov/00-multus.conflist"}

#: run by test_cluster_example.py, with an API server
NEED_CLUSTER = {
    "cluster/00-multus.conflist",
    "cluster-addresses/10-cluster-addresses.conflist",
}

EXAMPLES = [
    Example(
        "bridge/10-bridge.conflist",
        pod={"eth0": ["10.85.0.2/16"]},
        bridges={"cni0": ["10.85.0.1/16"]},
        gateways=("10.85.0.1",),
        more=_bridge,
    ),
    Example(
        "crio-bridge/10-crio-bridge.conf",
        pod={"eth0": ["10.85.0.2/16", "1100:200::2/24"]},
        bridges={"cni0": ["10.85.0.1/16", "1100:200::1/24"]},
        gateways=("10.85.0.1",),
        next_is_another=True,
        more=_crio_bridge,
    ),
    Example(
        "three-networks/00-multus.conflist",
        pod={
            "eth0": ["10.85.0.2/16"],
            "net1": ["192.168.40.16/24"],
            "fast0": ["172.20.0.1/24"],
        },
        bridges={"cni0": ["10.85.0.1/16"], "storage0": []},
        gateways=("10.85.0.1",),
        devices=("ens2f0",),
        attachments="net.d",
        more=_three_networks,
    ),
    Example(
        "vlan-trunk/10-vlan-trunk.conflist",
        pod={"eth0": ["10.100.0.1/24"]},
        bridges={"trunk0": []},
        vlan_filtering=True,
        more=_vlans,
    ),
    Example(
        "dual-stack/10-dual-stack.conflist",
        pod={"eth0": ["10.86.0.2/16", "fd00:86::2/64"]},
        bridges={"dual0": ["10.86.0.1/16", "fd00:86::1/64"]},
        gateways=("10.86.0.1", "fd00:86::1"),
        more=_masquerades("10.86.0.2", "fd00:86::2"),
    ),
    Example(
        "fixed-addresses/10-fixed.conflist",
        pod={"eth0": ["10.87.0.10/24"]},
        bridges={"fixed0": []},
    ),
    Example(
        "fixed-addresses/10-fixed.conflist",
        pod={"eth0": ["10.87.0.20/24"]},
        capabilities={"ips": ["10.87.0.20/24"], "mac": "02:00:00:00:00:20"},
        more=_fixed_mac,
    ),
    Example("fixed-addresses/20-requested.conflist", pod={"eth0": ["10.88.0.1/24"]}),
    Example(
        "fixed-addresses/20-requested.conflist",
        pod={"eth0": ["10.88.0.50/24"]},
        args="IP=10.88.0.50",
    ),
    Example(
        "fixed-addresses/20-requested.conflist",
        pod={"eth0": ["10.88.0.60/24"]},
        capabilities={"ips": ["10.88.0.60/24"]},
    ),
    Example(
        "foreign-chain/00-multus.conf",
        pod={"eth0": ["10.89.0.2/24"]},
        gateways=("10.89.0.1",),
        capabilities={
            "portMappings": [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}]
        },
        next_is_another=True,
        more=_forwards_a_port,
    ),
    Example(
        "sriov-operator-ipam/10-operator.conflist",
        pod={"eth0": ["10.35.1.64/24"]},
        bridges={"operator0": []},
    ),
]
