"""A network of host-local on a node of its own: its lease files, and calls by ours or by Go's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.harness import Host, Json, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parents[3]
#: Debian's
GO = Path("/usr/lib/cni/host-local")
#: seconds that no call needs
PATIENCE = 120.0


def conf(*sets: str | Sequence[str | Json], **keys: Any) -> Json:
    """An `ipam` section; a set is one subnet, or several, each by its CIDR or with its keys."""
    ranges = [
        [{"subnet": each} if isinstance(each, str) else each for each in _several(subnets)]
        for subnets in sets
    ]
    return {"type": "host-local", "ranges": ranges, **keys}


def _several(subnets: str | Sequence[str | Json]) -> Sequence[str | Json]:
    return [subnets] if isinstance(subnets, str) else subnets


class Network(Host):
    """The network "net": a Host, and a look at its files."""

    def __init__(self, state: Path) -> None:
        super().__init__(state, "host-local")
        self.files = state / "networks" / "net"
        self.index = state / "networks" / ".plait" / "net"

    def use(self, cidr: str, addresses: Iterable[str], network_name: str = "") -> None:
        """Lease these addresses to somebody else."""
        for each in addresses:
            self.write(each, "somebody\r\neth0")

    def write(self, name: str, text: str) -> None:
        """As Go's does, which knows nothing of an index."""
        self.files.mkdir(parents=True, exist_ok=True)
        (self.files / name).write_bytes(text.encode())

    def leases(self) -> dict[str, str]:
        """Address -> what its file says."""
        others = ("lock", "last_reserved_ip.")
        found = self.files.iterdir() if self.files.exists() else ()
        return {
            each.name: each.read_bytes().decode()
            for each in found
            if not each.name.startswith(others)
        }

    def start(
        self, command: str, ipam: Json, container: str, *, go: bool = False, **config: Any
    ) -> subprocess.Popen[bytes]:
        """A call in a process of its own, running."""
        ipam = {"dataDir": str(self.state / "networks"), **ipam}
        stdin = {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "ipam": ipam, **config}
        executable = [str(GO)] if go else [sys.executable, "-m", "cni", "host-local"]
        process = subprocess.Popen(
            executable,
            cwd=ROOT,
            env={
                **os.environ,
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": container,
                "CNI_NETNS": "/nonexistent/netns",
                "CNI_IFNAME": "eth0",
                "CNI_PATH": "/nonexistent/bin",
                "PLAIT_STATE_DIR": str(self.state),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin
        process.stdin.write(json.dumps(stdin).encode())
        process.stdin.close()
        process.stdin = None
        return process

    def go(self, command: str, ipam: Json, container: str = "c1", **config: Any) -> Reply:
        """One call of the original."""
        return reply(self.start(command, ipam, container, go=True, **config))


def reply(process: subprocess.Popen[bytes]) -> Reply:
    text, _ = process.communicate(timeout=PATIENCE)
    return Reply(process.returncode, json.loads(text) if text else None)


needs_go = pytest.mark.skipif(not GO.exists(), reason=f"no {GO}")
