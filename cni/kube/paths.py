"""Where an object is in the API server. Names come from pods: one must not lead elsewhere."""

from __future__ import annotations

from cni.core.errors import invalid
from cni.kube.line import line

_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def object_path(api: str, namespace: str, plural: str, name: str = "") -> str:
    """The path of an object, or without a name of its collection; `api` is "api/v1", say.

    Raises CniError 7 for a name that no object can have: it would lead to another.
    """
    for each in (namespace, name) if name else (namespace,):
        if not is_object_name(each):
            raise invalid(line(f'"{each}" cannot be the name of an object in an API server'))
    path = f"/{api}/namespaces/{namespace}/{plural}"
    return f"{path}/{name}" if name else path


def is_object_name(text: str) -> bool:
    """Lower-case DNS labels with dots between them, 253 characters at most (RFC 1123)."""
    return 0 < len(text) <= 253 and all(
        label and label[0] != "-" and label[-1] != "-" and _LABEL.issuperset(label)
        for label in text.split(".")
    )
