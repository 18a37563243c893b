"""The pods that a cluster has, in one list: who is not in it is gone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from cni.core.errors import CniError, Code
from cni.kube.access import from_kubeconfig
from cni.kube.client import Client, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.core.types import Json

_PAGE = 500  #: pods of one answer
#: of a static pod the kubelet tells the runtime another UID than the API server's: this one
_STATIC = ("kubernetes.io/config.hash", "kubernetes.io/config.mirror")


_PATIENT = Limits(connect=10, call=60, total=600, attempts=5)


def client(kubeconfig: str) -> Client:
    return Client(partial(from_kubeconfig, kubeconfig), _PATIENT)


def of(kubeconfig: str, node: str = "") -> Mapping[str, frozenset[str]]:
    """See `read`."""
    asked = client(kubeconfig)
    try:
        return read(asked, node)
    finally:
        asked.close()


def read(client: Client, node: str = "") -> Mapping[str, frozenset[str]]:
    """All pods of the cluster, or of one node.

    Raises ApiError; CniError 11 for a list that cannot be whole. A cluster without any pod is one
    that does not show us its pods.
    """
    query = f"limit={_PAGE}"
    if node:
        query += f"&fieldSelector={quote(f'spec.nodeName={node}', safe='')}"
    items, _ = client.items(f"/api/v1/pods?{query}")
    found = dict(map(_pod, items))
    if not found:
        raise CniError(Code.TRY_AGAIN_LATER, "the API server lists no pods: nothing is judged")
    return found


def _pod(document: Json) -> tuple[str, frozenset[str]]:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    said = [metadata.get(each) for each in ("namespace", "name", "uid")]
    if not all(isinstance(each, str) and each for each in said):
        raise CniError(
            Code.TRY_AGAIN_LATER, "the API server lists something that is no pod: nothing is judged"
        )
    namespace, name, uid = said
    annotations = metadata.get("annotations")
    if not isinstance(annotations, dict):
        annotations = {}
    static = [str(annotations[each]) for each in _STATIC if annotations.get(each)]
    return f"{namespace}/{name}", frozenset((str(uid), *static))
