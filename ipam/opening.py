"""Which store a configuration means, and what it takes to open it."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code, invalid
from cni.core.undo import Undo
from ipam.stores.file import FileStore

if TYPE_CHECKING:
    from cni.core.types import Request
    from ipam.settings import Settings
    from ipam.stores import Store

_HURRY = 4.0  #: seconds


def open_store(
    settings: Settings, req: Request, timeout: float = 60, *, is_hurried: bool = False
) -> Store:
    """The store; `timeout` is how many seconds to wait for a lock on this node.

    `is_hurried`: for STATUS, and for DEL and GC, which go on without a server that does not answer.

    Raises CniError 5 or 7 for a kubeconfig or a certificate that cannot be used.
    """
    if settings.datastore == "kubernetes":
        return _kubernetes(settings, req, timeout, is_hurried=is_hurried)
    if settings.datastore == "etcd":
        return _etcd(settings, req, timeout)
    if not settings.is_file_asked and not is_hurried:
        _refuse_forgotten_store(req)
    return FileStore(req.state_dir, timeout, is_synced_later=Undo.is_open())


def _refuse_forgotten_store(req: Request) -> None:
    """The flat file that names the cluster's store may be away for a moment, while its installer
    runs: leasing on this node then would give other nodes' addresses. Raises CniError 11.
    """
    if not os.path.isdir(os.path.join(req.state_dir, "plait", "intents")):
        return
    from ipam.stores.journal import has_network

    if has_network(req.state_dir, req.network):
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f'network "{req.network}": no configuration and no flat file names a kubeconfig, and'
            " this node has leases of the network in a store of other nodes",
            'is whereabouts.conf away? "datastore": "file" leases on this node all the same',
        )


def _kubernetes(settings: Settings, req: Request, timeout: float, *, is_hurried: bool) -> Store:
    from cni.kube.access import from_kubeconfig  # 25 ms, for those only whose store it is
    from cni.kube.client import Client
    from ipam.node import node_name
    from ipam.stores.journal import Journal
    from ipam.stores.kubernetes import KubernetesStore

    client = Client(partial(from_kubeconfig, settings.kubeconfig))
    if is_hurried:
        client.limit(total=_HURRY, attempts=100)
    # where the original has its objects when the kubeconfig does not say
    namespace = client.namespace or "kube-system"
    slices = ""
    if settings.node_slice_size:
        slices = settings.network_name or req.network
    journal = Journal(req.state_dir, f"kubernetes/{namespace}", timeout)
    node = node_name(req.environ, settings.configuration_path)
    return KubernetesStore(client, namespace, journal, node, slices)


def _etcd(settings: Settings, req: Request, timeout: float) -> Store:
    from ipam.node import node_name
    from ipam.stores.etcd import EtcdStore
    from ipam.stores.etcd_gateway import EtcdSettings

    wanted = settings.etcd
    if not wanted.hosts:
        raise invalid('"ipam.datastore" is "etcd", and there is no "etcd_host"')
    node = node_name(req.environ, settings.configuration_path)
    found = EtcdSettings(
        hosts=tuple(filter(None, (each.strip() for each in wanted.hosts.split(",")))),
        user=wanted.username,
        password=wanted.password,
        ca_file=wanted.ca_file,
        cert_file=wanted.cert_file,
        key_file=wanted.key_file,
        node=node,
        token_dir=req.run_dir,
    )
    return EtcdStore(found, req.state_dir, timeout=timeout)
