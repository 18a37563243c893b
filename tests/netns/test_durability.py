"""What a power cut must not take from a pod that runs is on the disk before anybody is told."""

from __future__ import annotations

import errno
import io
import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from cni.core import skel
from tests.netns import confs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.node import Node, Pod

WHEREABOUTS = {"type": "whereabouts", "range": "10.1.2.0/24"}
LOG, RECORD = "leases.db-wal", "pod0"  #: whose name is the container's


class Disk:
    """A slow one: what it has to write is written a moment later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[str] = []
        self.before_answer: list[str] = []
        self.fault: Callable[[str], None] = lambda path: None
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, fd: int) -> None:
        time.sleep(0.05)
        path = os.readlink(f"/proc/self/fd/{fd}")
        self.fault(path)
        self.synced.append(os.path.basename(path))

    def call(self, node: Node, command: str, conf: dict[str, Any], pod: Pod) -> dict[str, Any]:
        """The answer; `before_answer` is what was synced when it came."""
        disk = self

        class Stdout(io.BytesIO):
            def write(self, data: Any, /) -> int:
                disk.before_answer = list(disk.synced)
                return super().write(data)

        stdout = Stdout()
        environ, stdin = node.environ(command, pod), io.BytesIO(json.dumps(conf).encode())
        skel.main(conf["type"], environ, stdin, stdout, io.BytesIO())
        return dict(json.loads(stdout.getvalue() or "{}"))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def multus(node: Node, *delegates: dict[str, Any]) -> dict[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "all",
        "type": "multus",
        "cniDir": str(node.state / "multus"),
        "delegates": [{**each, "name": f"n{i}"} for i, each in enumerate(delegates)],
    }


def test_a_lease(node: Node, disk: Disk) -> None:
    pod = node.pod()
    assert "ips" in disk.call(node, "ADD", confs.bridge(ipam=WHEREABOUTS), pod)
    assert disk.before_answer == [LOG]
    disk.call(node, "DEL", confs.bridge(ipam=WHEREABOUTS), pod)
    assert disk.synced == [LOG, LOG]


def test_a_record_and_the_leases_of_several_networks(node: Node, disk: Disk) -> None:
    conf = multus(node, *[confs.bridge(ipam=WHEREABOUTS)] * 3)
    assert "ips" in disk.call(node, "ADD", conf, node.pod())
    assert sorted(disk.before_answer) == [LOG, LOG, LOG, RECORD]


def test_a_plugin_of_others_comes_after_the_record(node: Node, disk: Disk, tmp_path: Path) -> None:
    """What it does elsewhere, in a cluster say, outlives a power cut: so must who did it."""
    plugin = tmp_path / "foreign"
    plugin.write_text('#!/bin/sh\n[ $CNI_COMMAND = DEL ] || echo \'{"cniVersion":"1.0.0"}\'\n')
    plugin.chmod(0o755)
    node.bin_path = str(tmp_path)
    seen = []

    def see(path: str) -> None:
        seen.append(os.path.exists(node.root / "ran"))

    disk.fault = see
    plugin.write_text(plugin.read_text() + f"touch {node.root / 'ran'}\n")
    foreign = {"cniVersion": "1.0.0", "type": "foreign"}
    disk.call(node, "ADD", multus(node, confs.bridge(ipam=WHEREABOUTS), foreign), node.pod())
    assert (node.root / "ran").exists()
    assert seen == [False, False]


@pytest.mark.parametrize("what", [LOG, RECORD])
def test_a_disk_that_fails(node: Node, disk: Disk, what: str) -> None:
    pod = node.pod()
    conf = multus(node, confs.bridge(ipam=WHEREABOUTS))
    node.call("ADD", conf, pod).ok()  # the bridge stays
    node.call("DEL", conf, pod)
    before = node.snapshot(pod)
    failed: list[str] = []

    def fail(path: str) -> None:
        if path.endswith(what) and not failed:
            failed.append(path)
            raise OSError(errno.EIO, "Input/output error")

    disk.fault = fail
    error = disk.call(node, "ADD", conf, pod)
    assert (error["code"], error["details"]) == (5, "EIO: Input/output error")
    assert what in error["msg"]
    assert node.snapshot(pod) == before
    assert "ips" in disk.call(node, "ADD", conf, pod)
