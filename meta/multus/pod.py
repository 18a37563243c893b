"""The pod of a call: who it is by CNI_ARGS, and what the API server says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core import log
from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from cni.core.types import Json

_SOURCE = "kubernetes.io/config.source"


class Name(NamedTuple):
    """What the runtime calls the pod; `uid` may be empty."""

    namespace: str
    name: str
    uid: str = ""


class Pod(NamedTuple):
    namespace: str
    name: str
    uid: str
    annotations: dict[str, str]
    node: str = ""
    document: Json = {}  # noqa: RUF012 (never changed)

    @property
    def is_static(self) -> bool:
        """Whether the kubelet made it from a file: the API server has a copy, under another UID."""
        return self.annotations.get(_SOURCE, "api") != "api"


def named(args: dict[str, str]) -> Name | None:
    """The pod of CNI_ARGS; None for a container that belongs to none."""
    namespace, name = args.get("K8S_POD_NAMESPACE", ""), args.get("K8S_POD_NAME", "")
    if name and not namespace:
        log.debug("CNI_ARGS name a pod without its namespace: no pod is looked up", pod=name)
    return Name(namespace, name, args.get("K8S_POD_UID", "")) if namespace and name else None


def read(document: Json, asked: Name) -> Pod:
    """The pod in the API server's answer.

    Raises CniError 11 when it is another of the same name: the runtime's was deleted meanwhile.
    """
    meta, spec = (_object(document.get(key)) for key in ("metadata", "spec"))
    uid, node = _text(meta.get("uid")), _text(spec.get("nodeName"))
    annotations = {
        key: value
        for key, value in _object(meta.get("annotations")).items()
        if isinstance(value, str)
    }
    pod = Pod(asked.namespace, asked.name, uid, annotations, node, document)
    if asked.uid and asked.uid != uid and not pod.is_static:
        raise CniError(
            Code.TRY_AGAIN_LATER, f'expected pod UID "{asked.uid}" but got "{uid}" from Kube API'
        )
    return pod


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
