"""The examples of a cluster as they lie there: conflist, objects in an API server, pod."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import yaml

from tests.apiserver.server import ApiServer
from tests.conformance.examples import FOLDER
from tests.conformance.runtime import Directories, Libcni, Wishes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.node import Node

CLUSTER = FOLDER / "cluster"
STATUS = "k8s.v1.cni.cncf.io/network-status"


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


def test_a_pod_gets_the_networks_that_its_annotation_selects(node: Node, tmp_path: Path) -> None:
    directories = Directories(node)
    net_d = directories.etc / "net.d"
    (net_d / "multus.d").mkdir(parents=True)
    file = net_d / "00-multus.conflist"
    shutil.copy(CLUSTER / file.name, file)
    runtime = Libcni(directories)
    (pod_manifest,) = manifests("pod.yaml")
    meta = pod_manifest["metadata"]
    pod = node.pod()
    before = node.traces(pod)
    with ApiServer(tmp_path / "api") as api:
        api.kubeconfig(net_d / "multus.d" / "multus.kubeconfig")
        for each in manifests("networks.yaml"):
            nad = each["metadata"]
            api.nad(nad["namespace"], nad["name"], each["spec"]["config"])
        uid = api.pod(meta["namespace"], meta["name"], meta["annotations"])["metadata"]["uid"]
        wishes = Wishes(
            args=f"IgnoreUnknown=1;K8S_POD_NAMESPACE={meta['namespace']};"
            f"K8S_POD_NAME={meta['name']};K8S_POD_INFRA_CONTAINER_ID={pod.container_id};"
            f"K8S_POD_UID={uid}"
        )
        result = runtime.add(file, pod, wishes)
        assert set(pod.net.links()) == {"lo", "eth0", "net1", "up0"}
        assert pod.net.addresses("net1") == ["192.168.40.16/24"]
        assert pod.net.links()["net1"]["mtu"] == 9000
        assert pod.net.default_gateways("-4") == ["172.20.0.1"]
        assert {"dst": "0.0.0.0/0", "gw": "10.85.0.1"} not in result.get("routes", [])
        found = api.get(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}")
        assert found is not None
        status = json.loads(found["metadata"]["annotations"][STATUS])
        assert [(each["name"], each["interface"], each["ips"]) for each in status] == [
            ("default", "eth0", ["10.85.0.2"]),
            ("networks/storage", "net1", ["192.168.40.16"]),
            ("networks/uplink", "up0", ["172.20.0.2"]),
        ]
        assert [each.get("gateway") for each in status] == [None, None, ["172.20.0.1"]]
        messages = sorted(each["message"] for each in api.events(meta["namespace"]))
        assert messages[1] == "Add net1 [192.168.40.16/24] from networks/storage"
        runtime.check(file, pod, wishes)
    runtime.delete(file, pod, wishes)  # the API server is gone by now
    runtime.delete(file, pod, wishes)
    assert node.traces(pod) == before


def test_addresses_of_the_cluster(node: Node, tmp_path: Path) -> None:
    """Two nodes of one cluster: the second is this one again, with nothing that the first wrote."""
    directories = Directories(node)
    net_d = directories.etc / "net.d"
    (net_d / "whereabouts.d").mkdir(parents=True)
    file = net_d / "10-cluster-addresses.conflist"
    shutil.copy(FOLDER / "cluster-addresses" / file.name, file)
    runtime = Libcni(directories)
    pool = "/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/kube-system/ippools/10.91.0.0-22"
    pods = [node.pod(), node.pod()]
    before = node.traces(*pods)
    with ApiServer(tmp_path / "api") as api:
        api.kubeconfig(net_d / "whereabouts.d" / "whereabouts.kubeconfig")
        for number, pod in enumerate(pods):
            args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-{number}"
            result = runtime.add(file, pod, Wishes(args=args))
            assert [each["address"] for each in result["ips"]] == [f"10.91.0.{16 + number}/22"]
            shutil.move(directories.root / "lib", directories.root / f"lib{number}")
        stored = api.get(pool)
        assert stored is not None
        assert stored["spec"]["allocations"] == {
            f"{16 + number}": {
                "id": pod.container_id, "podref": f"default/web-{number}", "ifname": "eth0"
            }
            for number, pod in enumerate(pods)
        }  # fmt: skip
        for number, pod in enumerate(pods):
            shutil.move(directories.root / f"lib{number}", directories.root / "lib")
            runtime.delete(file, pod, Wishes())
            shutil.rmtree(directories.root / "lib")
        stored = api.get(pool)
        assert stored is not None and stored["spec"]["allocations"] == {}
    assert node.traces(*pods) == before
