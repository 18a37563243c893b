"""Whatever a pod's annotations, a network's configuration or the API server say.

The real plugin on a real kernel: an ADD that is refused says so in one error and leaves nothing,
one that is granted is taken back whole by its DEL.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from cni.core import log, skel
from tests.apiserver.server import ApiServer
from tests.netns.confs import bridge, static, whereabouts
from tests.netns.mischief import (
    DEFAULT_NETWORK,
    NADS,
    NETWORKS,
    POD,
    STATUS,
    UID,
    configs,
    default_networks,
    faults,
    selections,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod

EXAMPLES = settings(
    max_examples=150,
    deadline=None,
    # what a failure leaves would be blamed on the examples after it
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

KNOWN_CODES = {*range(1, 9), 11, *range(100, 104)}


class World:
    """A node with an API server; `attach` is one ADD, and what must hold after it."""

    def __init__(self, node: Node, api: ApiServer, bugs: list[str]) -> None:
        self.node = node
        self.api = api
        self.bugs = bugs
        good = bridge(name="good", bridge="brg", ipam=static("10.7.0.5/24", gateway="10.7.0.1"))
        self.nad("default", "good", json.dumps(good))
        self.nad(
            "default", "leased", json.dumps(bridge(bridge="brg", ipam=whereabouts("10.9.0.0/24")))
        )
        self.nad("kube-system", "cluster", json.dumps(bridge(name="cluster")))
        self.nad("default", "fuzzed", json.dumps(bridge(name="fuzzed", bridge="brf0")))
        self.pod({})
        empty = node.root / "empty"
        empty.mkdir()
        self.conf: Conf = {
            "cniVersion": "1.1.0",
            "name": "node",
            "type": "multus",
            "kubeconfig": str(api.kubeconfig(node.root / "kubeconfig")),
            "confDir": str(empty),
            "binDir": str(empty),
            "kubeletDir": str(empty),
            "apiServer": {"attempts": 1, "totalSeconds": 20.0},
            "delegates": [bridge(name="pods")],
        }
        node.bin_path = str(empty)  # a name that was made up is no plugin of this machine
        node.ip("link", "add", "dev0", "type", "veth", "peer", "name", "cable0")
        self.sandbox = node.pod("web")
        for state in ("up", "down"):  # with the first "up" it has its addresses for good
            self.sandbox.ip("link", "set", "lo", state)
        self.ok(self.call("ADD"))  # br0 is there from now on
        self.ok(self.call("DEL"))
        self.links = set(_links())
        self.before = self.seen()
        self.whole = node.snapshot(self.sandbox)

    def nad(self, namespace: str, name: str, config: str) -> None:
        self.api.put_object(f"{NADS.format(namespace)}/{name}", {"spec": {"config": config}})

    def pod(self, annotations: dict[str, str]) -> None:
        metadata = {"uid": UID, "annotations": annotations}
        self.api.put_object(POD, {"metadata": metadata, "spec": {"nodeName": "node1"}})

    def call(self, command: str) -> tuple[int, bytes]:
        """Exit status and standard output; a traceback is a failure of the test."""
        told = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID={UID}"
        environ = self.node.environ(command, self.sandbox, CNI_ARGS=told)
        stdout = io.BytesIO()
        stdin = io.BytesIO(json.dumps(self.conf).encode())
        status = skel.main("multus", environ, stdin, stdout, io.BytesIO())
        assert not self.bugs, self.bugs[0]
        return status, stdout.getvalue()

    def ok(self, reply: tuple[int, bytes]) -> None:
        assert reply[0] == 0, reply[1].decode()

    def attach(self) -> None:
        """ADD, and DEL if it was granted: then all is as it was before."""
        status, stdout = self.call("ADD")
        said = json.loads(stdout)  # one document, and nothing around it
        if status == 0:
            assert said["cniVersion"] == "1.1.0"
            told = (self.api.get(POD) or {})["metadata"]["annotations"].get(STATUS, "[]")
            assert isinstance(json.loads(told), list)
        else:
            assert status == 1
            assert said.keys() <= {"cniVersion", "code", "msg", "details"}
            assert said["code"] in KNOWN_CODES, said
            assert said["msg"], said
            self.compare()
        assert self.call("DEL") == (0, b"")  # as runtimes do after a failure too
        self.compare()

    def compare(self) -> None:
        for name in set(_links()) - self.links:
            # a bridge outlives its pods; anything else is refused here, and is a leftover
            self.node.run("ip", "link", "delete", name, "type", "bridge")
        assert self.seen() == self.before
        assert self.node.leases() == []
        assert _files(self.node) == []

    def seen(self) -> list[list[str]]:
        """Names, addresses and IPv4 routes, here and in the pod, without any process."""
        with ExitStack() as stack:
            here = _shown()
            _enter(stack, self.sandbox)
            return [here, _shown()]


def _links() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def _shown() -> list[str]:
    net = Path("/proc/thread-self/net")
    lines = (net / "if_inet6").read_text().splitlines()
    addresses = [line for line in lines if line.split()[3] == "00"]  # global
    return [*sorted(_links()), *sorted(addresses), (net / "fib_trie").read_text()]


def _enter(stack: ExitStack, pod: Pod) -> None:
    """Be in the pod's namespace until the stack ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    stack.callback(os.close, own)
    stack.callback(lambda: libc.setns(own, 0))
    assert libc.setns(pod.fd, 0) == 0


def _files(node: Node) -> list[str]:
    """Records, cached results, locks of containers."""
    found = [each for root in (node.state, node.run_dir) for each in root.rglob("*")]
    kept = ("leases", "gate")
    files = [each for each in found if each.is_file() and not each.name.startswith(kept)]
    # that a DEL was done stays for an hour
    files = [each for each in files if each.parent.name != "multus-deleted"]
    return [str(each) for each in files if each.parent.name == "multus" or each.suffix != ".lock"]


@pytest.fixture
def world(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    bugs: list[str] = []

    def remember(failure: BaseException) -> None:
        import traceback

        bugs.append("".join(traceback.format_exception(failure)))

    monkeypatch.setattr(log, "bug", remember)
    monkeypatch.setattr(log, "_threshold", 0)  # thousands of warnings that nobody reads
    with ApiServer(tmp_path / "api") as api:
        made = World(node, api, bugs)
        yield made
        assert node.snapshot(made.sandbox) == made.whole


@EXAMPLES
@given(st.none() | default_networks, selections)
@example(None, "good,good,good")
@example(None, ",".join(["missing"] * 2000))
@example(None, json.dumps([{"name": "good", "cni-args": {"a": "@deeper@"}}]))
@example(None, json.dumps([{"name": "good", "mac": "\ud800"}]))
@example(None, json.dumps([{"name": "\ud800"}]))
@example(None, json.dumps([{"name": "good", "interface": "\ud800"}]))
@example("[{}]", "")
def test_annotations(world: World, default: str | None, networks: str) -> None:
    world.bugs.clear()
    chosen = {} if default is None else {DEFAULT_NETWORK: written(default)}
    world.pod({**chosen, NETWORKS: written(networks)})
    world.attach()


@EXAMPLES
@given(
    configs, st.sampled_from(["fuzzed", '[{"name":"fuzzed","ips":["10.7.0.9/24"]}]', "fuzzed,good"])
)
def test_configurations(world: World, config: str, networks: str) -> None:
    world.bugs.clear()
    world.nad("default", "fuzzed", written(config))
    world.pod({NETWORKS: networks})
    world.attach()


@EXAMPLES
@given(st.lists(faults, min_size=1, max_size=3))
@example([{"method": "GET", "path": POD, "body": '{"metadata": {"uid": "\\ud800"}}'}])
@example([{"method": "PATCH", "status": 409}, {"method": "GET", "body": '{"metadata": []}'}])
def test_answers_of_the_server(world: World, faults: list[dict[str, Any]]) -> None:
    world.bugs.clear()
    world.api.heal()
    world.api.clear()
    world.pod({NETWORKS: "good, leased"})
    for fault in faults:
        world.api.fail(**{**fault, "body": written(fault["body"])} if "body" in fault else fault)
    world.attach()


def test_a_pod_cannot_flood_the_server(world: World) -> None:
    """Thousands of networks fit into an annotation; asking for each at once helps nobody."""
    world.pod({NETWORKS: ",".join(f"n{number}" for number in range(500))})
    world.api.clear()
    world.attach()
    assert world.api.connections <= 64
