"""What a power cut must not take from a pod that runs is on the disk before anybody is told."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.types import Attachment
from cni.core.undo import Undo
from ipam.bounds import RangeText, read
from ipam.stores import Ask, Owner
from ipam.stores.file import FileStore
from tests.netns import confs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.node import Node

WHEREABOUTS = {"type": "whereabouts", "range": "10.1.2.0/24"}
FOREIGN = {"cniVersion": "1.0.0", "type": "foreign"}
POOL = read(RangeText("n", "10.1.2.0/24"))
LOG, RECORD = "leases.db-wal", "pod0"  #: whose name is the container's


class Disk:
    """A slow one: what it has to write is written a moment later."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[str] = []
        self.before_answer: list[str] = []  #: what was synced by then
        node.before_answer = lambda: self.before_answer.extend(self.synced)
        self.fault: Callable[[str], None] = lambda path: None
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, fd: int) -> None:
        time.sleep(0.05)
        path = os.readlink(f"/proc/self/fd/{fd}")
        self.fault(path)
        self.synced.append(os.path.basename(path))


@pytest.fixture
def disk(node: Node, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(node, monkeypatch)


def multus(node: Node, *delegates: dict[str, Any]) -> dict[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "all",
        "type": "multus",
        "cniDir": str(node.state / "multus"),
        "delegates": [{**each, "name": f"n{i}"} for i, each in enumerate(delegates)],
    }


def test_a_lease(node: Node, disk: Disk) -> None:
    node.call("ADD", confs.bridge(ipam=WHEREABOUTS), node.pod()).ok()
    assert disk.before_answer == [LOG]


def test_a_lease_that_is_there(node: Node, disk: Disk) -> None:
    """The call that made it may have been killed before its sync."""
    pod = node.pod()
    store = FileStore(str(node.state))
    store.lease(Owner(Attachment("n", pod.name, "eth0"), netns=pod.path), [Ask(POOL)])
    with Undo() as undo:
        again = FileStore(str(node.state), is_synced_later=True)
        again.lease(Owner(Attachment("n", pod.name, "eth0"), netns=pod.path), [Ask(POOL)])
        undo.keep()
    assert disk.synced == [LOG]


def test_a_lease_that_nobody_would_undo(node: Node, disk: Disk) -> None:
    """As a plugin of its own whereabouts waits in the transaction, which fails as a whole."""
    conf = {**confs.bridge(ipam=WHEREABOUTS), "type": "whereabouts"}
    node.call("ADD", conf, node.pod()).ok()
    assert disk.synced == []


def test_a_record_and_the_leases_of_several_networks(node: Node, disk: Disk) -> None:
    conf = multus(node, *[confs.bridge(ipam=WHEREABOUTS)] * 3)
    node.call("ADD", conf, node.pod()).ok()
    assert sorted(disk.before_answer) == [LOG, LOG, LOG, RECORD]


def foreign(node: Node, directory: Path) -> None:
    """A plugin that writes its verbs to `ran`."""
    plugin = directory / "foreign"
    plugin.write_text(
        f"#!/bin/sh\necho $CNI_COMMAND >>{directory}/ran\n"
        '[ $CNI_COMMAND = DEL ] || echo \'{"cniVersion":"1.0.0"}\'\n'
    )
    plugin.chmod(0o755)
    node.bin_path = str(directory)


def test_a_plugin_of_others_comes_after_the_record(node: Node, disk: Disk, tmp_path: Path) -> None:
    """What it does elsewhere, in a cluster say, outlives a power cut: so must who did it."""
    foreign(node, tmp_path)
    seen = []

    def see(path: str) -> None:
        seen.append((tmp_path / "ran").exists())

    disk.fault = see
    node.call("ADD", multus(node, confs.bridge(ipam=WHEREABOUTS), FOREIGN), node.pod()).ok()
    assert (tmp_path / "ran").exists()
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
    error = node.call("ADD", conf, pod).error(5)
    assert error["details"] == "EIO: Input/output error"
    assert what in error["msg"]
    # the kernel may have dropped a part of the log: the database has it all
    assert (node.state / "plait" / LOG).exists() == (what != LOG)
    assert node.snapshot(pod) == before
    node.call("ADD", conf, pod).ok()


def test_a_disk_that_fails_keeps_no_plugin_of_others_from_its_undo(
    node: Node, disk: Disk, tmp_path: Path
) -> None:
    foreign(node, tmp_path)

    def fail(path: str) -> None:
        if path.endswith(LOG):
            raise OSError(errno.EIO, "Input/output error")

    disk.fault = fail
    conf = multus(node, FOREIGN, confs.bridge(ipam=WHEREABOUTS))
    node.call("ADD", conf, node.pod()).error(5)
    assert (tmp_path / "ran").read_text().split() == ["ADD", "DEL"]
