"""Vectors 36 to 41, 48 to 50: ADD, DEL, CHECK, STATUS, GC of a pod that has networks by NADs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.meta.cluster.node import CBR0, SOURCE, nad_path, pod_args, pod_path
from tests.unit.meta.harness import RESULT

if TYPE_CHECKING:
    from tests.unit.meta.cluster.node import ClusterNode

ABC_ADD = ["ADD eth0 cbr0", "ADD net1 a", "ADD net2 b"]
ABC_DEL = ["DEL net3 c", "DEL net2 b", "DEL net1 a", "DEL eth0 cbr0"]


@pytest.fixture
def abc(node: ClusterNode) -> ClusterNode:
    """NADs a, b, c of plugins pa, pb, pc."""
    for name in "abc":
        node.plugin(f"p{name}")
        node.nad(name, {"cniVersion": "1.0.0", "type": f"p{name}"})
    return node


def test_v36_the_started_ones_are_deleted(abc: ClusterNode) -> None:
    """The original keeps its record, and with it deletes c later, which never was."""
    abc.on("pb", "ADD", """echo '{"code": 7, "msg": "boom ADD", "details": "d"}'; exit 1""")
    reply = abc.add("a,b,c")
    assert reply.out == {
        "cniVersion": "1.1.0",
        "code": 7,
        "msg": '[default/p1/u1:b]: error adding container to network "b": plugin type="pb" failed'
        " (add): boom ADD",
        "details": "d",
    }
    assert abc.ran() == [*ABC_ADD, *ABC_DEL[1:]]
    abc.nothing_left()
    assert abc.events() == []
    assert abc.call("DEL").status == 0
    assert abc.files() == []


def test_v37_a_failing_del_does_not_stop_the_others_and_is_tried_again(abc: ClusterNode) -> None:
    """In the original the second DEL knows nothing any more."""
    assert abc.add("a,b,c").status == 0
    abc.ran()
    abc.fail("pa", "DEL")
    reply = abc.call("DEL")
    assert (reply.status, reply.code) == (1, 77)
    assert reply.msg == (
        'error deleting container from network "a": plugin type="pa" failed (delete): boom'
    )
    assert abc.ran() == ABC_DEL
    abc.on("pa", "DEL", "")
    assert abc.call("DEL").status == 0
    assert abc.ran() == ["DEL net1 a"]
    assert abc.files() == []


def test_v38_a_good_record_needs_no_server_and_no_namespace(abc: ClusterNode) -> None:
    assert abc.add("a,b,c").status == 0
    abc.ran()
    abc.api.delete(pod_path())
    abc.api.clear()
    assert abc.call("DEL", CNI_NETNS="").status == 0
    assert abc.ran() == ABC_DEL
    assert abc.files() == []
    assert abc.api.requests == []


def test_v39_no_record_and_a_nad_that_is_gone(abc: ClusterNode) -> None:
    """What can be resolved still; the original deletes the master only."""
    abc.pod("a,b")
    abc.api.delete(nad_path("a"))
    assert abc.call("DEL").status == 0
    assert abc.ran() == ["DEL net2 b", "DEL eth0 cbr0"]
    assert abc.files() == []


def test_v39_no_record_and_no_pod(abc: ClusterNode) -> None:
    """Of the configuration the default network is known."""
    assert abc.call("DEL").status == 0
    assert abc.ran() == ["DEL eth0 cbr0"]
    assert abc.files() == []


@pytest.mark.parametrize("torn", ["", "{}", "[{", "[]", "null"])
@pytest.mark.parametrize("has_pod", [True, False])
def test_v39_a_torn_record(abc: ClusterNode, torn: str, *, has_pod: bool) -> None:
    """From the cache, all; the original leaks everything, or panics."""
    assert abc.add("a,b,c").status == 0
    abc.ran()
    (abc.cni_dir / "cid1").write_text(torn)
    if not has_pod:
        abc.api.delete(pod_path())
    assert abc.call("DEL").status == 0
    assert abc.ran() == ABC_DEL
    assert abc.files() == []


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize(
    "change", [{"Bytes": "!"}, {"Bytes": "e30="}, {"plait": {"ifname": "a/b"}}]
)
def test_v39_one_element_of_the_record_cannot_be_read(
    abc: ClusterNode, index: int, change: dict[str, Any]
) -> None:
    """The others are good, and the cache knows the one."""
    assert abc.add("a,b,c").status == 0
    abc.ran()
    record = abc.scratch()
    record[index] |= change
    (abc.cni_dir / "cid1").write_text(json.dumps(record))
    abc.api.delete(pod_path())
    assert abc.call("DEL").status == 0
    assert sorted(abc.ran()) == sorted(ABC_DEL)
    assert abc.files() == []


@pytest.mark.parametrize("has_pod", [True, False])
def test_v39_a_torn_record_without_cache(abc: ClusterNode, *, has_pod: bool) -> None:
    assert abc.add("a,b,c").status == 0
    abc.ran()
    (abc.cni_dir / "cid1").write_text("[{")
    for file in (abc.cni_dir / "results").iterdir():
        file.unlink()
    if not has_pod:
        abc.api.delete(pod_path())
    assert abc.call("DEL").status == 0
    assert abc.ran() == (ABC_DEL if has_pod else ["DEL eth0 cbr0"])
    assert abc.files() == []


def test_v40_no_such_pod(node: ClusterNode, capfd: Any) -> None:
    """As the original: success with an answer that says nothing; nothing was attached."""
    reply = node.call("ADD")
    assert reply == (
        0,
        {
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "eth0", "sandbox": str(node.netns)}],
            "ips": [{"address": "0.0.0.0/0", "gateway": "0.0.0.0"}],
        },
    )
    assert "the API server knows no such pod" in capfd.readouterr().err
    node.nothing_happened()
    assert node.call("DEL").status == 0


def test_v40_no_such_pod_and_the_runtime_shall_know(node: ClusterNode) -> None:
    reply = node.call("ADD", node.conf(missingPod="fail"))
    assert reply.code == 11
    assert reply.msg == "[default/p1/u1]: the API server knows no such pod"
    node.nothing_happened()


def test_a_container_of_no_pod_has_the_default_network(node: ClusterNode) -> None:
    assert node.call("ADD", CNI_ARGS="IgnoreUnknown=1").status == 0
    assert node.ran() == ["ADD eth0 cbr0"]
    assert node.api.requests == []


def test_v41_another_pod_of_that_name(node: ClusterNode) -> None:
    node.pod("n1", uid="u2")
    reply = node.call("ADD")
    assert reply.code == 11
    assert reply.msg == 'expected pod UID "u1" but got "u2" from Kube API'
    node.nothing_happened()


@pytest.mark.parametrize("source", ["file", "http"])
def test_v41_a_static_pod_has_another_uid(node: ClusterNode, source: str) -> None:
    node.pod("n1", uid="u2", **{SOURCE: source})
    assert node.call("ADD").status == 0
    assert [each["name"] for each in node.status()] == ["cbr0", "default/n1"]


def test_v41_a_pod_whose_source_is_the_api_is_no_static_pod(node: ClusterNode) -> None:
    node.pod("n1", uid="u2", **{SOURCE: "api"})
    assert node.call("ADD").code == 11
    node.nothing_happened()


def test_v41_a_runtime_that_tells_no_uid(node: ClusterNode) -> None:
    node.pod("n1", uid="u2")
    assert node.call("ADD", CNI_ARGS=pod_args(uid="")).status == 0
    assert node.told() == ["cbr0 eth0", "default/n1 eth0"]


def test_a_repeated_add_never_harms_a_live_pod(abc: ClusterNode) -> None:
    """In the original it deletes the working networks."""
    assert abc.add("a,b,c").status == 0
    abc.ran()
    files, text = abc.files(), abc.status_text()
    reply = abc.call("ADD")
    assert reply.code == 7
    assert 'container "cid1" is already attached (eth0, net1, net2, net3)' in reply.msg
    assert abc.ran() == []
    assert (abc.files(), abc.status_text()) == (files, text)
    assert abc.call("DEL").status == 0
    assert abc.ran() == ABC_DEL


def test_v48_check_covers_all_networks(abc: ClusterNode) -> None:
    """In the original only inline delegates; none beside a cluster network."""
    abc.nad("cl", namespace="kube-system")
    conf = abc.conf(clusterNetwork="cl")
    assert abc.add("a,b", conf).status == 0
    abc.ran()
    abc.api.clear()
    assert abc.call("CHECK", conf).status == 0
    assert abc.stdin(1)["prevResult"]["ips"] == RESULT["ips"]
    assert abc.ran() == ["CHECK eth0 cl", "CHECK net1 a", "CHECK net2 b"]
    assert abc.api.requests == []
    abc.fail("pa", "CHECK")
    reply = abc.call("CHECK", conf)
    assert (reply.code, reply.msg) == (
        77, 'error checking container on network "a": plugin type="pa" failed (check): boom',
    )  # fmt: skip


def test_v49_gc_collects_what_is_stale_on_all_networks(abc: ClusterNode) -> None:
    """The original collects nothing."""
    abc.nad("new", {"cniVersion": "1.1.0", "type": "pb"})
    assert abc.add("a").status == 0
    abc.pod("new", name="p2", uid="u2")
    assert abc.call("ADD", pod="default/p2/u2", CNI_CONTAINERID="dead").status == 0
    abc.ran()
    abc.api.stop()
    valid = [{"containerID": "cid1", "ifname": "eth0"}]
    conf = abc.conf(**{"cni.dev/valid-attachments": valid})
    assert abc.call("GC", conf, CNI_ARGS="").status == 0
    assert abc.ran() == ["DEL net1 new", "DEL eth0 cbr0", "GC  new"]
    assert abc.files() == ["cid1", "results/a-cid1-net1", "results/cbr0-cid1-eth0"]
    abc.api.start()


def test_v50_status_forwards_the_delegate_s_code(node: ClusterNode) -> None:
    conf = node.conf({**CBR0, "cniVersion": "1.1.0"})
    node.fail("fake", "STATUS", 99, "boom STATUS")
    reply = node.call("STATUS", conf)
    assert (reply.status, reply.code) == (1, 99)
    assert "boom STATUS" in reply.msg


def test_v50_status_of_a_cluster_network(node: ClusterNode) -> None:
    conf = node.conf(clusterNetwork="cl")
    assert node.call("STATUS", conf).code == 50
    node.nad("cl", {"cniVersion": "1.1.0", "type": "fake"}, namespace="kube-system")
    for_nobody = dict.fromkeys(("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"), "")
    assert node.call("STATUS", conf, **for_nobody).status == 0
    assert node.ran() == ["STATUS  cl"]
    node.api.fail(None, status=503, headers={"Retry-After": "0"})
    assert node.call("STATUS", conf).code == 50


def test_delegates_know_whose_they_are(abc: ClusterNode) -> None:
    """The record holds what DEL needs once the runtime tells no arguments."""
    assert abc.add("a").status == 0
    abc.ran()
    assert abc.call("DEL", CNI_ARGS="").status == 0
    assert "K8S_POD_NAME=p1;" in abc.env(0)["CNI_ARGS"]
    assert json.loads((abc.lab / "stdin.0").read_text())["prevResult"]
