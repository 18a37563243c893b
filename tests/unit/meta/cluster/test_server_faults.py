"""The API server is slow, gone, or talks nonsense: one clear error in bounded time, or success."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from meta.multus import cluster
from tests.unit.meta.cluster.node import FEW_TRIES, nad_path, pod_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.apiserver.server import ApiServer
    from tests.unit.meta.cluster.node import ClusterNode
    from tests.unit.meta.harness import Reply

#: for calls that cannot succeed: those who are not answered have enough in a second
HASTE = {"connectSeconds": 0.5, "callSeconds": 0.5, "totalSeconds": 1.0, "attempts": 3}

#: a test that has to wait for the client's patience; generous, for machines that are slow
BOUND = 20.0

#: so that a test need not wait the second that an API server asks for
AT_ONCE = {"Retry-After": "0"}

BROKEN: dict[str, dict[str, Any]] = {
    "unavailable": {"status": 503, "headers": AT_ONCE},
    "internal-error": {"status": 500},
    "too-many": {"status": 429, "headers": AT_ONCE},
    "bad-gateway": {"kind": "html", "status": 502},
    "html": {"kind": "html"},
    "garbage": {"kind": "garbage"},
    "cut": {"kind": "cut"},
    "cut-body": {"kind": "cut-body"},
    "silent": {"kind": "silent"},
    "drip": {"kind": "drip"},
    "refuse-tls": {"kind": "refuse-tls"},
    "silent-tls": {"kind": "silent-tls"},
}


def timed(call: Callable[[], Reply]) -> Reply:
    start = time.monotonic()
    reply = call()
    assert time.monotonic() - start < BOUND
    return reply


def hasty(fault: str) -> dict[str, Any]:
    """Of one call that is not answered the client has enough soon; the others are."""
    return {"attempts": 2, "callSeconds": 1.5} if fault in ("silent", "drip") else FEW_TRIES


def one_error(reply: Reply, *said: str) -> None:
    assert reply.status == 1
    for each in said:
        assert each in reply.msg, reply.msg
    assert reply.msg.count("API server") == 1, reply.msg
    assert "\n" not in reply.msg
    assert len(reply.msg) < 1000


@pytest.mark.parametrize("fault", BROKEN)
def test_the_pod_cannot_be_had(node: ClusterNode, api: ApiServer, fault: str) -> None:
    node.pod("n1")
    api.fail(None, **BROKEN[fault])
    reply = timed(lambda: node.call("ADD", node.conf(apiServer=HASTE)))
    assert reply.code == 11
    one_error(reply, "error waiting for pod: ", api.url, f"GET {pod_path()}")
    node.nothing_happened()
    # and the DEL that follows
    assert timed(lambda: node.call("DEL", node.conf(apiServer=HASTE))).status == 0
    assert node.ran() == ["DEL eth0 cbr0"]
    assert node.files() == []


@pytest.mark.parametrize("fault", [each for each in BROKEN if not each.endswith("-tls")])
def test_one_nad_of_three_cannot_be_had(node: ClusterNode, api: ApiServer, fault: str) -> None:
    node.pod("n1,n2,n3")
    api.fail(None, path=nad_path("n2"), **BROKEN[fault])
    reply = timed(lambda: node.call("ADD", node.conf(apiServer=hasty(fault))))
    assert reply.code == 11
    one_error(
        reply,
        "[default/p1/u1]: error loading k8s delegates k8s args: network default/n2:",
        "cannot get network-attachment-definition (n2) in namespace (default)",
        f"GET {nad_path('n2')}",
    )
    node.nothing_happened()


@pytest.mark.parametrize(
    "fault",
    ["unavailable", "internal-error", "too-many", "bad-gateway", "cut", "cut-body", "refuse-tls"],
)
def test_what_passes_is_survived(node: ClusterNode, api: ApiServer, fault: str) -> None:
    """Two failures, and the third try of three is fine."""
    node.pod("n1,n2")
    api.fail(2, **BROKEN[fault])
    assert node.call("ADD").status == 0
    assert node.ran() == ["ADD eth0 cbr0", "ADD net1 n1", "ADD net2 n2"]
    assert len(node.status()) == 3


@pytest.mark.parametrize("path", [pod_path(), nad_path("n1"), f"{pod_path()}/status"])
def test_three_failures_are_survived_by_default(
    node: ClusterNode, api: ApiServer, path: str
) -> None:
    node.pod("n1,n2")
    api.fail(3, path=path, status=503, headers=None if path == pod_path() else AT_ONCE)
    assert node.call("ADD", node.conf(apiServer={})).status == 0
    assert len(node.status()) == 3


def test_two_seconds_for_each_call_are_survived(node: ClusterNode, api: ApiServer) -> None:
    """The original gives up after 250 ms; NADs are fetched side by side."""
    node.pod("n1,n2,n3")
    api.fail(None, delay=2.0)
    start = time.monotonic()
    assert node.call("ADD", node.conf(apiServer={}, events=False)).status == 0
    assert time.monotonic() - start < 10
    assert len(node.status()) == 4


def test_gone(node: ClusterNode, api: ApiServer) -> None:
    node.pod("n1")
    api.stop()
    reply = timed(lambda: node.call("ADD"))
    assert reply.code == 11
    one_error(reply, "error waiting for pod", api.url, "Connection refused")
    assert node.calls() == []
    assert timed(lambda: node.call("DEL")).status == 0
    assert node.files() == []


def test_back_again(node: ClusterNode, api: ApiServer) -> None:
    node.pod("n1")
    api.stop()
    assert node.call("ADD").status == 1
    api.start()
    assert node.call("ADD").status == 0


def test_del_of_a_good_record_asks_nobody(node: ClusterNode, api: ApiServer) -> None:
    assert node.add("n1,n2").status == 0
    node.ran()
    api.stop()
    node.kubeconfig.unlink()
    api.clear()
    assert node.call("DEL").status == 0
    assert node.ran() == ["DEL net2 n2", "DEL net1 n1", "DEL eth0 cbr0"]
    assert (node.files(), api.connections) == ([], 0)


def test_del_of_a_torn_record_asks_once_and_not_for_long(node: ClusterNode, api: ApiServer) -> None:
    assert node.add("n1,n2").status == 0
    node.ran()
    (node.cni_dir / "cid1").write_text("[{")
    api.clear()
    api.fail(None, kind="silent")
    assert timed(lambda: node.call("DEL", node.conf(apiServer={}))).status == 0
    assert node.ran() == ["DEL net2 n2", "DEL net1 n1", "DEL eth0 cbr0"]
    assert (node.files(), node.asked()) == ([], [f"GET {pod_path()}"])


@pytest.mark.parametrize("kubeconfig", ["gone", "garbage", "good"])
def test_the_third_del_with_everything_gone(
    node: ClusterNode, api: ApiServer, kubeconfig: str
) -> None:
    assert node.add("n1").status == 0
    assert node.call("DEL").status == 0
    api.delete(pod_path())
    api.stop()
    if kubeconfig == "gone":
        node.kubeconfig.unlink()
    if kubeconfig == "garbage":
        node.kubeconfig.write_text("{[")
    for _ in range(2):
        assert timed(lambda: node.call("DEL")).status == 0
    assert node.files() == []


def test_a_wrong_authority(node: ClusterNode, api: ApiServer) -> None:
    node.pod("n1")
    api.kubeconfig(node.kubeconfig, ca="wrong")
    reply = node.call("ADD")
    assert reply.code == 7
    one_error(reply, api.url, "its certificate is not trusted")
    node.nothing_happened()
    assert api.requests == []
    assert node.call("DEL").status == 0


@pytest.mark.parametrize("auth", ["token", "tokenFile"])
def test_a_token_that_was_renewed_while_we_asked(
    node: ClusterNode, api: ApiServer, auth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401: the kubeconfig, and the token's file, are read again."""
    from cni.kube import access

    api.kubeconfig(node.kubeconfig, auth=auth, token="expired")
    read = access.from_kubeconfig
    reads: list[str] = []

    def renewing(path: str) -> access.Access:
        if reads:
            api.kubeconfig(node.kubeconfig, auth=auth)
        reads.append(path)
        return read(path)

    monkeypatch.setattr(access, "from_kubeconfig", renewing)
    assert node.add("n1,n2").status == 0
    assert len(reads) == 2
    assert [each.status for each in api.requests][:2] == [401, 200]
    assert len(node.status()) == 3


def test_a_token_that_stays_expired(node: ClusterNode, api: ApiServer) -> None:
    api.kubeconfig(node.kubeconfig, token="expired")
    reply = node.add("n1")
    assert reply.code == 7
    one_error(reply, "error waiting for pod", "Unauthorized")
    assert str(node.kubeconfig) in str(reply.out["details"])
    assert [each.status for each in api.requests] == [401, 401]
    node.nothing_happened()
    assert node.call("DEL").status == 0


def test_a_token_that_expires_between_the_calls(node: ClusterNode, api: ApiServer) -> None:
    """The pod is read, the status is refused: what was attached goes, and is named."""
    node.plugin("late")
    node.nad("late", {"cniVersion": "1.0.0", "type": "late"})
    api.fail(None, path=f"{pod_path()}/status", status=401, body='{"message":"Unauthorized"}')
    reply = node.add("late")
    assert reply.code == 7
    one_error(reply, "status update failed for pod default/p1", "Unauthorized")
    assert node.ran()[2:] == ["DEL net1 late", "DEL eth0 cbr0"]
    node.nothing_left()


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ("pods", 'pods "p1" is forbidden'),
        ("network-attachment-definitions", 'network-attachment-definitions.k8s.cni.cncf.io "n2"'),
    ],
)
def test_forbidden(node: ClusterNode, api: ApiServer, resource: str, said: str) -> None:
    node.pod("n2")
    api.forbid("multus", "get", resource)
    reply = node.call("ADD")
    assert reply.code == 7
    one_error(reply, said, "forbidden")
    assert [each.status for each in api.requests if each.status != 200] == [403]
    node.nothing_happened()
    assert node.events() == []
    assert node.call("DEL").status == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", "a: [", '{"current-context": "x"}', "\x00"])
def test_a_kubeconfig_that_cannot_be_used(node: ClusterNode, text: str) -> None:
    node.kubeconfig.write_text(text)
    reply = node.add("n1")
    assert reply.code == 7
    assert str(node.kubeconfig) in reply.msg
    node.nothing_happened()
    assert node.call("DEL").status == 0


def test_a_kubeconfig_that_is_not_there(node: ClusterNode) -> None:
    node.kubeconfig.unlink()
    reply = node.add("n1")
    assert reply.code == 5
    assert str(node.kubeconfig) in reply.msg + str(reply.out.get("details"))
    node.nothing_happened()


@pytest.mark.parametrize("fault", ["unavailable", "html", "cut", "silent"])
def test_a_status_that_cannot_be_written_undoes_the_add(
    node: ClusterNode, api: ApiServer, fault: str
) -> None:
    """The original leaves the pod attached, and says that it is not."""
    node.pod("n1")
    for method in ("PATCH", "PUT"):
        api.fail(None, method=method, **BROKEN[fault])
    reply = timed(lambda: node.call("ADD", node.conf(apiServer=hasty(fault))))
    assert reply.code == 11
    one_error(reply, "status update failed for pod default/p1: ", f"PATCH {pod_path()}/status")
    assert node.ran() == ["ADD eth0 cbr0", "ADD net1 n1", "DEL net1 n1", "DEL eth0 cbr0"]
    assert node.files() == []
    assert node.status_text() is None


def test_a_status_whose_answer_was_lost_is_written_again(node: ClusterNode, api: ApiServer) -> None:
    node.pod("n1")
    api.fail(1, method="PATCH", kind="lost-answer")
    assert node.call("ADD").status == 0
    assert len(node.status()) == 2


def test_events_that_cannot_be_told_harm_nobody(
    node: ClusterNode, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_EVENT_PATIENCE", 0.1)
    node.pod("n1")
    api.fail(None, method="POST", kind="silent")
    assert timed(lambda: node.call("ADD")).status == 0
    assert len(node.status()) == 2
