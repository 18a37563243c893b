"""Ways to the API server, and what may not be done there; nothing tells the token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cni.kube import access
from tests.unit.meta.cluster.node import nad_path, pod_path

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer
    from tests.unit.meta.cluster.node import ClusterNode


@pytest.mark.parametrize(
    "keys",
    [
        {"form": "yaml"},
        {"form": "json", "namespace": "other"},
        {"auth": "tokenFile"},
        {"auth": "certificate"},
        {"auth": "certificateFiles", "ca": "file"},
        {"ca": "skip"},
    ],
    ids=lambda keys: "-".join(keys.values()),
)
def test_kubeconfigs(node: ClusterNode, api: ApiServer, keys: dict[str, Any]) -> None:
    api.kubeconfig(node.kubeconfig, **keys)
    assert node.add("n1").status == 0
    assert len(node.status()) == 2
    assert {each.user for each in api.requests} <= {api.user, api.certificate_user}


def test_the_service_account_of_a_pod(
    node: ClusterNode, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without "kubeconfig"; a token that was renewed is read again."""
    account = node.root / "serviceaccount"
    account.mkdir()
    (account / "token").write_text("expired\n")
    (account / "ca.crt").write_bytes(api.certificates.authority.read_bytes())
    in_cluster, looks = access.in_cluster, []

    def renewing(environ: Any) -> access.Access | None:
        looks.append(1)
        if len(looks) > 2:
            (account / "token").write_text(f"{api.token}\n")
        return in_cluster(environ, str(account))

    monkeypatch.setattr(access, "in_cluster", renewing)
    node.pod("n1")
    where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
    assert node.call("ADD", node.conf(kubeconfig=""), **where).status == 0
    assert [each.status for each in api.requests][:2] == [401, 200]
    assert len(node.status()) == 2


def test_without_any_access_there_is_no_cluster(node: ClusterNode, api: ApiServer) -> None:
    """The original's offline mode: the inline delegates, whatever the pod is called."""
    node.pod("n1")
    assert node.call("ADD", node.conf(kubeconfig="")).status == 0
    assert node.ran() == ["ADD eth0 cbr0"]
    assert api.requests == []


@pytest.mark.parametrize("is_fine", [True, False])
def test_nobody_tells_the_token(
    node: ClusterNode, api: ApiServer, capfd: Any, *, is_fine: bool
) -> None:
    log = node.root / "multus.log"
    conf = node.conf(logLevel="debug", logFile=str(log), apiServer={"attempts": 1})
    if not is_fine:
        api.fail(None, kind="html", status=500, body=f"Authorization: {api.user}")
    reply = node.add("n1,nope" if not is_fine else "n1", conf)
    assert reply.status == (0 if is_fine else 1)
    node.call("DEL", conf)
    said = (
        json.dumps(reply.out)
        + "".join(capfd.readouterr())
        + (log.read_text() if log.exists() else "")
    )
    written = "".join(path.read_text() for path in node.cni_dir.rglob("*") if path.is_file())
    passed_on = "".join(path.read_text() for path in node.lab.glob("env.*"))
    assert api.token not in said + written + passed_on


def test_neither_patch_nor_put_of_a_status(node: ClusterNode, api: ApiServer) -> None:
    for verb in ("patch", "update"):
        api.forbid("multus", verb, "pods/status")
    reply = node.add("n1")
    assert reply.code == 7
    assert reply.msg.startswith("status update failed for pod default/p1: API server ")
    assert "forbidden" in reply.msg
    assert [each.method for each in api.requests].count("PUT") == 1
    assert node.ran()[2:] == ["DEL net1 n1", "DEL eth0 cbr0"]
    node.nothing_left()


def test_no_events(node: ClusterNode, api: ApiServer, capfd: Any) -> None:
    api.forbid("multus", "create", "events")
    assert node.add("n1").status == 0
    assert node.events() == []
    assert "an event was not posted" in capfd.readouterr().err
    assert node.call("DEL").status == 0
    assert node.files() == []


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"missingPod": "maybe"}, "missingPod"),
        ({"unmetRequests": "no"}, "unmetRequests"),
        ({"namespaceIsolation": 3}, "namespaceIsolation"),
        ({"defaultNetworks": "cl"}, "defaultNetworks"),
        ({"systemNamespaces": "kube-system"}, "systemNamespaces"),
        ({"globalNamespaces": ["a"]}, "globalNamespaces"),
        ({"apiServer": {"callSeconds": -1}}, "apiServer.callSeconds"),
        ({"apiServer": {"totalSeconds": "10"}}, "apiServer.totalSeconds"),
        ({"apiServer": 5}, "apiServer"),
        ({"kubeconfig": 5}, "kubeconfig"),
    ],
)
def test_keys_of_a_wrong_kind(node: ClusterNode, keys: dict[str, Any], said: str) -> None:
    reply = node.add("n1", node.conf(**keys))
    assert reply.code == 7
    assert said in reply.msg
    node.nothing_happened()
    assert node.api.requests == []


def test_a_del_is_not_for_the_next_pod_of_that_name(node: ClusterNode, api: ApiServer) -> None:
    """Nothing is recorded, and the pod that the API server knows is another by now."""
    node.pod("n1,n2", uid="u2")
    assert node.call("DEL").status == 0
    assert node.ran() == ["DEL eth0 cbr0"]


def test_gc_of_a_cluster_network_without_the_server(node: ClusterNode, api: ApiServer) -> None:
    node.nad("cl", {"cniVersion": "1.1.0", "type": "fake"}, namespace="kube-system")
    conf = node.conf(clusterNetwork="cl")
    assert node.add("n1", conf).status == 0
    node.ran()
    api.stop()
    stale = {**conf, "cni.dev/valid-attachments": []}
    assert node.call("GC", stale, CNI_ARGS="").status == 0
    assert node.ran() == ["DEL net1 n1", "DEL eth0 cl", "GC  cl"]
    assert node.files() == []


def test_gc_asks_the_networks_that_are_configured(node: ClusterNode, api: ApiServer) -> None:
    for name in ("cl", "d1"):
        node.nad(name, {"cniVersion": "1.1.0", "type": "fake"}, namespace="kube-system")
    conf = node.conf(clusterNetwork="cl", defaultNetworks=["d1"])
    stale = {**conf, "cni.dev/valid-attachments": []}
    assert node.call("GC", stale, CNI_ARGS="").status == 0
    assert sorted(node.ran()) == ["GC  cl", "GC  d1"]
    asked = sorted(f"GET {nad_path(name, 'kube-system')}" for name in ("cl", "d1"))
    assert sorted(node.asked()) == asked
    assert pod_path() not in str(api.requests)
