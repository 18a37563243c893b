"""`plait trace`: where the time of a call goes, and nothing else changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.conformance.networks import whereabouts
from tests.conformance.node import OURS, PATIENCE, Reply

if TYPE_CHECKING:
    from tests.conformance.kernel import Json
    from tests.conformance.node import Node

CONF: Json = {
    "cniVersion": "1.0.0",
    "name": "traced",
    "type": "bridge",
    "bridge": "br0",
    "ipam": whereabouts("10.9.0.0/24"),
}


def trace(node: Node, *arguments: str, verb: str = "ADD", conf: Json = CONF) -> Reply:
    """One call of ours below `plait trace`."""
    environ = node.environ(verb, node.pod())
    done = subprocess.run(
        [OURS / "plait", "trace", *arguments, "--", str(OURS / conf["type"])],
        env=environ,
        input=json.dumps(conf).encode(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return Reply(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_one_call(node: Node) -> None:
    """The result is on standard output as ever, the breakdown on standard error."""
    reply = trace(node, "--json")
    assert reply.result()["ips"][0]["address"] == "10.9.0.2/24"
    record = json.loads(reply.stderr)
    assert (record["plugin"], record["command"], record["status"]) == ("bridge", "ADD", 0)
    spent = record["ms"]
    wall = spent.pop("wall clock of the process")
    assert {"validation", "kernel", "addresses", "the plugin's own code"} <= spent.keys()
    assert all(each >= 0 for each in spent.values())
    if not record["warm"]:  # `start` is time of the processor, which two threads may use
        assert sum(spent.values()) - spent["start"] <= wall
    assert record["count"]["kernel"] > 3


def test_the_table(node: Node) -> None:
    reply = trace(node)
    reply.result()
    head, *lines = reply.stderr.splitlines()
    assert head.startswith("bridge ADD pod0 eth0") and " ms" in head
    assert any(line.split()[0] == "kernel" for line in lines)


def test_a_call_that_fails(node: Node) -> None:
    reply = trace(node, conf={**CONF, "mtu": "many"})
    assert reply.status == 1 and json.loads(reply.stdout)["code"] == 7
    assert ", failed" in reply.stderr


def test_a_command_that_is_no_plugin(node: Node) -> None:
    done = subprocess.run(
        [OURS / "plait", "trace", "--", "/bin/true"],
        env=node.environ("ADD"), capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and b"left no record" in done.stderr


@pytest.fixture
def watching(node: Node) -> subprocess.Popen[bytes]:
    """`plait trace` that shows two calls, when it has begun to watch."""
    node.run_dir.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [OURS / "plait", "trace", "--json", "--count", "2"],
        env={"PLAIT_RUN_DIR": str(node.run_dir), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + PATIENCE
    while not is_watched(node):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return process


def is_watched(node: Node) -> bool:
    directory = node.run_dir / "trace"
    if not directory.is_dir():
        return False
    return subprocess.run(["flock", "-n", directory, "true"], check=False).returncode == 1


def test_calls_of_the_node(node: Node, watching: subprocess.Popen[bytes]) -> None:
    pod = node.pod()
    node.call("ADD", CONF, pod).result()
    node.call("DEL", CONF, pod).silent()
    out, _ = watching.communicate(timeout=PATIENCE)
    assert [json.loads(each)["command"] for each in out.splitlines()] == ["ADD", "DEL"]
    assert not (node.run_dir / "trace").exists()


def test_only_one_watches(node: Node, watching: subprocess.Popen[bytes]) -> None:
    done = subprocess.run(
        [OURS / "plait", "trace"],
        env={"PLAIT_RUN_DIR": str(node.run_dir)},
        capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and b"another plait trace is running" in done.stderr
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 0


def test_killed_it_leaves_nothing_that_grows(node: Node, watching: subprocess.Popen[bytes]) -> None:
    watching.kill()
    watching.communicate()
    node.call("ADD", CONF, node.pod()).result()
    assert list((node.run_dir / "trace").iterdir()) == []
