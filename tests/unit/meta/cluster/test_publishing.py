"""Vectors 43 to 46 and 52: what the pod's status and its events say, and when they cannot."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from meta.multus import network_status, sandbox
from tests.unit.meta.cluster.node import (
    CBR0,
    DEFAULT_NETWORK,
    NETWORKS,
    STATUS,
    nad_path,
    pod_path,
    result,
)
from tests.unit.meta.harness import RESULT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.apiserver.server import ApiServer
    from tests.kubelet.server import Kubelet
    from tests.unit.meta.cluster.node import ClusterNode

IN = {"sandbox": "/run/netns/x"}

BYTES = """[{
    "name": "cbr0",
    "interface": "eth0",
    "ips": [
        "10.1.2.3"
    ],
    "mac": "02:00:00:00:00:01",
    "default": true,
    "dns": {},
    "gateway": [
        "10.1.2.1"
    ]
},{
    "name": "default/vf",
    "interface": "net1",
    "dns": {},
    "device-info": {
        "type": "pci",
        "version": "1.1.0",
        "pci": {
            "pci-address": "0000:03:02.0",
            "pf-pci-address": "0000:03:00.0"
        }
    }
}]"""


def test_the_bytes_in_the_api_server(node: ClusterNode, kubelet: Kubelet) -> None:
    devinfo = node.root / "devinfo"
    (devinfo / "dp").mkdir(parents=True)
    info = json.loads(BYTES)[1]["device-info"]
    (devinfo / "dp" / "intel.com-vf-0000:03:02.0-device.json").write_text(json.dumps(info))
    kubelet.give("default", "p1", "u1", {"intel.com/vf": ["0000:03:02.0"]})
    node.plugin("master", result=result(
        "eth0", "10.1.2.3/24", routes=[{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}],
        interfaces=[{"name": "eth0", "mac": "02:00:00:00:00:01", **IN}],
    ))  # fmt: skip
    node.plugin("vf", result=result("net1"))
    node.nad("vf", {"cniVersion": "1.0.0", "type": "vf"}, resource="intel.com/vf")
    node.pod("vf", **{"mine": "stays", STATUS: "old"})
    conf = node.conf({**CBR0, "type": "master"}, kubeletDir=str(kubelet.directory))
    assert node.call("ADD", conf, PLAIT_DEVINFO_DIR=str(devinfo)).status == 0
    assert node.status_text() == BYTES
    stored = node.api.get(pod_path())
    assert stored is not None
    assert stored["metadata"]["annotations"] == {NETWORKS: "vf", "mine": "stays", STATUS: BYTES}
    (seen,) = [each for each in node.api.requests if each.method == "PATCH"]
    assert seen.content_type == "application/merge-patch+json"
    assert node.events() == [
        "Normal AddedInterface Add eth0 [10.1.2.3/24] from cbr0",
        "Normal AddedInterface Add net1 [] from default/vf",
    ]


@pytest.mark.parametrize(
    ("answer", "entry"),
    [
        pytest.param({}, None, id="v43-empty"),
        pytest.param({"ips": [{"address": "10.2.0.2/24"}]}, None, id="v43-addresses-alone"),
        pytest.param(
            {"interfaces": [{"name": "br0"}], "ips": [{"address": "10.2.0.2/24"}]},
            {"name": "default/odd", "ips": ["10.2.0.2"], "dns": {}},
            id="v43-not-in-the-pod",
        ),
    ],
)
def test_v43_answers_with_little_in_them(
    node: ClusterNode, answer: dict[str, Any], entry: dict[str, Any] | None
) -> None:
    node.plugin("odd", result={"cniVersion": "1.0.0", **answer})
    node.nad("odd", {"cniVersion": "1.0.0", "type": "odd"})
    assert node.add("odd").status == 0
    assert node.status()[1:] == ([] if entry is None else [entry])


def test_what_the_status_tells_is_durable(
    node: ClusterNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes a moment for the lease, and the pod's status waits for that."""
    told: list[object] = []

    def slow(fd: int) -> None:
        time.sleep(0.2)
        if os.readlink(f"/proc/self/fd/{fd}").endswith("leases.db-wal"):
            told.extend(each for each in node.api.requests if each.method == "PATCH")

    monkeypatch.setattr(os, "fdatasync", slow)
    ipam = {"type": "whereabouts", "range": "10.3.0.0/24"}
    node.nad("leased", {"cniVersion": "1.0.0", "type": "whereabouts", "ipam": ipam})
    assert node.add("leased").status == 0
    assert told == []
    assert [each for each in node.api.requests if each.method == "PATCH"]


def test_v43_no_entry_at_all(node: ClusterNode) -> None:
    node.plugin("mute", result={"cniVersion": "1.0.0"})
    node.pod("")
    assert node.call("ADD", node.conf({**CBR0, "type": "mute"})).status == 0
    assert node.status_text() is None
    assert node.asked() == [f"GET {pod_path()}"]
    assert node.events() == []


def test_v44_several_interfaces(node: ClusterNode) -> None:
    node.plugin("many", result={
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "foo"}, {"name": "example0", **IN}, {"name": "example1", **IN}],
        "ips": [
            {"address": f"10.2.0.{number}/24", "interface": at}
            for number, at in ((1, 1), (2, 1), (3, 2))
        ],
    })  # fmt: skip
    node.nad("many", {"cniVersion": "1.0.0", "type": "many"})
    node.pod("many", **{DEFAULT_NETWORK: "default/many"})
    assert node.call("ADD").status == 0
    first = {"name": "default/many", "interface": "example0", "ips": ["10.2.0.1", "10.2.0.2"]}
    second = {"name": "default/many", "interface": "example1", "ips": ["10.2.0.3"]}
    assert node.status() == [
        {**first, "default": True, "dns": {}}, {**second, "dns": {}},
        {**first, "dns": {}}, {**second, "dns": {}},
    ]  # fmt: skip


def test_v45_the_default_is_where_the_gateway_is(node: ClusterNode) -> None:
    node.plugin("two", result={
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", **IN}, {"name": "other-primary", **IN}],
        "ips": [
            {"address": "10.2.0.1/24", "interface": 0},
            {"address": "10.3.0.1/24", "interface": 1, "gateway": "10.3.0.254"},
        ],
    })  # fmt: skip
    node.pod("")
    assert node.call("ADD", node.conf({**CBR0, "type": "two"})).status == 0
    assert [x["interface"] for x in node.status() if x.get("default")] == ["other-primary"]


@pytest.mark.parametrize(
    ("conflicts", "is_fine"),
    [pytest.param(3, True, id="v46-three"), pytest.param(6, False, id="v46-six")],
)
def test_v46_put_where_patch_is_forbidden(
    node: ClusterNode, api: ApiServer, conflicts: int, *, is_fine: bool
) -> None:
    """After five conflicts nothing stays attached; in the original all does."""
    api.forbid("multus", "patch", "pods/status")
    api.fail(conflicts, method="PUT", path=pod_path(), status=409)
    reply = node.add("n1")
    assert reply.status == (0 if is_fine else 1)
    puts = [each for each in node.asked() if each == f"PUT {pod_path()}/status"]
    assert len(puts) == (4 if is_fine else 5)
    if is_fine:
        assert len(node.status()) == 2
        return
    assert reply.msg.startswith("status update failed for pod default/p1: ")
    assert node.ran()[2:] == ["DEL net1 n1", "DEL eth0 cbr0"]
    assert node.files() == []
    assert node.status_text() is None
    assert node.events() == []


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something happen between the last ADD and the status."""

    def happens(what: Callable[[], object]) -> None:
        text = network_status.text

        def hooked(told: Any) -> str:
            what()
            return text(told)

        monkeypatch.setattr(network_status, "text", hooked)

    return happens


@pytest.mark.parametrize("is_patch_allowed", [True, False])
def test_a_pod_that_is_deleted_before_the_status_needs_none(
    node: ClusterNode, api: ApiServer, meanwhile: Any, *, is_patch_allowed: bool
) -> None:
    if not is_patch_allowed:
        api.forbid("multus", "patch", "pods/status")
    meanwhile(lambda: api.delete(pod_path()))
    assert node.add("n1").status == 0
    assert node.call("DEL").status == 0
    assert node.files() == []


@pytest.mark.parametrize("is_patch_allowed", [True, False])
def test_the_next_pod_of_that_name_gets_no_status_of_ours(
    node: ClusterNode, api: ApiServer, meanwhile: Any, *, is_patch_allowed: bool
) -> None:
    def replace() -> None:
        api.delete(pod_path())
        api.pod("default", "p1", {"mine": "stays"}, "u2")

    if not is_patch_allowed:
        api.forbid("multus", "patch", "pods/status")
    meanwhile(replace)
    assert node.add("n1").status == 0
    stored = api.get(pod_path())
    assert stored is not None
    assert stored["metadata"]["annotations"] == {"mine": "stays"}


def test_somebody_else_writes_the_pod_meanwhile(
    node: ClusterNode, api: ApiServer, meanwhile: Any
) -> None:
    """A patch does not mind, and takes nothing from him."""

    def write() -> None:
        stored = api.get(pod_path())
        assert stored is not None
        stored["metadata"]["labels"] = {"new": "label"}
        api.put_object(pod_path(), stored)

    meanwhile(write)
    assert node.add("n1").status == 0
    stored = api.get(pod_path())
    assert stored is not None
    assert stored["metadata"]["labels"] == {"new": "label"}
    assert len(node.status()) == 2


def test_a_network_that_is_missing_becomes_an_event(node: ClusterNode) -> None:
    assert node.add("n1,nope,nope,other/no").status == 1
    missing = "Warning NoNetworkFound cannot find a network-attachment-definition ({}) in namespace"
    events = [each.partition(":")[0] for each in node.events()]
    assert events == [f"{missing.format('nope')} (default)", f"{missing.format('no')} (other)"]
    node.nothing_happened()


def test_only_what_is_really_missing_becomes_an_event(node: ClusterNode) -> None:
    (node.conf_dir / "10-cl.conf").write_text(json.dumps({**CBR0, "name": "cl"}))
    assert node.add("nope", node.conf(clusterNetwork="cl")).status == 1
    assert len(node.events()) == 1
    assert "(nope)" in node.events()[0]


def test_an_event_says_whose_it_is(node: ClusterNode) -> None:
    assert node.add("n1").status == 0
    for event in node.api.events("default"):
        assert event["involvedObject"] == {
            "apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "p1", "uid": "u1",
        }  # fmt: skip
        assert event["source"] == {"component": "multus", "host": "node1"}
        assert event["metadata"]["name"].startswith("p1.")


@pytest.mark.parametrize("networks", ["n1", "nope"])
def test_events_can_be_turned_off(node: ClusterNode, networks: str) -> None:
    node.add(networks, node.conf(events=False))
    assert node.events() == []
    assert [each for each in node.api.requests if each.method == "POST"] == []


def routed(node: ClusterNode, monkeypatch: pytest.MonkeyPatch, gateway: str) -> list[Any]:
    """The pod's status, its answer, the cached answers of cbr0, n1, gw (which has the gateway)."""
    dsts = ["0.0.0.0/0", "::/0", "10.1.0.0/16", "10.2.0.0/16", "fd00:1::/64", "fd00:2::/64"]
    six = [{"dst": dst, "gw": "fd00::1" if ":" in dst else "10.0.0.1"} for dst in dsts]
    node.plugin(
        "old", result={**result("net1", "10.0.1.2/24"), "cniVersion": "0.3.1", "routes": six}
    )
    node.plugin("gw", result=result("net2", "10.9.0.2/24"))
    node.nad("old", {"cniVersion": "0.3.1", "type": "old"})
    node.nad("gw", {"cniVersion": "1.0.0", "type": "gw"})
    monkeypatch.setattr(sandbox, "move_default_routes", lambda netns, targets: None)
    reply = node.add([{"name": "old"}, {"name": "gw", "default-route": [gateway]}])
    assert reply.status == 0
    names = ("cbr0-cid1-eth0", "old-cid1-net1", "gw-cid1-net2")
    cached = [node.cached(name)["result"].get("routes", []) for name in names]
    return [node.status(), reply.out.get("routes", []), *cached]


def test_v52_a_gateway_of_four(node: ClusterNode, monkeypatch: pytest.MonkeyPatch) -> None:
    told, answer, master, old, chosen = routed(node, monkeypatch, "10.9.0.1")
    assert (answer, master, len(old)) == ([], [], 5)
    assert "0.0.0.0/0" not in [each["dst"] for each in old]
    assert chosen == [{"dst": "0.0.0.0/0", "gw": "10.9.0.1"}]
    assert [each.get("gateway") for each in told] == [None, ["fd00::1"], ["10.9.0.1"]]


def test_v52_a_gateway_of_six(node: ClusterNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The original looks for "::0/0", which nobody writes."""
    told, answer, master, old, chosen = routed(node, monkeypatch, "fd00:9::1")
    assert answer == master == RESULT["routes"]
    assert "::/0" not in [each["dst"] for each in old]
    assert len(old) == 5
    assert chosen == [{"dst": "::/0", "gw": "fd00:9::1"}]
    assert [each.get("gateway") for each in told] == [["10.0.0.1"], ["10.0.0.1"], ["fd00:9::1"]]


def test_v47_the_default_network_is_not_ready(
    node: ClusterNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the API server is asked; DEL does not wait."""
    from meta.multus import readiness

    monkeypatch.setattr(readiness, "TIMEOUT", 0.05)
    monkeypatch.setattr(readiness, "INTERVAL", 0.01)
    node.pod("n1")
    conf = node.conf(readinessindicatorfile=str(node.root / "ready"))
    reply = node.call("ADD", conf)
    assert reply.code == 11
    assert "still waiting for readinessindicatorfile @" in reply.msg
    node.nothing_happened()
    assert node.api.requests == []
    monkeypatch.setattr(readiness, "TIMEOUT", 1000.0)
    assert node.call("DEL", conf).status == 0
    (node.root / "ready").touch()
    assert node.call("ADD", conf).status == 0


def test_a_nad_that_goes_after_the_add_is_not_needed(node: ClusterNode, api: ApiServer) -> None:
    assert node.add("n1").status == 0
    api.delete(nad_path("n1"))
    node.ran()
    assert node.call("CHECK").status == 0
    assert node.call("DEL").status == 0
    assert node.ran() == ["CHECK eth0 cbr0", "CHECK net1 n1", "DEL net1 n1", "DEL eth0 cbr0"]
