"""Vectors 1 to 20: what a pod's annotation asks for, from the API server to the delegates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.meta.cluster.node import CBR0, DEFAULT_NETWORK

if TYPE_CHECKING:
    from tests.unit.meta.cluster.node import ClusterNode

LOAD = "[default/p1/u1]: error loading k8s delegates k8s args: "
PARSE = f"{LOAD}parsePodNetworkAnnotation: "
NAME = f"{PARSE}parsePodNetworkObjectName: "
JSON_FORM = f"{PARSE}failed to parse pod Network Attachment Selection Annotation JSON format: "


def missing(name: str, namespace: str = "default") -> str:
    reason = f'network-attachment-definitions.k8s.cni.cncf.io "{name}" not found'
    return (
        "GetNetworkDelegates: failed getting the delegate: getKubernetesDelegate: cannot find a"
        f" network-attachment-definition ({name}) in namespace ({namespace}):"
        f" {reason if name else 'resource name may not be empty'}"
    )


def mismatch(item: str) -> str:
    return (
        f"{NAME}Failed to parse: one or more items did not match comma-delimited format (must"
        " consist of lower case alphanumeric characters). Must start and end with an alphanumeric"
        f" character), mismatch @ '{item}'"
    )


def no_ifname(text: str) -> str:
    return (
        f"{NAME}Failed to parse interface name: must be less than 15 chars and not contain"
        f" '/' or spaces. interface name '{text}'"
    )


@pytest.mark.parametrize(
    ("networks", "ran"),
    [
        pytest.param("n1, n2 ,other/n1", ["net1 n1", "net2 n2", "net3 n1"], id="v01"),
        pytest.param("n1@eth5", ["eth5 n1"], id="v02-ifname"),
        pytest.param("other/n1@foo0", ["foo0 n1"], id="v02-namespace"),
        pytest.param("n1@my_if", ["my_if n1"], id="v02-underscore"),
        pytest.param("n1@x,n2", ["x n1", "net2 n2"], id="v02-takes-its-index"),
        pytest.param("n1,n1", ["net1 n1", "net2 n1"], id="v03"),
        pytest.param("n1@", ["net1 n1"], id="v04-no-ifname"),
        pytest.param("/n1", ["net1 n1"], id="v04-no-namespace"),
        pytest.param("", [], id="v05-empty"),
        pytest.param("[]", [], id="v05-list"),
        pytest.param("n1@abcdefghijklmno", ["abcdefghijklmno n1"], id="v10-15"),
        pytest.param('[{"NAME":"n1","Interface":"q0"}]', ["q0 n1"], id="v13"),
        pytest.param('[{"name":"n1","interfaceRequest":"old0"}]', ["old0 n1"], id="v14"),
        pytest.param('[{"name":"n1","mac":"c2-11-22-33-44-66"}]', ["net1 n1"], id="v15-dashes"),
        pytest.param('[{"name":"n1","ips":["10.0.0.1/24","fd00::1"]}]', ["net1 n1"], id="v16"),
    ],
)
def test_accepted(node: ClusterNode, networks: str, ran: list[str]) -> None:
    assert node.add(networks).status == 0
    assert node.ran() == ["ADD eth0 cbr0", *(f"ADD {each}" for each in ran)]
    assert node.call("DEL").status == 0
    assert node.ran() == [*(f"DEL {each}" for each in reversed(ran)), "DEL eth0 cbr0"]
    assert node.files() == []


def test_v01_the_names_of_the_status(node: ClusterNode) -> None:
    assert node.add("n1, n2 ,other/n1").status == 0
    assert [each["name"] for each in node.status()] == [
        "cbr0",
        "default/n1",
        "default/n2",
        "other/n1",
    ]


def test_v03_an_entry_for_each(node: ClusterNode) -> None:
    assert node.add("n1,n1").status == 0
    assert [each["name"] for each in node.status()] == ["cbr0", "default/n1", "default/n1"]


@pytest.mark.parametrize(
    ("networks", "msg"),
    [
        pytest.param("n1,", missing(""), id="v06-comma"),
        pytest.param("n1,,n2", missing(""), id="v06-commas"),
        pytest.param("   ", missing(""), id="v06-blank"),
        pytest.param("@x", missing(""), id="v06-at"),
        pytest.param("[{}]", missing(""), id="v06-object"),
        pytest.param("a/b/c", f"{NAME}Invalid network object (failed at '/')", id="v07"),
        pytest.param("other/n1@a/b", f"{NAME}Invalid network object (failed at '/')", id="v07-if"),
        pytest.param(
            "root@someIP/root@someOtherIP/root@thirdIP",
            f"{NAME}Invalid network object (failed at '/')",
            id="v07-upstream",
        ),
        pytest.param("n1@a@b", f"{NAME}Invalid network object (failed at '@')", id="v08"),
        pytest.param(
            "root@someIP/root@someOtherIP@garbagevalue",
            f"{NAME}Invalid network object (failed at '@')",
            id="v08-upstream",
        ),
        pytest.param("N1", mismatch("N1"), id="v09-upper"),
        pytest.param("n_1", mismatch("n_1"), id="v09-underscore"),
        pytest.param("n.1", mismatch("n.1"), id="v09-dot"),
        pytest.param("root@someIP/root@someOtherIP", mismatch("root@someIP"), id="v09-upstream"),
        pytest.param("n1@abcdefghijklmnop", no_ifname("abcdefghijklmnop"), id="v10-16"),
        pytest.param("n1@a b", no_ifname("a b"), id="v10-blank"),
        pytest.param(
            "default/net1@very_long_interface_name",
            no_ifname("very_long_interface_name"),
            id="v10-upstream",
        ),
        pytest.param('{"name":"n1"}', JSON_FORM, id="v11"),
        pytest.param('["n1"]', JSON_FORM, id="v12-text"),
        pytest.param('"n1"', JSON_FORM, id="v12-quoted"),
        pytest.param('[{"name":"n1"}', JSON_FORM, id="v12-cut"),
        pytest.param("[adsfasdfasdfasf]", JSON_FORM, id="v12-upstream"),
        pytest.param(
            '[{"name":"n1","mac":"zz"}]',
            f"{PARSE}failed to mac: address zz: invalid MAC address",
            id="v15",
        ),
        pytest.param(
            '[{"name":"n1","mac":"c2:11:22:33:44"}]',
            f"{PARSE}failed to mac: address c2:11:22:33:44: invalid MAC address",
            id="v15-five",
        ),
        pytest.param('[{"name":"n1","ips":"1.2.3.4"}]', JSON_FORM, id="v16-text"),
        pytest.param(
            '[{"name":"n1","ips":["1.2.3"]}]',
            f'{LOAD}failed to parse IP address "1.2.3"',
            id="v16-ip",
        ),
        pytest.param(
            '[{"name":"n1","ips":["1.2.3.4/33"]}]',
            f'{LOAD}failed to parse CIDR "1.2.3.4/33": invalid CIDR address: 1.2.3.4/33',
            id="v16-cidr",
        ),
        pytest.param(
            '[{"name":"n1","infiniband-guid":"xx"}]',
            f"{PARSE}failed to validate infiniband GUID: address xx: invalid MAC address",
            id="v17",
        ),
        pytest.param("nope", missing("nope"), id="v21"),
        pytest.param("nons/n1", missing("n1", "nons"), id="v21-namespace"),
        pytest.param("n1,nope,n2", missing("nope"), id="v21-one-of-three"),
        pytest.param('[{"name":"n1"},null]', JSON_FORM, id="v25-null"),
    ],
)
def test_refused_before_anything_runs(node: ClusterNode, networks: str, msg: str) -> None:
    reply = node.add(networks)
    assert (reply.status, reply.code) == (1, 7), reply
    assert reply.msg.startswith(LOAD)
    assert msg in reply.msg
    assert "\n" not in reply.msg
    node.nothing_happened()
    assert node.call("DEL").status == 0
    assert node.files() == []


def test_v17_a_guid_for_a_plugin_that_takes_one(node: ClusterNode) -> None:
    guid = "24:8a:07:03:00:8d:ae:2e"
    node.nad("ib", capabilities={"infinibandGUID": True})
    assert node.add([{"name": "ib", "infiniband-guid": guid}, {"name": "n1"}]).status == 0
    assert node.stdin(1)["runtimeConfig"] == {"infinibandGUID": guid}
    assert "runtimeConfig" not in node.stdin(2)


def gateways(*each: str | None) -> list[dict[str, Any]]:
    """Of n1, n2, ...: the default-route; None for no such key."""
    return [
        {"name": f"n{index}", **({} if text is None else {"default-route": json.loads(text)})}
        for index, text in enumerate(each, 1)
    ]


@pytest.mark.parametrize(
    "networks",
    [
        pytest.param(gateways('["10.1.2.1"]', '["10.1.2.2"]'), id="v18"),
        pytest.param(gateways('["10.1.2.1", "10.1.2.2"]'), id="v18-one-network"),
        pytest.param(gateways('["fd00::1"]', '["fd00::2"]'), id="v18-six"),
    ],
)
def test_v18_two_gateways_of_a_family(node: ClusterNode, networks: Any) -> None:
    reply = node.add(networks)
    assert reply.code == 7
    assert "multus does not support ECMP for default-route" in reply.msg
    node.nothing_happened()


@pytest.mark.parametrize(
    ("gateway", "filters"),
    [
        pytest.param(None, (True, True), id="v19-absent"),
        pytest.param("[]", (True, True), id="v19-empty"),
        pytest.param('["10.1.1.1"]', (False, True), id="v19-four"),
        pytest.param('["10.1.1.1", "fc00::1"]', (False, False), id="v19-both"),
    ],
)
def test_v19_flags(
    node: ClusterNode,
    gateway: str | None,
    filters: tuple[bool, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The flags are those of the original in the record; its reader goes by them."""
    from meta.multus import sandbox

    monkeypatch.setattr(sandbox, "move_default_routes", lambda netns, targets: None)
    assert node.add([*gateways(gateway), {"name": "n3", "default-route": []}]).status == 0
    record = node.scratch()[1]
    assert (record["IsFilterV4Gateway"], record["IsFilterV6Gateway"]) == filters
    assert record.get("default-route") == (gateway and json.loads(gateway))


def test_v20_a_bad_interface_name_is_refused_before_anything_runs(node: ClusterNode) -> None:
    """The original has added cbr0 by then, and deletes it again."""
    reply = node.add([{"name": "n1", "interface": "bad name"}])
    assert reply.code == 7
    assert 'interface "bad name"' in reply.msg
    node.nothing_happened()


def test_two_networks_with_one_interface_name_are_refused(node: ClusterNode) -> None:
    """The original deletes the working one."""
    reply = node.add("n1@eth7,n1@eth7")
    assert reply.code == 7
    assert 'interface "eth7" is taken by network "n1"' in reply.msg
    node.nothing_happened()


def test_two_inline_delegates_count(node: ClusterNode) -> None:
    conf = node.conf(CBR0, {**CBR0, "name": "second"})
    assert node.add("n1", conf).status == 0
    assert node.ran() == ["ADD eth0 cbr0", "ADD net1 second", "ADD net2 n1"]


def test_v42_another_default_network(node: ClusterNode) -> None:
    node.nad("dn", namespace="kube-system")
    node.pod("n1", **{DEFAULT_NETWORK: "dn"})
    assert node.call("ADD").status == 0
    assert node.ran() == ["ADD eth0 dn", "ADD net1 n1"]
    assert [each["name"] for each in node.status()] == ["kube-system/dn", "default/n1"]
    assert node.status()[0]["default"] is True


@pytest.mark.parametrize(
    ("text", "msg"),
    [
        pytest.param(
            "dn,dn",
            "tryLoadK8sPodDefaultNetwork: more than one default network is specified: dn,dn",
            id="v42-two",
        ),
        pytest.param("", 'pod annotation does not have "network" as key', id="v42-empty"),
        pytest.param("nope", missing("nope", "kube-system"), id="v42-missing"),
    ],
)
def test_v42_refused(node: ClusterNode, text: str, msg: str) -> None:
    node.nad("dn", namespace="kube-system")
    node.pod(None, **{DEFAULT_NETWORK: text})
    reply = node.call("ADD")
    assert reply.code == 7
    assert reply.msg.startswith(LOAD)
    assert msg in reply.msg
    node.nothing_happened()
