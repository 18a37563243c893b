"""A runtime that loses patience: real processes, real signals, and the world as it was before."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.netns import confs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Process

BOUND = 30  #: seconds: what is not done by then hangs

IPAM = """#!/bin/sh
echo "$CNI_COMMAND $$" >> {log}
case $CNI_COMMAND in
ADD) {add} ;;
DEL) {delete} ;;
esac
"""


class Slow:
    """An IPAM plugin that takes its time, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.log.touch()

    def write(self, *, add: str = "sleep 1000", delete: str = "true") -> None:
        path = self.directory / "slow-ipam"
        path.write_text(IPAM.format(log=self.log, add=add, delete=delete))
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return [line.split()[0] for line in self.log.read_text().splitlines()]

    def pids(self) -> list[int]:
        return [int(line.split()[1]) for line in self.log.read_text().splitlines()]


@pytest.fixture
def slow(node: Node, tmp_path: Path) -> Slow:
    directory = tmp_path / "bin"
    directory.mkdir()
    node.bin_path = str(directory)
    return Slow(directory)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def group_is_gone(group: int) -> bool:
    """No process of the group but those that only wait for init to reap them."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                state, _, its_group = stat.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state not in "ZX":
            return False
    return True


def conf(kind: str) -> Conf:
    ipam = {"type": "slow-ipam"}
    if kind == "host-device":
        return confs.host_device(device="hd0", ipam=ipam)
    return confs.bridge(isDefaultGateway=True, ipMasq=True, macspoofchk=True, ipam=ipam)


@pytest.mark.parametrize("kind", ["bridge", "host-device"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_ipam_is_busy(
    node: Node, slow: Slow, kind: str, number: signal.Signals
) -> None:
    slow.write()
    node.ip("link", "add", "hd0", "type", "veth", "peer", "name", "hd0peer")
    pod = node.pod()
    before = node.snapshot(pod)
    process = node.start("ADD", conf(kind), pod)
    process.feed()
    until(slow.calls)
    assert node.snapshot(pod) != before
    process.signal(number)
    error = process.finish(BOUND).error(11)
    assert error["msg"] == f"interrupted by {number.name}"
    assert slow.calls() == ["ADD", "DEL"]
    assert node.snapshot(pod) == before
    for pid in slow.pids():
        until(lambda pid=pid: group_is_gone(pid))  # type: ignore[misc]


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_during_the_undo(node: Node, slow: Slow, first: signal.Signals) -> None:
    slow.write(delete="sleep 0.5; echo 'DEL-done 0' >> " + str(slow.log))
    pod = node.pod()
    before = node.snapshot(pod)
    process = node.start("ADD", conf("bridge"), pod)
    process.feed()
    until(slow.calls)
    process.signal(first)
    until(lambda: "DEL" in slow.calls())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        process.signal(number)
    process.finish(BOUND).error(11)
    assert slow.calls() == ["ADD", "DEL", "DEL-done"]
    assert node.snapshot(pod) == before


def test_signal_during_the_undo_of_another_failure(node: Node, slow: Slow) -> None:
    """The runtime is told what failed, not that it lost patience afterwards."""
    slow.write(add='echo \'{"code":100,"msg":"no address left"}\'; exit 1', delete="sleep 0.5")
    pod = node.pod()
    before = node.snapshot(pod)
    process = node.start("ADD", conf("bridge"), pod)
    process.feed()
    until(lambda: "DEL" in slow.calls())
    process.signal(signal.SIGTERM)
    assert process.finish(BOUND).error(100)["msg"] == "no address left"
    assert node.snapshot(pod) == before


def test_signal_while_another_add_holds_the_lock(node: Node) -> None:
    pod = node.pod()
    before = node.snapshot(pod)
    node.run_dir.mkdir()
    path = node.run_dir / "bridge.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = node.start("ADD", confs.bridge(ipam=confs.static("10.1.2.3/24")), pod)
        process.feed()
        until(lambda: _has_open(process, path))
        process.signal(signal.SIGTERM)
        process.finish(BOUND).error(11)
    assert node.snapshot(pod) == before


def _has_open(process: Process, path: Path) -> bool:
    assert process.is_running(), process.finish(BOUND)
    directory = f"/proc/{process.pid}/fd"
    return any(_target(f"{directory}/{fd}") == str(path) for fd in os.listdir(directory))


def _target(link: str) -> str:
    """What it leads to; nothing for a descriptor that was closed meanwhile."""
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


def test_signal_during_delete(node: Node, slow: Slow) -> None:
    """The next DEL finishes the work."""
    slow.write(add='echo \'{"ips":[{"address":"10.1.2.3/24"}]}\'', delete="sleep 1000")
    pod = node.pod()
    before = node.snapshot(pod)
    node.call("ADD", conf("bridge"), pod).ok()
    process = node.start("DEL", conf("bridge"), pod)
    process.feed()
    until(lambda: "DEL" in slow.calls())
    process.signal(signal.SIGTERM)
    process.finish(BOUND).error(11)
    slow.write()
    node.call("DEL", conf("bridge"), pod).ok()
    node.ip("link", "delete", "br0")
    assert node.snapshot(pod) == before


def test_signal_at_any_time(node: Node) -> None:
    """It is all there and was told, or it is not there."""
    good = confs.bridge(
        isDefaultGateway=True, ipMasq=True, macspoofchk=True,
        ipam=confs.whereabouts("10.1.2.0/24", range_start="10.1.2.10"),
    )  # fmt: skip
    pod = node.pod()
    before = node.snapshot(pod)
    outcomes = []
    for step in range(24):
        process = node.start("ADD", good, pod)
        process.feed()
        time.sleep(0.02 * step)
        process.signal(signal.SIGTERM)
        reply = process.finish(BOUND)
        outcomes.append(reply.status)
        if reply.status == 0:
            assert reply.value["ips"]
            node.call("DEL", good, pod).ok()
            node.ip("link", "delete", "br0")
        elif reply.status != -signal.SIGTERM:  # before the first line of ours: nothing was done
            reply.error(11)
        assert node.snapshot(pod) == before, f"step {step}: {reply}"
    assert 1 in outcomes
