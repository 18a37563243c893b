"""Answers that are JSON and yet not what was asked for, and more of them than one expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.meta.cluster.node import nad_path, pod_args, pod_path
from tests.unit.meta.harness import RESULT

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer
    from tests.unit.meta.cluster.node import ClusterNode

NO_OBJECTS = ["null", '"pod"', "[]", "5", '"', ""]
OBJECTS = {
    "empty": "{}",
    "login": '{"error": "please log in"}',
    "list": '{"kind": "PodList", "apiVersion": "v1", "items": []}',
    "status": '{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no"}',
    "secret": '{"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {}}',
}


@pytest.mark.parametrize("uid", ["u1", ""])
@pytest.mark.parametrize("body", NO_OBJECTS)
def test_a_pod_that_is_no_object(node: ClusterNode, api: ApiServer, body: str, uid: str) -> None:
    node.pod("n1")
    api.fail(None, path=pod_path(), status=200, body=body)
    reply = node.call("ADD", CNI_ARGS=pod_args(uid=uid))
    assert (reply.status, reply.code) == (1, 11)
    assert f"GET {pod_path()}" in reply.msg
    node.nothing_happened()


@pytest.mark.parametrize("body", OBJECTS)
def test_another_object_than_the_pod(node: ClusterNode, api: ApiServer, body: str) -> None:
    node.pod("n1")
    api.fail(None, path=pod_path(), status=200, body=OBJECTS[body])
    assert node.call("ADD").code == 11
    node.nothing_happened()


@pytest.mark.parametrize("body", OBJECTS)
def test_another_object_than_the_pod_whose_uid_nobody_knows(
    node: ClusterNode, api: ApiServer, body: str
) -> None:
    """To attach it without the networks that it asks for would be the worst of all."""
    node.pod("n1")
    api.fail(None, path=pod_path(), status=200, body=OBJECTS[body])
    assert node.call("ADD", CNI_ARGS=pod_args(uid="")).code == 11
    node.nothing_happened()


@pytest.mark.parametrize("body", NO_OBJECTS)
def test_a_nad_that_is_no_object(node: ClusterNode, api: ApiServer, body: str) -> None:
    node.pod("n1,n2")
    api.fail(None, path=nad_path("n2"), status=200, body=body)
    reply = node.call("ADD")
    assert reply.code == 11
    assert f"GET {nad_path('n2')}" in reply.msg
    node.nothing_happened()


@pytest.mark.parametrize("body", OBJECTS)
def test_another_object_than_the_nad(node: ClusterNode, api: ApiServer, body: str) -> None:
    node.pod("n1,n2")
    (node.conf_dir / "n2.conf").write_text('{"name": "n2", "type": "fake"}')
    api.fail(None, path=nad_path("n2"), status=200, body=OBJECTS[body])
    reply = node.call("ADD")
    assert reply.code == 11
    assert "network default/n2: " in reply.msg
    assert "answer is not NetworkAttachmentDefinition default/n2" in reply.msg
    node.nothing_happened()


@pytest.mark.parametrize(
    "document",
    [
        {"metadata": {}, "spec": {"config": 5}},
        {"metadata": {}, "spec": {"config": {"type": "fake"}}},
        {"metadata": {}, "spec": "x"},
    ],
)
def test_a_nad_of_another_shape(node: ClusterNode, document: dict[str, object]) -> None:
    node.api.put_object(nad_path("odd"), document)
    reply = node.add("odd")
    assert reply.code == 7
    assert 'network-attachment-definition default/odd: "spec.config" must be a string' in reply.msg
    node.nothing_happened()


def test_many_networks_over_few_connections(node: ClusterNode, api: ApiServer) -> None:
    """What a pod asks for must not become a flood of connections."""
    names = [f"m{index}" for index in range(60)]
    for name in names:
        node.nad(name)
    node.plugin("fake", result={**RESULT, "interfaces": []})
    assert node.add(",".join(names)).status == 0
    assert len(node.ran()) == 61
    assert api.connections <= 20


def test_hundreds_of_networks_that_do_not_exist(node: ClusterNode) -> None:
    conf = node.conf(apiServer={}, events=False)
    reply = node.add(",".join(f"m{index}" for index in range(500)), conf)
    assert reply.code in (7, 11)
    node.nothing_happened()
