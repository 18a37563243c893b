"""Service accounts of a namespace, with the rights that a test gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.cluster import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.cluster.cluster import Cluster

Rights = dict[str, list[str]]  #: resource -> verbs

#: what multus needs, but for a pod's status
READING: Rights = {
    "pods": ["get"],
    "events": ["create", "patch", "update"],
    "network-attachment-definitions": ["get", "list", "watch"],
}


def account(cluster: Cluster, namespace: str, rights: Mapping[str, Sequence[str]]) -> str:
    """Make the service account `tester`; its token."""
    rbac = "rbac.authorization.k8s.io"
    meta = {"metadata": {"name": "tester", "namespace": namespace}}
    rules = [
        {"apiGroups": [_group(resource)], "resources": [resource], "verbs": list(verbs)}
        for resource, verbs in rights.items()
    ]
    binding = {
        "subjects": [{"kind": "ServiceAccount", **meta["metadata"]}],
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "tester"},
    }
    items: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", **meta},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", **meta, "rules": rules},
        {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", **meta, **binding},
    ]
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": items})
    return cluster.service_account_token(namespace, "tester")


def _group(resource: str) -> str:
    return GROUP if resource.startswith("network-") else ""
