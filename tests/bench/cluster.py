"""ADD and DEL of multus for a pod of a cluster, and what the API server has to do with it.

The server is that of the tests, in a process of its own; what the original takes was measured on
another machine, with a real one.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

import yaml

from cni.kube import access
from tests.bench import clock
from tests.bench.clock import Sample
from tests.conformance.node import GO, OURS, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node

VERBS = ("ADD", "DEL")
_PODS = "/api/v1/namespaces/default/pods"
_EVENTS = "/api/v1/namespaces/default/events"
_NADS = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions"
_NETWORKS = "k8s.v1.cni.cncf.io/networks"
_POD = {"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "node1", "containers": []}}
_NAD = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}
_MERGE = "application/merge-patch+json"


class Calls(NamedTuple):
    """Of the API server, for one ADD and one DEL."""

    add: int
    events: int
    delete: int


class Original(NamedTuple):
    """Medians in milliseconds of the thin multus-cni (5ff83ef9c, Go 1.27.3) beside Kubernetes 1.36.

    Its calls are those of its audit log, without the ten of each of its whereabouts.
    """

    add: float
    delete: float
    calls: Calls


class Row(NamedTuple):
    """A default network of bridge and host-local, and what the pod's annotation adds to it."""

    name: str
    ipam: str
    extra: int
    original: Original | None


def _original(count: int, add: float, delete: float) -> Original:
    # GET of the pod three times, of each network once, PUT of the status
    return Original(add, delete, Calls(4 + count, 1 + count, 1))


ROWS = (
    Row("in a cluster, default network", "host-local", 0, _original(0, 28.2, 39.0)),
    Row("in a cluster, + 1 host-local", "host-local", 1, _original(1, 38.5, 56.8)),
    Row("in a cluster, + 2 host-local", "host-local", 2, _original(2, 48.3, 78.1)),
    Row("in a cluster, + 3 host-local", "host-local", 3, _original(3, 56.5, 103.4)),
    Row("in a cluster, + 1 whereabouts", "whereabouts", 1, _original(1, 79.6, 90.7)),
    Row("in a cluster, + 2 whereabouts", "whereabouts", 2, _original(2, 117.5, 148.0)),
    Row("in a cluster, + 3 whereabouts", "whereabouts", 3, None),
)
#: how a row is measured: as it is, without its events, and with all networks in the configuration
WAYS = ("cluster", "quiet", "alone")


class Measured(NamedTuple):
    """Samples by row, way, and verb; the calls of each row; samples of the parts of an ADD."""

    samples: dict[str, dict[str, dict[str, list[Sample]]]]
    calls: dict[str, Calls]
    parts: dict[str, list[Sample]]


def measure(node: Node, rounds: int, only: str = "") -> Measured | None:
    """Two rounds before the first are not counted; None when no row's name holds `only`."""
    rows = [row for row in ROWS if only in row.name]
    if not rows:
        return None
    with _server(node) as kubeconfig:
        sides = [Side(node, kubeconfig, row, way) for row in rows for way in WAYS]
        calls = {each.row.name: each.counted() for each in sides if each.way == "cluster"}
        for number in range(-2, rounds):
            for side in sides:
                side.go_round(record=number >= 0)
        parts = _parts(sides[0], kubeconfig, rounds)
    samples: dict[str, dict[str, dict[str, list[Sample]]]] = {}
    for side in sides:
        samples.setdefault(side.row.name, {})[side.way] = side.samples
    return Measured(samples, calls, parts)


@contextmanager
def _server(node: Node) -> Iterator[Path]:
    """The API server in a process of its own; yields a kubeconfig.

    It is of JSON, as `plait install` writes it; as YAML it has ".yaml" behind its name.
    """
    directory = node.root / "apiserver"
    argv = [sys.executable, "-m", "tests.apiserver", "--directory", str(directory)]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            kubeconfig = directory / process.stdout.readline().strip()
            as_yaml = kubeconfig.rename(_as_yaml(kubeconfig))
            kubeconfig.write_text(json.dumps(yaml.safe_load(as_yaml.read_text())))
            yield kubeconfig
        finally:
            process.terminate()


def _as_yaml(kubeconfig: Path) -> Path:
    return kubeconfig.with_name(f"{kubeconfig.name}.yaml")


class Link:
    """A connection of bytes that were made before: what is left is the server's time."""

    def __init__(self, kubeconfig: Path) -> None:
        found = access.from_kubeconfig(str(kubeconfig))
        server = urlsplit(found.server)
        self._head = f"Host: {server.netloc}\r\nAuthorization: Bearer {found.token}\r\n"
        context = ssl.create_default_context(cadata=found.ca)
        plain = socket.create_connection((str(server.hostname), server.port or 443))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain, server_hostname=server.hostname)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, method: str, path: str, body: Any = None, media: str = "application/json") -> Any:
        return json.loads(self.exchange(self.request(method, path, body, media)))

    def request(self, method: str, path: str, body: Any = None, media: str = "") -> bytes:
        text = b"" if body is None else json.dumps(body).encode()
        kind = f"Content-Type: {media}\r\n" if text else ""
        head = f"{method} {path} HTTP/1.0\r\nConnection: keep-alive\r\n{self._head}{kind}"
        return f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text

    def exchange(self, request: bytes) -> bytes:
        """The body of the answer, of which the server tells the length to HTTP/1.0."""
        self._socket.sendall(request)
        data = b""
        while True:
            head, found, body = data.partition(b"\r\n\r\n")
            if found:
                lines = head.decode().split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:])
                if len(body) >= int(fields["content-length"]):
                    if int(lines[0].split()[1]) >= 300:
                        raise RuntimeError(body.decode())
                    return body
            received = self._socket.recv(1 << 16)
            if not received:
                raise RuntimeError(f"the API server has hung up: {data!r}")
            data += received


class Side:
    """A row in one of the ways: its pod, its networks, its samples."""

    def __init__(self, node: Node, kubeconfig: Path, row: Row, way: str) -> None:
        self._node = node
        self._kubeconfig = kubeconfig
        self.row = row
        self.way = way
        self._pod = node.pod("bench-")
        self.samples: dict[str, list[Sample]] = {verb: [] for verb in VERBS}
        first = 4 * (ROWS.index(row) * len(WAYS) + WAYS.index(way))
        networks = [
            _bridge(first + index, row.ipam if index else "host-local", node.root / "host-local")
            for index in range(row.extra + 1)
        ]
        self.conf: Json = {"cniVersion": "1.1.0", "name": "multus", "type": "multus"}
        if way == "alone":
            self.conf["delegates"] = networks
            return
        self.conf |= {"kubeconfig": str(kubeconfig), "delegates": networks[:1]}
        self.conf |= {"events": False} if way == "quiet" else {}
        with Link(kubeconfig) as link:
            for each in networks[1:]:
                spec = {"config": json.dumps(each)}
                link.ask("POST", _NADS, _NAD | {"metadata": {"name": each["name"]}, "spec": spec})
            chosen = ", ".join(each["name"] for each in networks[1:])
            metadata = {"name": self._name, "annotations": {_NETWORKS: chosen} if chosen else {}}
            made = link.ask("POST", _PODS, _POD | {"metadata": metadata})
        self._uid = made["metadata"]["uid"]

    @property
    def _name(self) -> str:
        return self._pod.container_id

    def run(self, verb: str) -> Sample:
        environ = self._node.environ(verb, self._pod, path=(OURS, GO))
        if self.way != "alone":
            environ["CNI_ARGS"] = (
                f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={self._name};"
                f"K8S_POD_INFRA_CONTAINER_ID={self._name};K8S_POD_UID={self._uid}"
            )
        return clock.run([OURS / "multus"], environ, json.dumps(self.conf).encode())

    def go_round(self, *, record: bool) -> None:
        for verb in VERBS:
            sample = self.run(verb)
            if record:
                self.samples[verb].append(sample)

    def counted(self) -> Calls:
        """One round, of which the server tells what it was asked."""
        found = []
        with Link(self._kubeconfig) as link:
            for verb in VERBS:
                link.ask("DELETE", "/debug/requests")
                self.run(verb)
                seen = link.ask("GET", "/debug/requests")["requests"]
                found.append(Counter(each["path"] == _EVENTS for each in seen))
        added, deleted = found
        return Calls(added[False], added[True], deleted[False] + deleted[True])

    def requests(self, link: Link) -> dict[str, bytes]:
        """One of each kind that an ADD makes, as they go over the wire."""
        path = f"{_PODS}/{self._name}"
        status = {"k8s.v1.cni.cncf.io/network-status": "[]"}
        change = {"metadata": {"uid": self._uid, "annotations": status}}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{self._name}."},
            "involvedObject": {"kind": "Pod", "name": self._name, "namespace": "default"},
        }
        return {
            "GET of a pod": link.request("GET", path),
            "PATCH of its status": link.request("PATCH", f"{path}/status", change, _MERGE),
            "POST of an event": link.request("POST", _EVENTS, event, "application/json"),
        }


def _parts(side: Side, kubeconfig: Path, rounds: int) -> dict[str, list[Sample]]:
    """What a process costs before it asks, and what the server and a connection to it cost."""
    conf = {**side.conf, "delegates": [{"name": "lo", "type": "loopback"}]}
    alone = {key: value for key, value in conf.items() if key != "kubeconfig"}
    as_yaml = str(_as_yaml(kubeconfig))
    status = {"CNI_COMMAND": "STATUS", "CNI_PATH": str(OURS)}

    def state(conf: Json) -> Sample:
        return clock.run([OURS / "multus"], status, json.dumps(conf).encode())

    parts: dict[str, list[Sample]] = {}

    def note(name: str, sample: Sample) -> None:
        parts.setdefault(name, []).append(sample)

    with Link(kubeconfig) as link:
        requests = side.requests(link)
        for number in range(-2, rounds):
            if not number:
                parts.clear()
            note("VERSION", clock.run([OURS / "multus"], {"CNI_COMMAND": "VERSION"}))
            note("STATUS, no kubeconfig", state(alone))
            # it imports the client and makes one, and asks for nothing
            note("STATUS, with a kubeconfig", state(conf))
            note("STATUS, with one of YAML", state({**conf, "kubeconfig": as_yaml}))
            started = time.perf_counter()
            Link(kubeconfig).__exit__()
            note("a connection, with TLS", Sample((time.perf_counter() - started) * 1000))
            for name, request in requests.items():
                started = time.perf_counter()
                link.exchange(request)
                note(name, Sample((time.perf_counter() - started) * 1000))
    return parts


def _bridge(number: int, ipam: str, directory: Path) -> Json:
    subnet = f"10.{number}.0.0/16"
    addresses: Json = {"type": "whereabouts", "range": subnet, "gateway": f"10.{number}.0.1"}
    if ipam == "host-local":
        ranges = [[{"subnet": subnet}]]
        addresses = {"type": "host-local", "ranges": ranges, "dataDir": str(directory)}
    else:
        addresses["exclude"] = [f"10.{number}.0.1/32"]
    names = {"name": f"net{number}", "bridge": f"br{number}"}
    return {"cniVersion": "1.0.0", "type": "bridge", **names, "isGateway": True, "ipam": addresses}
