"""What a review found that the tests before had not: each would be back without its test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meta.multus import disk
from tests.unit.meta.cluster.node import pod_path
from tests.unit.meta.cluster.test_failing_delegates import start

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer
    from tests.unit.meta.cluster.node import ClusterNode


@pytest.mark.parametrize(
    "body", ["<html>default backend - 404</html>", "404 page not found", '{"kind":"Status"}', "{}"]
)
def test_only_the_api_server_knows_that_there_is_no_pod(
    api: ApiServer, node: ClusterNode, body: str
) -> None:
    """A load balancer in front of it says 404 too: the pod must not run without its networks."""
    node.pod("n1")
    api.fail(None, path=pod_path(), status=404, body=body)
    reply = node.call("ADD")
    assert reply.status == 1 and "error waiting for pod" in reply.msg
    node.nothing_happened()


def test_a_server_that_does_not_know_the_resource(api: ApiServer, node: ClusterNode) -> None:
    node.pod("n1")
    api.fail(None, path="/apis/k8s.cni.cncf.io", status=404, body="404 page not found")
    reply = node.call("ADD")
    assert reply.status == 1 and "cannot get network-attachment-definition (n1)" in reply.msg
    node.nothing_happened()


def test_a_delete_waits_for_an_add_that_still_asks(api: ApiServer, node: ClusterNode) -> None:
    """It would find nothing, and the ADD attach what nobody deletes."""
    node.pod("n1")
    api.fail(1, path=pod_path(), delay=1.0)
    adding = start(node)
    while not api.requests:
        assert adding.poll() is None
    assert node.call("DEL").status == 0
    adding.communicate()
    assert node.ran()[-1].startswith("DEL")
    assert node.files() == []


def test_a_slow_server_that_forbids_patches(api: ApiServer, node: ClusterNode) -> None:
    """The original's account may only update, and what is attached costs more than to wait."""
    node.pod("n1")
    api.forbid(api.user, "patch", "pods/status")
    api.fail(None, delay=0.8)
    conf = node.conf(apiServer={"totalSeconds": 3, "callSeconds": 2.5}, events=False)
    assert node.call("ADD", conf).status == 0
    assert [each.method for each in api.requests] == ["GET", "GET", "PATCH", "PUT"]
    assert len(node.status()) == 2


def test_more_than_a_record_can_hold(node: ClusterNode, monkeypatch: pytest.MonkeyPatch) -> None:
    node.nad("big", {"type": "fake", "padding": "x" * 10_000})
    node.pod("big,big,big")
    monkeypatch.setattr(disk, "MAX_RECORD", 30_000)
    assert "too large for a record" in node.call("ADD").msg
    node.nothing_happened()


def test_more_networks_than_anybody_needs(node: ClusterNode) -> None:
    node.pod(",".join(["n1"] * 257))
    assert "257 networks are selected, 256 are the most" in node.call("ADD").msg
    node.nothing_happened()


def test_the_kubelets_later_deletes_ask_nobody(api: ApiServer, node: ClusterNode) -> None:
    node.pod("n1")
    assert node.call("ADD").status == 0
    assert node.call("DEL").status == 0
    node.ran()
    api.clear()
    for _ in range(2):
        assert node.call("DEL").status == 0
    assert (node.ran(), api.requests) == ([], [])
    # and the same container can be attached again, and deleted
    assert node.call("ADD").status == 0
    assert node.call("DEL").status == 0
    assert [each.split()[0] for each in node.ran()] == ["ADD", "ADD", "DEL", "DEL"]


def test_the_address_that_a_pod_prefers(node: ClusterNode) -> None:
    """An annotation of a whereabouts fork; whereabouts' own plugin does not see annotations."""
    node.nad("leased", {"type": "fake", "ipam": {"type": "whereabouts", "range": "10.0.0.0/24"}})
    node.pod("leased,n1", **{"whereabouts.cni.cncf.io/preferred-ip": "10.0.0.9"})
    assert node.call("ADD").status == 0
    assert [node.stdin(index).get("args") for index in range(3)] == [
        None,
        {"cni": {"preferred-ip": "10.0.0.9"}},
        None,
    ]
