"""Which networks a container shall have, before any has been looked up. Pure.

The first is the master: of inline `delegates`, or `clusterNetwork`, or the pod's own choice of a
default network; then `defaultNetworks`, what the pod's annotation selects, the auxiliary chain.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from cni.core import log
from cni.core.errors import invalid
from meta.multus import selection
from meta.multus.nad import Key

if TYPE_CHECKING:
    from cni.core.types import Json
    from meta.conf import Multus, Selection
    from meta.multus.pod import Pod

NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"

#: an annotation has room for 80,000, which would keep the node busy until the runtime gives up
_MOST_NETWORKS = 256


class Wanted(NamedTuple):
    """One network: a document, an object of the API server, a chain, or a file.

    `file` with `nad` is where to look when the API server has no such object; with `chain`, the
    name of the auxiliary chain whose directory that is.
    """

    what: str  #: for messages
    document: Json | None = None
    nad: Key | None = None
    file: str = ""
    chain: str = ""
    selection: Selection | None = None


def networks(conf: Multus, namespace: str, pod: Pod | None, *, has_api: bool) -> list[Wanted]:
    """All of them, in order. `namespace` is the pod's by CNI_ARGS; without `pod` no annotations.

    Raises CniError 7 for an annotation that cannot be used or asks for what it may not have.
    """
    found = _configured(conf, namespace, has_api=has_api)
    if pod is not None:
        if DEFAULT_NETWORK in pod.annotations:
            found[:1] = [_default_of(pod, conf)]
        if text := pod.annotations.get(NETWORKS):
            found += _selected_by(pod, text, conf)
    found += [
        Wanted(f'"attachments.{index}"', file=each.name, selection=_offline(each, index))
        for index, each in enumerate(conf.attachments)
    ]
    if conf.auxiliary_cni_chain_name:
        found.append(_auxiliary(conf))
    return found


def _configured(conf: Multus, namespace: str, *, has_api: bool) -> list[Wanted]:
    if not conf.cluster_network:
        if conf.default_networks:
            log.warning('"defaultNetworks" counts only beside "clusterNetwork"')
        return [
            Wanted(f'"delegates.{index}"', document=document)
            for index, document in enumerate(conf.delegates)
        ]
    values = [("clusterNetwork", conf.cluster_network)]
    if namespace not in conf.system_namespaces:
        values += [("defaultNetworks", value) for value in conf.default_networks]
    return [
        Wanted(
            f"failed to get {key} {value}",
            nad=Key(conf.multus_namespace, value) if has_api and "/" not in value else None,
            file=value,
        )
        for key, value in values
    ]


def _default_of(pod: Pod, conf: Multus) -> Wanted:
    text = pod.annotations[DEFAULT_NETWORK]
    elements = selection.parse(text, conf.multus_namespace)
    if len(elements) != 1:
        raise invalid(
            f"tryLoadK8sPodDefaultNetwork: more than one default network is specified: {text}"
            if elements
            else f"tryLoadK8sPodDefaultNetwork: no default network is specified: {text}"
        )
    allowed = {conf.multus_namespace, *_open_to(pod, conf)}
    return _of_the_api(elements[0], pod, conf, allowed)


def _selected_by(pod: Pod, text: str, conf: Multus) -> list[Wanted]:
    allowed = _open_to(pod, conf)
    elements = selection.parse(text, pod.namespace)
    if len(elements) > _MOST_NETWORKS:
        raise invalid(f"{len(elements)} networks are selected, {_MOST_NETWORKS} are the most")
    return [_of_the_api(each, pod, conf, allowed) for each in elements]


def _of_the_api(element: Selection, pod: Pod, conf: Multus, allowed: set[str]) -> Wanted:
    if conf.namespace_isolation and element.namespace not in allowed:
        raise invalid(
            "GetNetworkDelegates: namespace isolation enabled, annotation violates permission,"
            f" pod is in namespace {pod.namespace} but refers to target namespace"
            f" {element.namespace}"
        )
    key = Key(element.namespace, element.name)
    return Wanted(f"network {key}", nad=key, selection=element)


def _open_to(pod: Pod, conf: Multus) -> set[str]:
    """The namespaces whose networks the pod may have under namespace isolation."""
    listed = {each.strip() for each in conf.global_namespaces.split(",")} - {""}
    return {pod.namespace, *(listed or {"default"})}


def _offline(element: Selection, index: int) -> Selection:
    where = f'"attachments.{index}"'
    if not element.name:
        raise invalid(f"{where}: resource name may not be empty")
    if element.namespace:
        raise invalid(
            f'{where}: namespace "{element.namespace}": the networks of "attachments" are files of'
            ' "confDir"'
        )
    return element


def _auxiliary(conf: Multus) -> Wanted:
    """Plugins of a directory beside the cluster network's file, after one that does nothing."""
    name, path = conf.auxiliary_cni_chain_name, conf.cluster_network
    if "/" not in path:
        raise invalid(
            f"auxiliary chain used but ClusterNetwork must be a path, and it is not a path: {path}"
        )
    directory = os.path.join(os.path.dirname(path), name)
    return Wanted(f"auxiliary chain {name}", file=name, chain=directory)
