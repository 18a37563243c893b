"""NetworkAttachmentDefinition: a network as an object of the API server (NPWG 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import request
from cni.core.errors import CniError, invalid
from meta.multus import confdir, network

if TYPE_CHECKING:
    from cni.core.types import Json
    from meta.multus.network import Network

API = "apis/k8s.cni.cncf.io/v1"
PLURAL = "network-attachment-definitions"
KIND = "NetworkAttachmentDefinition"

_RESOURCE = "k8s.v1.cni.cncf.io/resourceName"


class Key(NamedTuple):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


#: the object, or why it cannot be had, or None: there is none
Found = dict[str, Any] | CniError | None


class Nad(NamedTuple):
    """`config` is empty for one whose network is a file of the node; `resource` is a device's."""

    key: Key
    config: str
    resource: str = ""


def read(document: Json, key: Key) -> Nad:
    """Raises CniError 7 for an object of another shape."""
    spec = document.get("spec") or {}
    config = spec.get("config") or "" if isinstance(spec, dict) else None
    if not isinstance(config, str):
        raise invalid(f'network-attachment-definition {key}: "spec.config" must be a string')
    meta = document.get("metadata")
    annotations = meta.get("annotations") if isinstance(meta, dict) else None
    resource = annotations.get(_RESOURCE) if isinstance(annotations, dict) else None
    return Nad(key, config, resource if isinstance(resource, str) else "")


def missing(key: Key, reason: str = "") -> CniError:
    """The error of a network that does not exist, in the words that operators search for."""
    return invalid(
        "GetNetworkDelegates: failed getting the delegate: getKubernetesDelegate: "
        + absence(key, reason)
    )


def absence(key: Key, reason: str = "") -> str:
    """That there is no such network, in the words of the pod's event."""
    reason = reason or f'{PLURAL}.k8s.cni.cncf.io "{key.name}" not found'
    return (
        f"cannot find a network-attachment-definition ({key.name}) in namespace"
        f" ({key.namespace}): {reason}"
    )


def network_of(nad: Nad, conf_dir: str, version: str) -> Network:
    """Its network; raises CniError 6 or 7 for a configuration that cannot be used."""
    document = _parse(nad.config) if nad.config else confdir.by_name(conf_dir, nad.key.name)
    return network.parse(document, version, nad.key.name)


def _parse(config: str) -> Json:
    where = "GetCNIConfig: err in getCNIConfigFromSpec: failed to unmarshal Spec.Config"
    try:
        document: Any = request.parse_json(config)
    except (ValueError, RecursionError) as error:
        raise invalid(f"{where}: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"{where}: an object is expected, got {type(document).__name__}")
    return document
