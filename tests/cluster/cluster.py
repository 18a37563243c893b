"""A cluster without nodes: Debian's etcd and a real kube-apiserver in the namespaces of the tests.

What a node would do, the tests do. There is no scheduler and no controller: pods stay pending,
nobody makes service accounts, and a namespace is never gone.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import ssl
import subprocess
import time
from contextlib import ExitStack
from http.client import HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.apiserver import certificates, kubeconfig

if TYPE_CHECKING:
    from tests.netns.node import Node

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plait" / "cluster"
MERGE_PATCH = "application/merge-patch+json"
GROUP = "k8s.cni.cncf.io"
#: of the API server: documentation's own (RFC 5737), on `lo` of the tests' namespace
ADDRESS = "192.0.2.1"
PORT = 6443
URL = f"https://{ADDRESS}:{PORT}"
_ADMIN = "administrator"  #: the token
PATIENCE = 240  #: seconds; on a busy machine the server needs ten times its usual four
MANIFESTS = Path(__file__).parents[2] / "packaging/kubernetes"


class Answer(NamedTuple):
    """HTTP status, and what came with it."""

    status: int
    value: Any


class Cluster:
    """The two servers, from `with` to its end; what they know is in `directory`, and ends there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificates = certificates.make(directory, f"IP:{ADDRESS}")
        self.admin = self.kubeconfig(directory / "admin.kubeconfig", _ADMIN)
        self._nodes = itertools.count(2)
        self._namespaces = itertools.count(1)
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        # the one who may do everything: token, name, UID, group
        (self.directory / "tokens").write_text(f"{_ADMIN},admin,admin,system:masters\n")
        _ip("address", "add", f"{ADDRESS}/32", "dev", "lo")
        with ExitStack() as stack:
            stack.callback(_ip, "address", "delete", f"{ADDRESS}/32", "dev", "lo")
            stack.callback(self._kill)
            self._start("etcd", *self._etcd())
            self._start("kube-apiserver", *self._kube_apiserver())
            self._wait()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def connect(self, node: Node) -> None:
        """Let a node of the tests, in whose namespace this process is, reach the API server."""
        number = next(self._nodes)
        address, far = f"192.0.2.{number}", f"node{number}"
        pid = str(self._servers["kube-apiserver"].pid)
        node.run("ip", "link", "add", "cluster", "type", "veth", "peer", "name", far, "netns", pid)
        node.run("ip", "address", "add", address, "peer", ADDRESS, "dev", "cluster")
        node.run("ip", "link", "set", "cluster", "up")
        there = ("nsenter", f"--net=/proc/{pid}/ns/net", "ip")
        node.run(*there, "link", "set", far, "up")
        node.run(*there, "route", "add", f"{address}/32", "dev", far)

    # what a user does

    def kubectl(self, *arguments: str, stdin: str = "", user: Path | None = None) -> str:
        """What it printed; `user` is a kubeconfig, the administrator's if not given."""
        done = subprocess.run(
            [CACHE / "kubectl", "--kubeconfig", user or self.admin, *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory)},  # for its cache
            input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def apply(self, what: Path | str | dict[str, Any]) -> None:
        """Make objects as a file, a text of YAML or a value tells; a CRD is waited for."""
        if isinstance(what, Path):
            what = what.read_text()
        text = what if isinstance(what, str) else json.dumps(what)
        self.kubectl("apply", "--filename", "-", stdin=text)
        if "kind: CustomResourceDefinition" in text:
            self.kubectl("wait", "--for=condition=Established", f"--timeout={PATIENCE}s",
                         "crd", "--all")  # fmt: skip

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        text = self.kubectl("get", kind, name, "--namespace", namespace, "--output", "json")
        return dict(json.loads(text))

    def objects(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        text = self.kubectl("get", kind, "--namespace", namespace, "--output", "json")
        return list(json.loads(text)["items"])

    def namespace(self, name: str = "test") -> str:
        """A new one, for one test: its name begins with `name`."""
        unique = f"{name}-{next(self._namespaces)}"
        self.kubectl("create", "namespace", unique)
        return unique

    def pod(self, namespace: str, name: str, annotations: dict[str, str] | None = None) -> str:
        """Make a pod; its UID."""
        made = self.kubectl("create", "--filename", "-", "--output", "json", stdin=json.dumps({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}},
            "spec": {"containers": [{"name": "pause", "image": "localhost/pause"}]},
        }))  # fmt: skip
        return str(json.loads(made)["metadata"]["uid"])

    def delete_pod(self, namespace: str, name: str) -> None:
        """As a kubelet does at last: the object is gone afterwards."""
        self.kubectl("delete", "pod", name, "--namespace", namespace, "--grace-period=0", "--force")

    def nad(
        self,
        namespace: str,
        name: str,
        config: dict[str, Any] | str | None,
        annotations: dict[str, str] | None = None,
    ) -> None:
        """Make a network-attachment-definition, of a file of the node if there is no `config`."""
        text = config if isinstance(config, str) else json.dumps(config)
        self.apply({
            "apiVersion": f"{GROUP}/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}},
            "spec": {} if config is None else {"config": text},
        })  # fmt: skip

    # who one is

    def service_account_token(self, namespace: str, name: str) -> str:
        """A token of a service account that exists, good for an hour."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = self.request("POST", path, request)
        assert answer.status == 201, answer
        return str(answer.value["status"]["token"])

    def kubeconfig(self, path: Path, token: str) -> Path:
        """Write a kubeconfig for a token."""
        return kubeconfig.write(
            path, self.certificates, form="yaml", auth="token", ca="data",
            token=token, server=URL, namespace="",
        )  # fmt: skip

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        kind: str = "application/json",
    ) -> Answer:
        """One request as it is; by the administrator when there is no token."""
        context = ssl.create_default_context(cafile=str(self.certificates.authority))
        headers = {"Content-Type": kind, "Authorization": f"Bearer {token or _ADMIN}"}
        connection = HTTPSConnection(ADDRESS, PORT, timeout=PATIENCE, context=context)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, headers)
            response = connection.getresponse()
            said = response.read()
        finally:
            connection.close()
        is_json = "json" in response.headers.get("Content-Type", "")
        return Answer(response.status, json.loads(said) if is_json else said.decode())

    # the servers

    def log(self, server: str) -> Path:
        return self.directory / f"{server}.log"

    def pid(self, server: str = "kube-apiserver") -> int:
        return self._servers[server].pid

    def _start(self, name: str, *options: str) -> None:
        with self.log(name).open("wb") as output:
            self._servers[name] = subprocess.Popen(
                [CACHE / name, *options],
                cwd=self.directory, env={"PATH": os.environ["PATH"], "HOME": str(self.directory)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def _kill(self) -> None:
        """What they have is thrown away: nothing has to be brought to an end."""
        for server in reversed(self._servers.values()):
            server.kill()
            server.wait()
        shutil.rmtree(self.directory / "etcd", ignore_errors=True)

    def _wait(self) -> None:
        """For all that the server does at its start, such as its own roles."""
        deadline = time.monotonic() + PATIENCE
        while not self._is_ready():
            for name, server in self._servers.items():
                assert server.poll() is None, f"{name} has ended:\n{self._tail(name)}"
            late = time.monotonic() > deadline
            assert not late, "".join(map(self._tail, self._servers))
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz").status == 200
        except OSError:  # nobody listens yet
            return False

    def _tail(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").splitlines()[-40:]
        return "\n".join([f"{name}:", *lines, ""])

    def _etcd(self) -> list[str]:
        client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
        return [
            f"--data-dir={self.directory}/etcd",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]  # fmt: skip

    def _kube_apiserver(self) -> list[str]:
        made = self.certificates
        return [
            "--etcd-servers=http://127.0.0.1:2379",
            f"--bind-address={ADDRESS}", f"--secure-port={PORT}",
            f"--advertise-address={ADDRESS}", "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--tls-cert-file={made.certificate}", f"--tls-private-key-file={made.key}",
            f"--client-ca-file={made.authority}", f"--token-auth-file={self.directory}/tokens",
            "--authorization-mode=Node,RBAC",
            # who admits pods by it needs the controller that makes service accounts
            "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={made.key}",
            f"--service-account-key-file={made.certificate}",
        ]  # fmt: skip


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
