"""Paths of the API, and the resource that each of them names."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

#: what a guess from the plural would not find, and what is checked on the way in
KINDS = {
    "configmaps": "ConfigMap",
    "customresourcedefinitions": "CustomResourceDefinition",
    "daemonsets": "DaemonSet",
    "events": "Event",
    "ipamclaims": "IPAMClaim",
    "ippools": "IPPool",
    "leases": "Lease",
    "namespaces": "Namespace",
    "network-attachment-definitions": "NetworkAttachmentDefinition",
    "nodes": "Node",
    "nodeslicepools": "NodeSlicePool",
    "overlappingrangeipreservations": "OverlappingRangeIPReservation",
    "pods": "Pod",
    "secrets": "Secret",
    "serviceaccounts": "ServiceAccount",
}
_SUBRESOURCES = ("status", "finalize")


class Resource(NamedTuple):
    """One object, or a collection when `name` is empty; `namespace` is empty for all of them."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def qualified(self) -> str:
        """As messages name it: "pods", "network-attachment-definitions.k8s.cni.cncf.io"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def kind(self) -> str:
        return KINDS.get(self.plural) or _guess(self.plural)

    @property
    def qualified_kind(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def built_in(self) -> bool:
        """The server's own type, and not one that a CustomResourceDefinition has added."""
        return "." not in self.group or self.group.endswith(".k8s.io")

    @property
    def versioned(self) -> bool:
        """A PUT has to say which version it replaces."""
        return not self.built_in or self.plural == "leases"

    @property
    def storage_key(self) -> str:
        """As etcd would have it; some messages show it."""
        parts = ["", "registry"]
        if not self.built_in:
            parts.append(self.group)
        return "/".join([*parts, self.plural, *filter(None, (self.namespace, self.name))])


def parse(path: str) -> Resource | None:
    """The resource of a path without its query; None when the path names none."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if not all(parts):
        return None
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    return Resource(group, version, rest[0], namespace, *rest[1:])


def _guess(plural: str) -> str:
    for ending, singular in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("s", "")):
        if plural.endswith(ending):
            plural = plural.removesuffix(ending) + singular
            break
    return "".join(word.capitalize() for word in plural.split("-"))
