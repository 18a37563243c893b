"""packaging/kubernetes: the API server takes it, and what it puts on a node attaches pods."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from tests.cluster.cluster import ADDRESS, MERGE_PATCH, PORT
from tests.cluster.conftest import as_before_surges
from tests.cluster.runtime import STATUS, Runtime
from tests.netns.confs import bridge, whereabouts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.cluster import Cluster
    from tests.netns.node import Node


def run(plait: Path, *arguments: str) -> None:
    """The operator's tool, with what a pod is told of the API server."""
    told = {"KUBERNETES_SERVICE_HOST": ADDRESS, "KUBERNETES_SERVICE_PORT": str(PORT)}
    subprocess.run([plait, *arguments], env=os.environ | told, check=True)


def test_the_manifests_are_valid(cluster: Cluster, released: str) -> None:
    assert released
    for file in ("plait.yaml", "uninstall.yaml"):
        text = as_before_surges(file)
        cluster.kubectl("apply", "--dry-run=server", "--filename", "-", stdin=text)


def test_the_service_account_may_not_do_more_than_multus_does(
    cluster: Cluster, released: str, namespace: str
) -> None:
    cluster.pod(namespace, "web")
    pod = f"/api/v1/namespaces/{namespace}/pods/web"
    assert cluster.request("GET", pod, token=released).status == 200
    assert cluster.request("DELETE", pod, token=released).status == 403
    assert cluster.request("PATCH", pod, {}, released, MERGE_PATCH).status == 403
    assert cluster.request("GET", "/api/v1/secrets", token=released).status == 403


def test_pods_are_attached_by_what_is_installed(
    node: Node, cluster: Cluster, plugins: Path, released: str, namespace: str
) -> None:
    account, configurations, executables = (
        node.root / name for name in ("account", "net.d", "bin")
    )
    for directory in (account, configurations, executables):
        directory.mkdir()
    (account / "token").write_text(released)
    (account / "ca.crt").write_bytes(cluster.certificates.authority.read_bytes())
    pods = bridge(name="pods", isDefaultGateway=True, ipam=whereabouts("10.6.0.0/16"))
    pods = {"cniVersion": "1.0.0", "name": "pods", "plugins": [pods]}
    (configurations / "10-pods.conflist").write_text(json.dumps(pods))
    where = [f"--conf-dir={configurations}", f"--bin-dir={executables}"]
    run(plugins / "plait", "install", *where, f"--service-account={account}")

    first = min(configurations.glob("*.conflist"))
    made = json.loads(first.read_text())
    conf = {"cniVersion": made["cniVersion"], "name": made["name"], **made["plugins"][0]}
    runtime = Runtime(node, executables, conf)
    cluster.nad(namespace, "blue", bridge(bridge="br1", ipam=whereabouts("10.7.1.0/24")))
    sandbox = runtime.sandbox(cluster, namespace, "blue")
    runtime.call("ADD", sandbox).ok()
    told = cluster.get("pod", namespace, "web")["metadata"]["annotations"][STATUS]
    assert [each["name"] for each in json.loads(told)] == ["pods", f"{namespace}/blue"]
    runtime.call("DEL", sandbox).ok()
    assert node.leases() == []

    run(plugins / "plait", "uninstall", *where)
    assert os.listdir(configurations) == ["10-pods.conflist"]
    assert os.listdir(executables) == []
