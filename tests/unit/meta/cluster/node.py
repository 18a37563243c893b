"""A node of a cluster: the node of the harness, with an API server and fake plugins on NADs.

What the vectors start from: a default network cbr0 (type `fake`), the pod default/p1 with UID u1,
network-attachment-definitions default/n1, n2, n3 and other/n1.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.unit.meta.harness import Node

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apiserver.server import ApiServer
    from tests.unit.meta.harness import Reply

Json = dict[str, Any]

NETWORKS = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
RESOURCE = "k8s.v1.cni.cncf.io/resourceName"
SOURCE = "kubernetes.io/config.source"

CBR0 = {"cniVersion": "1.0.0", "name": "cbr0", "type": "fake"}

#: ends a test soon whose server answers with errors; seconds are the default's, for slow machines
FEW_TRIES = {"attempts": 3}


class ClusterNode(Node):
    """Calls are for the pod default/p1 unless `pod` says another."""

    def __init__(self, root: Path, api: ApiServer) -> None:
        super().__init__(root)
        self.api = api
        self.kubeconfig = api.kubeconfig(root / "kubeconfig", form="json")
        self.plugin("fake")
        for namespace, name in (("default", "n1"), ("default", "n2"), ("default", "n3")):
            self.nad(name, namespace=namespace)
        self.nad("n1", namespace="other")

    def conf(self, *delegates: Json, **keys: Any) -> Json:
        given = {"kubeconfig": str(self.kubeconfig), "apiServer": FEW_TRIES, **keys}
        if not delegates and "clusterNetwork" not in given:
            delegates = (CBR0,)
        return {**super().conf(*delegates), **given}

    def nad(
        self,
        name: str,
        config: Json | str | None = None,
        *,
        namespace: str = "default",
        resource: str = "",
        capabilities: Json | None = None,
    ) -> None:
        """One of type `fake` unless `config` says all."""
        if config is None:
            config = {"cniVersion": "1.0.0", "type": "fake", "capabilities": capabilities or {}}
        self.api.nad(namespace, name, config, {RESOURCE: resource} if resource else None)

    def pod(
        self,
        networks: Any = None,
        *,
        name: str = "p1",
        namespace: str = "default",
        uid: str = "u1",
        **annotations: str,
    ) -> None:
        """A pod that asks for networks: text as it is, anything else as JSON."""
        given = dict(annotations)
        if networks is not None:
            given[NETWORKS] = networks if isinstance(networks, str) else json.dumps(networks)
        self.api.pod(namespace, name, given, uid)

    def call(self, command: str, conf: Json | None = None, pod: str = "", **env: str) -> Reply:
        """`pod` is namespace/name/uid."""
        env.setdefault("CNI_ARGS", pod_args(*(pod or "default/p1/u1").split("/")))
        return super().call(command, self.conf() if conf is None else conf, **env)

    def add(self, networks: Any = None, conf: Json | None = None) -> Reply:
        """The pod, and its ADD."""
        self.pod(networks)
        return self.call("ADD", conf)

    def ran(self) -> list[str]:
        """`COMMAND ifname network` of every call of a delegate so far; forgets them."""
        lines = [x.split(" ") for x in (self.lab / "calls").read_text().splitlines()]
        names = [str(self.stdin(index).get("name")) for index in range(len(lines))]
        (self.lab / "calls").write_text("")
        return [
            f"{command} {ifname} {name}"
            for (command, _, _, ifname), name in zip(lines, names, strict=True)
        ]

    def status_text(self, pod: str = "p1", namespace: str = "default") -> str | None:
        """The annotation as it stands in the API server."""
        stored = self.api.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")
        assert stored is not None
        text = stored["metadata"].get("annotations", {}).get(STATUS)
        return None if text is None else str(text)

    def status(self, pod: str = "p1", namespace: str = "default") -> list[Json]:
        found: list[Json] = json.loads(self.status_text(pod, namespace) or "[]")
        return found

    def told(self) -> list[str]:
        """`name interface` of each entry of the status."""
        return [f"{each['name']} {each.get('interface', '-')}" for each in self.status()]

    def asked(self) -> list[str]:
        """`METHOD path` of every request so far, without queries and without events."""
        seen = [f"{each.method} {each.path.partition('?')[0]}" for each in self.api.requests]
        return [each for each in seen if not each.endswith("/events")]

    def events(self, namespace: str = "default") -> list[str]:
        """`type reason message`, in the order of their making."""
        found = sorted(self.api.events(namespace), key=lambda each: str(each["metadata"]["name"]))
        return [f"{each['type']} {each['reason']} {each['message']}" for each in found]

    def nothing_happened(self) -> None:
        """No delegate was run, nothing is left, the pod's status is as it was."""
        assert self.calls() == []
        self.nothing_left()

    def nothing_left(self) -> None:
        assert self.files() == []
        written = [x for x in self.api.requests if x.method in ("PUT", "PATCH") and x.status == 200]
        assert written == []


def pod_args(namespace: str = "default", name: str = "p1", uid: str = "u1") -> str:
    """CNI_ARGS as the kubelet's runtimes send them."""
    args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}"
    args += ";K8S_POD_INFRA_CONTAINER_ID=cid1"
    return f"{args};K8S_POD_UID={uid}" if uid else args


def result(ifname: str, *addresses: str, **keys: Any) -> Json:
    """An answer with one interface in the pod."""
    return {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": ifname, "sandbox": "/run/netns/x"}],
        "ips": [{"address": each, "interface": 0} for each in addresses],
        **keys,
    }


def pod_path(name: str = "p1", namespace: str = "default") -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def nad_path(name: str, namespace: str = "default") -> str:
    return f"/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/{name}"
