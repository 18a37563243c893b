"""What containerd and the kubelet do on a node, as far as multus sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.netns.confs import bridge, whereabouts
from tests.netns.node import Process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.cluster import Cluster
    from tests.netns.node import Node, Pod, Reply

Conf = dict[str, Any]
NETWORKS = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"


class Sandbox(NamedTuple):
    """A pod of the cluster, and its network namespace here."""

    namespace: str
    name: str
    uid: str
    pod: Pod

    @property
    def args(self) -> str:
        """CNI_ARGS as containerd sends them."""
        return ";".join([
            f"K8S_POD_INFRA_CONTAINER_ID={self.pod.name}", f"K8S_POD_UID={self.uid}",
            "IgnoreUnknown=1", f"K8S_POD_NAMESPACE={self.namespace}", f"K8S_POD_NAME={self.name}",
        ])  # fmt: skip


def multus(node: Node, plugins: Path, kubeconfig: Path) -> Conf:
    """With a bridge as the cluster's network."""
    pods = bridge(name="pods", isDefaultGateway=True, ipam=whereabouts("10.6.0.0/16"))
    return {
        "cniVersion": "1.0.0",
        "name": "multus-cni-network",
        "type": "multus",
        "binDir": str(plugins),
        "confDir": str(node.root / "net.d"),
        "kubeconfig": str(kubeconfig),
        "delegates": [pods],
    }


class Runtime:
    """The executables of a directory on a node, and a configuration of multus."""

    def __init__(self, node: Node, plugins: Path, conf: Conf) -> None:
        self.node = node
        self.conf = conf
        self._plugins = plugins

    def sandbox(
        self, cluster: Cluster, namespace: str, networks: object = None, name: str = "web"
    ) -> Sandbox:
        """Of a new pod with the annotation `networks`, a text or what is told in JSON."""
        text = networks if isinstance(networks, str) else json.dumps(networks)
        annotations = {} if networks is None else {NETWORKS: text}
        return Sandbox(namespace, name, cluster.pod(namespace, name, annotations), self.node.pod())

    def start(
        self, command: str, sandbox: Sandbox, *, netns: str | None = None, result: Any = None
    ) -> Process:
        """A call; `netns` in place of the sandbox's, `result` of its ADD."""
        environ = self.node.environ(command, sandbox.pod, CNI_ARGS=sandbox.args)
        environ["CNI_PATH"] = str(self._plugins)
        if netns is not None:
            environ["CNI_NETNS"] = netns
        conf = self.conf if result is None else self.conf | {"prevResult": result}
        return Process([str(self._plugins / "multus")], environ, json.dumps(conf).encode())

    def call(
        self, command: str, sandbox: Sandbox, *, netns: str | None = None, result: Any = None
    ) -> Reply:
        return self.start(command, sandbox, netns=netns, result=result).finish()
