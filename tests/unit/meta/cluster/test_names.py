"""Names come from pods: none leads to anything but a pod, a NAD, a status, an event."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.unit.meta.cluster.node import DEFAULT_NETWORK, nad_path, pod_path

if TYPE_CHECKING:
    from tests.unit.meta.cluster.node import ClusterNode

ATTACKS = [
    "..", ".", "../../secrets", "a/../b", "../../../../../api/v1/secrets", "/etc/passwd", "n1/",
    "n1?x=y", "n1#x", "n1%2f..", "%2e%2e", "%2e%2e%2f%2e%2e%2fsecrets", "n1;x", "n1\\..\\x",
    "n1/status", "n1 HTTP/1.1\r\nX: y", "n1\n", " n1", "n1 ", "n1\x00", "\u2025", "n\u2024n",
    "\U0001f600", "-n1", "n1-", "N1", ".n1", "n1.", "n..1", "x" * 254, "n1@eth0", "*", "{}",
]  # fmt: skip

NAD = re.compile(nad_path("[a-z0-9.-]+", "[a-z0-9.-]+"))


def only_known_paths(node: ClusterNode, pod: str = "p1") -> None:
    """No request but for the pod, NADs of proper names, and events."""
    for each in node.api.requests:
        is_known = each.path in (pod_path(pod), "/api/v1/namespaces/default/events")
        assert is_known or (NAD.fullmatch(each.path) and ".." not in each.path), each
    node.api.clear()


@pytest.mark.parametrize("name", ATTACKS, ids=[str(index) for index, _ in enumerate(ATTACKS)])
def test_a_network_s_name_and_namespace(node: ClusterNode, name: str) -> None:
    for key, other in (("name", {}), ("namespace", {"name": "n1"})):
        node.pod([{"name": "n1"}, {key: name, **other}], name=f"p-{key}")
        args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p-{key}"
        reply = node.call("ADD", CNI_ARGS=args)
        assert (reply.status, reply.code) == (1, 7)
        refused = ("cannot find a network-attachment-definition", "holds a NUL character")
        assert any(each in reply.msg for each in refused)
        assert node.calls() == []
        only_known_paths(node, f"p-{key}")
    assert node.files() == []


@pytest.mark.parametrize("name", ATTACKS, ids=[str(index) for index, _ in enumerate(ATTACKS)])
def test_as_text(node: ClusterNode, name: str) -> None:
    """Most do not pass the grammar; "n1@eth0" asks for an interface name that is taken."""
    reply = node.add(name)
    if name.strip() in ("n1", "n1@eth0"):
        assert reply.status == (1 if "@" in name else 0)
        return
    assert (reply.status, reply.code) == (1, 7)
    assert node.calls() == []
    only_known_paths(node)


@pytest.mark.parametrize("name", ATTACKS[:12])
def test_the_default_network(node: ClusterNode, name: str) -> None:
    text = json.dumps([{"name": name, "namespace": "kube-system"}])
    node.pod(None, **{DEFAULT_NETWORK: text})
    assert node.call("ADD").code == 7
    node.nothing_happened()
    only_known_paths(node)


@pytest.mark.parametrize("name", ["..", "%2e%2e", "n1?x=y", "a b", "A", "x#y"])
def test_the_configuration_s_own_names(node: ClusterNode, name: str) -> None:
    node.pod("n1")
    for keys in ({"clusterNetwork": name}, {"clusterNetwork": "n1", "multusNamespace": name}):
        assert node.call("ADD", node.conf(**keys)).code == 7
    node.nothing_happened()
    only_known_paths(node)


@pytest.mark.parametrize("name", ["..", "../secrets/x", "p1/status", "p1?x=y", "%70%31", "P1", "*"])
def test_the_pod_s_name_and_namespace(node: ClusterNode, name: str) -> None:
    node.pod("n1")
    for namespace, pod in (("default", name), (name, "p1")):
        args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod}"
        reply = node.call("ADD", CNI_ARGS=args)
        assert (reply.status, reply.code) == (1, 7)
        assert "cannot be the name of an object" in reply.msg
        assert node.call("DEL", CNI_ARGS=args).status == 0
    assert node.api.requests == []
    assert node.files() == []


def test_a_name_with_dots_is_one(node: ClusterNode) -> None:
    """In the JSON form; the short form's grammar has none."""
    node.nad("a.b-c")
    assert node.add([{"name": "a.b-c"}]).status == 0
    assert node.ran() == ["ADD eth0 cbr0", "ADD net1 a.b-c"]


@pytest.mark.parametrize("namespace", ["node-net", "default", "n1", "kube-system"])
def test_a_namespace_that_does_not_exist_is_a_missing_network(
    node: ClusterNode, namespace: str
) -> None:
    reply = node.add([{"name": "nope", "namespace": namespace}])
    assert f"(nope) in namespace ({namespace})" in reply.msg
    node.nothing_happened()
