"""The warm agent: calls that it does not get, and that run by themselves."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.conformance.agents import CONF, ONLY, PROBE, PROBED, WITH_AGENTS, Held, started, until
from tests.conformance.node import OURS, PATIENCE, agent, execute

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.node import Node

pytestmark = WITH_AGENTS


def test_without_one(node: Node) -> None:
    """No socket; one that nobody listens at."""
    pod = node.pod()
    assert node.call("STATUS", PROBE, extra=ONLY).error(11)["msg"].startswith("no agent")
    with agent(node) as there:
        there.process.kill()
        there.process.wait()
        assert (node.run_dir / "agent/socket").is_socket()
        node.call("ADD", CONF, pod).result()
        node.call("DEL", CONF, pod).silent()


def test_one_that_is_stopped(node: Node) -> None:
    """The call runs by itself; what the agent finds later does nothing."""
    pod = node.pod()
    with agent(node) as there:
        there.process.send_signal(signal.SIGSTOP)
        try:
            node.call("ADD", CONF, pod).result()
            assert len(node.leases()) == 1
            node.call("DEL", CONF, pod).silent()
        finally:
            there.process.send_signal(signal.SIGCONT)
        node.call("STATUS", PROBE, extra=ONLY).silent()
        assert node.leases() == []


def test_another_build(node: Node, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(OURS, other, symlinks=True)
    with agent(node, executable=other / "plait"):
        node.call("STATUS", PROBE, extra=ONLY).error(11)
        node.call("STATUS", PROBE).silent()
        execute(other / "bridge", {**node.environ("STATUS"), **ONLY}, PROBED).silent()


@pytest.mark.parametrize("kind", ["--net", "--mount", "--uts", "--pid"])
def test_a_caller_that_is_elsewhere(node: Node, kind: str) -> None:
    with agent(node):
        command = ["unshare", "--fork", kind, str(OURS / "bridge")]
        environ = {**node.environ("STATUS"), **ONLY}
        done = subprocess.run(command, env=environ, input=PROBED, capture_output=True, check=False)
        assert done.returncode == 1 and json.loads(done.stdout)["code"] == 11
        cold = node.environ("STATUS")
        subprocess.run(command, env=cold, input=PROBED, capture_output=True, check=True)


@pytest.mark.parametrize("rights", [["--bounding-set=-sys_admin"], ["--no-new-privs"]])
def test_a_caller_with_other_rights(node: Node, rights: list[str]) -> None:
    with agent(node):
        command = ["setpriv", *rights, str(OURS / "bridge")]
        environ = {**node.environ("STATUS"), **ONLY}
        done = subprocess.run(command, env=environ, input=PROBED, capture_output=True, check=False)
        assert done.returncode == 1 and json.loads(done.stdout)["code"] == 11


def test_more_calls_than_it_takes(node: Node) -> None:
    lock = Held(node)
    with agent(node, "--calls", "1") as there:
        first = started(node, node.pod())
        lock.awaited(there)
        node.call("STATUS", PROBE, extra=ONLY).error(11)
        node.call("STATUS", PROBE).silent()
        lock.release()
        assert first.wait(PATIENCE) == 0
        until(lambda: node.call("STATUS", PROBE, extra=ONLY).status == 0, "it takes no more")


def test_a_call_that_is_handed_over_by_nobody(node: Node) -> None:
    """Bytes that are no call, and callers that say nothing, end their child only."""
    with agent(node, "--calls", "2") as there:
        for said in (b"", b"\xff" * 64, b"\4\0\0\0abcd"):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(str(node.run_dir / "agent/socket"))
                with suppress(ConnectionResetError, BrokenPipeError):
                    caller.sendall(said)
                    caller.shutdown(socket.SHUT_WR)
                    assert caller.recv(8) in (b"", b"R")
        until(lambda: node.call("STATUS", PROBE, extra=ONLY).status == 0, "it takes no more")
        assert there.process.poll() is None
