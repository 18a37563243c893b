"""The cluster itself: what multus relies on is what a real API server does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.accounts import READING, account
from tests.cluster.cluster import GROUP, MERGE_PATCH

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.cluster import Cluster


@pytest.fixture
def token(cluster: Cluster, namespace: str) -> str:
    """Of a service account that may do what multus does, in its namespace."""
    return account(cluster, namespace, READING | {"pods/status": ["patch", "update"]})


@pytest.fixture
def stranger(cluster: Cluster, namespace: str) -> str:
    """The token of a service account without any rights."""
    cluster.kubectl("create", "serviceaccount", "stranger", "--namespace", namespace)
    return cluster.service_account_token(namespace, "stranger")


def _pod(namespace: str, *more: str) -> str:
    return "/".join(["/api/v1/namespaces", namespace, "pods/web", *more])


def _annotate(uid: str = "") -> dict[str, Any]:
    """A merge patch, of one pod alone if its UID is given."""
    return {"metadata": {"annotations": {"said": "yes"}, **({"uid": uid} if uid else {})}}


def test_its_server_and_its_kubectl_are_of_one_version(cluster: Cluster) -> None:
    version = json.loads(cluster.kubectl("version", "--output", "json"))
    server, client = (version[f"{side}Version"]["gitVersion"] for side in ("server", "client"))
    assert server == client
    assert server.startswith("v1.20.")


def test_a_network_is_made_and_read_by_its_short_name(cluster: Cluster, namespace: str) -> None:
    config = {"cniVersion": "1.0.0", "type": "bridge"}
    cluster.nad(namespace, "green", config, {f"{GROUP}/resourceName": "example.com/vf"})
    found = cluster.get("net-attach-def", namespace, "green")
    assert json.loads(found["spec"]["config"]) == config
    assert found["metadata"]["annotations"][f"{GROUP}/resourceName"] == "example.com/vf"
    assert [each["metadata"]["name"] for each in cluster.objects("net-attach-def", namespace)] == [
        "green"
    ]


def test_a_network_of_a_file_needs_no_configuration(cluster: Cluster, namespace: str) -> None:
    cluster.nad(namespace, "green", None)
    assert cluster.get("net-attach-def", namespace, "green")["spec"] == {}


def test_a_configuration_that_is_no_text_is_refused(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/{GROUP}/v1/namespaces/{namespace}/network-attachment-definitions"
    answer = cluster.request("POST", path, {
        "apiVersion": f"{GROUP}/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "green"},
        "spec": {"config": {"type": "bridge"}},
    })  # fmt: skip
    assert answer.status == 422
    assert "spec.config" in answer.value["message"]


def test_the_status_of_a_pod_takes_annotations(
    cluster: Cluster, namespace: str, token: str
) -> None:
    uid = cluster.pod(namespace, "web", {"asked": "yes"})
    answer = cluster.request("PATCH", _pod(namespace, "status"), _annotate(uid), token, MERGE_PATCH)
    assert answer.status == 200
    found = cluster.get("pod", namespace, "web")["metadata"]
    assert found["uid"] == uid
    assert (found["annotations"]["asked"], found["annotations"]["said"]) == ("yes", "yes")


def test_the_status_of_another_pod_of_the_name_is_not_patched(
    cluster: Cluster, namespace: str, token: str
) -> None:
    gone = cluster.pod(namespace, "web")
    old = cluster.request("GET", _pod(namespace), token=token).value
    cluster.delete_pod(namespace, "web")
    cluster.pod(namespace, "web")
    path = _pod(namespace, "status")
    answer = cluster.request("PATCH", path, _annotate(gone), token, MERGE_PATCH)
    assert answer.status == 422  # the field cannot be changed; a PUT is a conflict
    assert {each["field"] for each in answer.value["details"]["causes"]} == {"metadata.uid"}
    assert cluster.request("PUT", path, old, token).status == 409
    assert "annotations" not in cluster.get("pod", namespace, "web")["metadata"]


def test_a_pod_that_is_gone_has_no_status(cluster: Cluster, namespace: str, token: str) -> None:
    gone = cluster.pod(namespace, "web")
    cluster.delete_pod(namespace, "web")
    path = _pod(namespace, "status")
    assert cluster.request("PATCH", path, _annotate(gone), token, MERGE_PATCH).status == 404
    assert cluster.request("GET", _pod(namespace), token=token).status == 404


def test_a_pod_that_has_changed_is_not_replaced(
    cluster: Cluster, namespace: str, token: str
) -> None:
    cluster.pod(namespace, "web")
    stale = cluster.request("GET", _pod(namespace), token=token).value
    cluster.kubectl("annotate", "pod", "web", "--namespace", namespace, "other=word")
    path = _pod(namespace, "status")
    assert cluster.request("PUT", path, stale, token).status == 409
    fresh = cluster.request("GET", _pod(namespace), token=token).value
    assert cluster.request("PUT", path, fresh, token).status == 200


def test_nobody_may_do_more_than_his_rules_say(
    cluster: Cluster, namespace: str, token: str, stranger: str
) -> None:
    cluster.pod(namespace, "web")
    status = _pod(namespace, "status")
    answer = cluster.request("PATCH", status, _annotate(), stranger, MERGE_PATCH)
    assert answer.status == 403
    assert f'"system:serviceaccount:{namespace}:stranger" cannot patch' in answer.value["message"]
    assert cluster.request("GET", _pod(namespace), token=stranger).status == 403
    # a pod, but not beyond its status; this namespace, but no other
    assert cluster.request("PATCH", _pod(namespace), {}, token, MERGE_PATCH).status == 403
    assert cluster.request("GET", _pod("default"), token=token).status == 403


def test_a_token_that_nobody_signed_is_refused(cluster: Cluster, namespace: str) -> None:
    assert cluster.request("GET", _pod(namespace), token="nonsense").status == 401


def test_a_kubeconfig_is_of_a_service_account(
    cluster: Cluster, namespace: str, token: str, tmp_path: Path
) -> None:
    cluster.pod(namespace, "web")
    user = cluster.kubeconfig(tmp_path / "kubeconfig", token)
    shown = cluster.kubectl("get", "pod", "web", "--namespace", namespace, user=user)
    assert "web" in shown
    with pytest.raises(AssertionError, match="forbidden"):
        cluster.kubectl("get", "pods", "--namespace", namespace, user=user)
