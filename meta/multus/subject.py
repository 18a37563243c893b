"""Whose networks are asked for: a configuration, and with a cluster the pod of the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core import log
from cni.core.errors import CniError
from meta.multus import cluster as clusters
from meta.multus import pod as pods
from meta.multus.delegates import lenient_args

if TYPE_CHECKING:
    from cni.core.types import Request
    from meta.conf import Multus
    from meta.multus.cluster import Cluster
    from meta.multus.pod import Name, Pod

CONF_DIR = "/etc/cni/multus/net.d"


class Subject(NamedTuple):
    """`version` is for networks that do not say theirs; `pod` is None without an API server."""

    conf: Multus
    version: str
    name: Name | None = None  #: the pod's by CNI_ARGS
    cluster: Cluster | None = None
    pod: Pod | None = None

    @property
    def conf_dir(self) -> str:
        return self.conf.conf_dir or CONF_DIR

    @property
    def namespace(self) -> str:
        return self.name.namespace if self.name else ""

    @property
    def is_pod_missing(self) -> bool:
        """Whether there is an API server, and it knows no such pod."""
        return self.cluster is not None and self.name is not None and self.pod is None


def of(conf: Multus, req: Request) -> Subject:
    """Ask the API server for the pod, when there are both.

    Raises CniError 5, 7 or 11 when the server cannot be asked, or has another pod of that name.
    """
    found = without_pod(conf, req)
    if found.cluster is None or found.name is None:
        return found
    return found._replace(pod=found.cluster.pod(found.name))


def without_pod(conf: Multus, req: Request) -> Subject:
    """For a STATUS; raises CniError 5 or 7 for a kubeconfig that cannot be used."""
    return _named(conf, req)._replace(cluster=clusters.connect(conf, req))


def leniently(conf: Multus, req: Request) -> Subject:
    """For DEL and GC, which need no API server: what one try tells, and no error."""
    found = _named(conf, req)._replace(cluster=clusters.connect_leniently(conf, req))
    if found.cluster is None or found.name is None:
        return found
    try:
        return found._replace(pod=found.cluster.pod(found.name))
    except CniError as error:
        log.warning("the pod is not known", reason=error)
        return found


def _named(conf: Multus, req: Request) -> Subject:
    return Subject(conf, req.cni_version, pods.named(lenient_args(req.args)))
