"""cnitool: the CNI project's own client, which is libcni and nothing else."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .node import Node


def executable() -> Path:
    """PLAIT_CNITOOL, or where `install` has built it."""
    named = os.environ.get("PLAIT_CNITOOL")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "plait" / "cnitool"


@dataclass(frozen=True)
class Cnitool:
    """cnitool on a node; the container ID it sends is a hash of the namespace's path."""

    node: Node
    network: str = "pods"
    ifname: str = "eth0"

    def attempt(self, verb: str, netns: str) -> subprocess.CompletedProcess[str]:
        return self.node.attempt(
            executable(),
            verb,
            self.network,
            netns,
            env={
                "NETCONFPATH": "/etc/cni/net.d",
                "CNI_PATH": "/opt/cni/bin",
                "CNI_IFNAME": self.ifname,
            },
        )

    def add(self, netns: str) -> dict[str, Any]:
        """The result of an ADD that must succeed."""
        result: dict[str, Any] = json.loads(self._run("add", netns))
        return result

    def check(self, netns: str) -> None:
        self._run("check", netns)

    def delete(self, netns: str) -> None:
        self._run("del", netns)

    def _run(self, verb: str, netns: str) -> str:
        done = self.attempt(verb, netns)
        assert done.returncode == 0, f"cnitool {verb}: {done.stdout}{done.stderr}"
        return done.stdout
