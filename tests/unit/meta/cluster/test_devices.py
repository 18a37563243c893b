"""Vectors 29 to 31: which devices a pod has, which network gets which, how a plugin learns it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.meta.cluster.node import DEFAULT_NETWORK, pod_path

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kubelet.server import Kubelet
    from tests.unit.meta.cluster.node import ClusterNode, Json
    from tests.unit.meta.harness import Reply

VF = "intel.com/sriov_net_A"
IDS = ["0000:03:02.3", "0000:03:02.0"]
INFO = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": IDS[0]}}


class Lab:
    """A node with a kubelet that has given the pod two devices, and a NAD of their resource."""

    def __init__(self, node: ClusterNode, kubelet: Kubelet, root: Path) -> None:
        self.node = node
        self.kubelet = kubelet
        self.devinfo = root / "devinfo"
        kubelet.give("default", "p2", "u2", {VF: ["0000:03:09.9"]})
        kubelet.give("default", "p1", "u1", {VF: IDS})
        node.nad("vf", resource=VF)

    def conf(self, **keys: Any) -> Json:
        return self.node.conf(**{"kubeletDir": str(self.kubelet.directory), **keys})

    def call(self, command: str, **keys: Any) -> Reply:
        return self.node.call(command, self.conf(**keys), PLAIT_DEVINFO_DIR=str(self.devinfo))

    def add(self, networks: Any, **annotations: str) -> Reply:
        self.node.pod(networks, **annotations)
        return self.call("ADD")

    def told(self, index: int) -> tuple[Any, Any]:
        stdin = self.node.stdin(index)
        return stdin.get("deviceID"), stdin.get("pciBusID")

    def write_info(self, device: str = IDS[0]) -> None:
        directory = self.devinfo / "dp"
        directory.mkdir(parents=True, exist_ok=True)
        name = f"{VF.replace('/', '-')}-{device}-device.json"
        (directory / name).write_text(json.dumps(INFO))

    def copies(self) -> list[str]:
        return sorted(path.name for path in self.devinfo.glob("cni/*"))


@pytest.fixture
def lab(node: ClusterNode, kubelet: Kubelet, tmp_path: Path) -> Lab:
    return Lab(node, kubelet, tmp_path)


@pytest.fixture
def old(node: ClusterNode, tmp_path: Path) -> Lab:
    """A kubelet that answers at no socket: only its checkpoint is there."""
    from tests.kubelet.server import Kubelet

    lab = Lab(node, Kubelet(tmp_path / "kubelet"), tmp_path)
    lab.kubelet.write_checkpoint()
    return lab


@pytest.mark.parametrize("source", ["lab", "old"], ids=["v31-socket", "v29-checkpoint"])
def test_v29_each_network_of_a_resource_gets_a_device(
    source: str, request: pytest.FixtureRequest
) -> None:
    """In the kubelet's order, as of PR 1540."""
    lab: Lab = request.getfixturevalue(source)
    assert lab.add("vf,n1,vf").status == 0
    assert [lab.told(index) for index in range(4)] == [
        (None, None), (IDS[0], IDS[0]), (None, None), (IDS[1], IDS[1]),
    ]  # fmt: skip
    record = lab.node.scratch()[1]
    assert (record["deviceID"], record["resourceName"]) == (IDS[0], VF)
    assert lab.call("DEL").status == 0
    assert lab.node.files() == []


@pytest.mark.parametrize("source", ["lab", "old"])
def test_v29_a_third_network_for_two_devices_is_an_error(
    source: str, request: pytest.FixtureRequest
) -> None:
    """In the original it is attached without a device."""
    lab: Lab = request.getfixturevalue(source)
    reply = lab.add("vf,vf,vf")
    assert reply.code == 7
    said = f'network default/vf: resource "{VF}": the pod has 2 of it, and this network would need'
    assert said in reply.msg
    lab.node.nothing_happened()


def test_v31_another_pod_s_devices_are_not_ours(lab: Lab) -> None:
    lab.kubelet.pods = lab.kubelet.pods[:1]
    lab.kubelet.write_checkpoint()
    reply = lab.add("vf")
    assert reply.code == 7
    assert f'network default/vf: resource "{VF}": the pod has none of it' in reply.msg
    lab.node.nothing_happened()


@pytest.mark.parametrize("get", ["served", "disabled", "absent"])
def test_v31_kubelets_of_all_ages(node: ClusterNode, tmp_path: Path, get: Any) -> None:
    from tests.kubelet.server import Kubelet

    kubelet = Kubelet(tmp_path / "kubelet")
    kubelet.get = get
    with kubelet:
        lab = Lab(node, kubelet, tmp_path)
        assert lab.add("vf").status == 0
        assert lab.told(1)[0] == IDS[0]
        assert kubelet.calls == (
            ["Get"] if get == "served" else ["Get", "List"][-len(kubelet.calls) :]
        )


def test_no_kubelet_at_all(node: ClusterNode, tmp_path: Path) -> None:
    node.nad("vf", resource=VF)
    node.pod("vf")
    reply = node.call("ADD", node.conf(kubeletDir=str(tmp_path / "gone")))
    assert reply.code == 11
    assert "cannot find the devices of pod default/p1" in reply.msg
    node.nothing_happened()


def test_the_kubelet_is_asked_once_and_only_for_those_who_have_a_resource(lab: Lab) -> None:
    assert lab.add("n1,n2").status == 0
    assert lab.kubelet.calls == []
    assert lab.call("DEL").status == 0
    lab.node.pod("vf,vf", name="p9")
    lab.kubelet.give("default", "p9", "u9", {VF: IDS})
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p9"
    assert lab.node.call("ADD", lab.conf(), CNI_ARGS=args).status == 0
    assert lab.kubelet.calls == ["Get"]


def test_the_default_network_shares_the_one_map(lab: Lab) -> None:
    """In the original it and the first network of the resource get the same VF."""
    assert lab.add("vf", **{DEFAULT_NETWORK: "default/vf"}).status == 0
    assert [lab.told(index)[0] for index in range(2)] == IDS


def test_devices_of_several_containers_are_flattened_in_their_order(lab: Lab) -> None:
    lab.kubelet.pods[-1] = lab.kubelet.pods[-1]._replace(
        containers=({VF: ["0000:05:00.1"]}, {"other/res": ["x"]}, {VF: ["0000:04:00.1"]})
    )
    lab.node.nad("other", resource="other/res")
    assert lab.add("vf,other,vf").status == 0
    assert [lab.told(index)[0] for index in (1, 2, 3)] == ["0000:05:00.1", "x", "0000:04:00.1"]


def test_v30_every_plugin_of_a_list_is_told(lab: Lab) -> None:
    plugins = [{"type": "fake"}, {"type": "fake", "deviceID": "old"}]
    lab.node.nad("list", {"cniVersion": "1.0.0", "plugins": plugins}, resource=VF)
    assert lab.add("list").status == 0
    assert [lab.told(index) for index in (1, 2)] == [(IDS[0], IDS[0])] * 2


def test_runtime_config_is_for_those_who_declare_it(lab: Lab) -> None:
    capable = {"deviceID": True, "CNIDeviceInfoFile": True}
    plugins = [{"type": "fake", "capabilities": capable}, {"type": "fake"}]
    lab.node.nad("list", {"cniVersion": "1.0.0", "plugins": plugins}, resource=VF)
    assert lab.add("list").status == 0
    path = str(lab.devinfo / "cni" / "default-list-cid1_net1")
    assert lab.node.stdin(1)["runtimeConfig"] == {"deviceID": IDS[0], "CNIDeviceInfoFile": path}
    assert "runtimeConfig" not in lab.node.stdin(2)


def test_a_device_asked_for_in_the_annotation(lab: Lab) -> None:
    """The resource's device wins; without a resource only runtimeConfig tells it."""
    capable = {"deviceID": True}
    lab.node.nad("vfc", resource=VF, capabilities=capable)
    lab.node.nad("plain", capabilities=capable)
    wish = [{"name": "vfc", "deviceID": "0000:99:00.0"}, {"name": "plain", "deviceID": "abc"}]
    assert lab.add(wish).status == 0
    assert lab.told(1)[0] == IDS[0]
    assert lab.node.stdin(1)["runtimeConfig"]["deviceID"] == IDS[0]
    assert lab.told(2) == (None, None)
    assert lab.node.stdin(2)["runtimeConfig"] == {"deviceID": "abc"}


def test_device_info_is_there_before_the_add_and_in_the_status_and_gone_with_the_del(
    lab: Lab,
) -> None:
    lab.write_info()
    copy = lab.devinfo / "cni" / "default-look-cid1_net1"
    lab.node.plugin("look")
    lab.node.on("look", "ADD", f'cat {copy} >"$LAB/seen"')
    lab.node.nad("look", {"cniVersion": "1.0.0", "type": "look"}, resource=VF)
    assert lab.add("look").status == 0
    assert json.loads((lab.node.lab / "seen").read_text()) == INFO
    assert lab.copies() == ["default-look-cid1_net1"]
    assert lab.node.status()[1]["device-info"] == INFO
    assert "device-info" not in lab.node.status()[0]
    assert lab.call("DEL").status == 0
    assert lab.copies() == []


def test_device_info_is_gone_with_a_failed_add(lab: Lab) -> None:
    lab.write_info()
    lab.node.plugin("bad")
    lab.node.fail("bad", "ADD")
    lab.node.nad("broken", {"cniVersion": "1.0.0", "type": "bad"})
    assert lab.add("vf,broken").code == 77
    assert lab.copies() == []
    lab.node.nothing_left()


def test_a_plugin_that_writes_its_device_info_itself(lab: Lab) -> None:
    copy = lab.devinfo / "cni" / "default-own-cid1_net1"
    lab.node.plugin("writes")
    (lab.node.lab / "info").write_text(json.dumps(INFO))
    lab.node.on("writes", "ADD", f'mkdir -p {copy.parent}; cp "$LAB/info" {copy}')
    lab.node.nad("own", {"cniVersion": "1.0.0", "type": "writes"}, resource=VF)
    assert lab.add("own").status == 0
    assert lab.node.status()[1]["device-info"] == INFO
    assert lab.call("DEL").status == 0
    assert lab.copies() == []


def test_a_del_needs_neither_server_nor_kubelet(lab: Lab) -> None:
    lab.write_info()
    assert lab.add("vf").status == 0
    lab.node.api.delete(pod_path())
    lab.node.api.clear()
    lab.kubelet.calls.clear()
    assert lab.call("DEL", kubeletDir="/nonexistent").status == 0
    assert (lab.node.api.requests, lab.kubelet.calls, lab.copies()) == ([], [], [])
