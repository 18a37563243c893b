"""What the tests of the warm agent share: a call that waits in a lock, an agent's children."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.conformance.networks import whereabouts
from tests.conformance.node import AGENT, OURS, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conformance.kernel import Json
    from tests.conformance.node import Agent, Node, Pod

WITH_AGENTS = [
    pytest.mark.skipif(AGENT, reason="each test has agents of its own"),
    pytest.mark.skipif(not (OURS / ".plait").is_dir(), reason="an agent is an executable"),
]

ONLY, OFF = {"PLAIT_AGENT": "only"}, {"PLAIT_AGENT": "off"}

CONF: Json = {
    "cniVersion": "1.0.0",
    "name": "warm",
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipam": whereabouts("10.9.0.0/16"),
}

#: what changes nothing, and is answered with nothing
PROBE = {**CONF, "cniVersion": "1.1.0"}
PROBED = json.dumps(PROBE).encode()


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def children(pid: int) -> set[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return set(map(int, file.read().split()))


def started(node: Node, pod: Pod, bin_dir: Path = OURS) -> subprocess.Popen[bytes]:
    """An ADD that runs."""
    stdin = node.root / "stdin.json"
    stdin.write_text(json.dumps(CONF))
    with stdin.open("rb") as file:
        return subprocess.Popen(
            [bin_dir / "bridge"],
            env={**node.environ("ADD", pod), **ONLY},
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


class Held:
    """The lock that an ADD of a bridge takes is held by a process while this is open."""

    def __init__(self, node: Node) -> None:
        node.run_dir.mkdir(parents=True, exist_ok=True)
        self._path = node.run_dir / "bridge.lock"
        self._path.touch()
        self._process = subprocess.Popen(
            ["flock", self._path, "sh", "-c", "echo; read line"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def awaited(self, there: Agent) -> int:
        """The agent's child that waits for it: the process."""
        waiting: set[int] = set()

        def some() -> bool:
            waiting.update(filter(self._is_open_in, children(there.process.pid)))
            return bool(waiting)

        until(some, "it does not run")
        return waiting.pop()

    def _is_open_in(self, pid: int) -> bool:
        try:
            fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            return False
        return str(self._path) in fds

    def release(self) -> None:
        self._process.communicate(b"\n")
