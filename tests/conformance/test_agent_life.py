"""The warm agent: killed, replaced, ended, idle, and what becomes of calls meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.conformance.agents import (
    CONF,
    OFF,
    ONLY,
    PROBE,
    PROBED,
    WITH_AGENTS,
    Held,
    children,
    started,
    until,
)
from tests.conformance.node import OURS, PATIENCE, Agent, agent, execute

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.node import Node, Pod, Reply

pytestmark = WITH_AGENTS


def test_killed_again_and_again(node: Node) -> None:
    """No call fails, none runs twice: each pod has one lease, and afterwards none."""
    pods = [node.pod() for _ in range(24)]

    def life(pod: Pod) -> tuple[Reply, Reply]:
        environ = node.environ("ADD", pod)
        stdin = json.dumps(CONF).encode()
        added = execute(OURS / "bridge", environ, stdin)
        return added, execute(OURS / "bridge", {**environ, "CNI_COMMAND": "DEL"}, stdin)

    def adds() -> list[tuple[Reply, Reply]]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(life, pods))

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(adds)
        kills = 0
        while not work.done():
            with agent(node):
                time.sleep(0.05)
            kills += 1
        for added, deleted in work.result():
            added.result()
            deleted.silent()
    assert kills > 2
    assert node.leases() == []


def upgrade(bin_dir: Path, release: str) -> None:
    """As packaging/install does it: a folder beside the old one, and one link renamed."""
    shutil.copytree(OURS / ".plait", bin_dir / release)
    (bin_dir / "new").symlink_to(f"{release}/plait")
    (bin_dir / "new").rename(bin_dir / "plait")


def test_upgrades(node: Node, tmp_path: Path) -> None:
    """The agent becomes the release that the link `plait` leads to, with the same socket."""
    bin_dir = tmp_path / "bin"
    shutil.copytree(OURS, bin_dir, symlinks=True)
    with agent(node, executable=bin_dir / "plait") as there:
        probe = {**node.environ("STATUS"), **ONLY}
        execute(bin_dir / "bridge", probe, PROBED).silent()
        inode = (node.run_dir / "agent/socket").stat().st_ino
        for release in (".plait-2", ".plait-3"):
            upgrade(bin_dir, release)
            execute(bin_dir / "bridge", node.environ("STATUS"), PROBED).silent()
            there.hear(b" listens at ")
            execute(bin_dir / "bridge", probe, PROBED).silent()
            assert (node.run_dir / "agent/socket").stat().st_ino == inode
            assert os.path.samefile(f"/proc/{there.process.pid}/exe", bin_dir / release / "plait")
    assert not (node.run_dir / "agent/socket").exists()


def test_an_upgrade_while_calls_run(node: Node, tmp_path: Path) -> None:
    """They end as what they are, and SIGTERM waits for them."""
    bin_dir = tmp_path / "bin"
    shutil.copytree(OURS, bin_dir, symlinks=True)
    lock, pod = Held(node), node.pod()
    with agent(node, executable=bin_dir / "plait") as there:
        add = started(node, pod, bin_dir)
        lock.awaited(there)
        upgrade(bin_dir, ".plait-2")
        execute(bin_dir / "bridge", node.environ("STATUS"), PROBED).silent()
        there.hear(b" listens at ")
        there.process.terminate()
        execute(bin_dir / "bridge", node.environ("STATUS"), PROBED).silent()
        assert there.process.poll() is None
        lock.release()
        assert add.wait(PATIENCE) == 0
        assert there.process.wait(PATIENCE) == 0
    node.call("DEL", CONF, pod, extra=OFF).silent()


def test_a_release_that_does_not_start(node: Node, tmp_path: Path) -> None:
    bin_dir = tmp_path / "bin"
    shutil.copytree(OURS, bin_dir, symlinks=True)
    with agent(node, executable=bin_dir / "plait") as there:
        probe = {**node.environ("STATUS"), **ONLY}
        (bin_dir / "new").write_text("no executable")
        (bin_dir / "new").chmod(0o755)
        (bin_dir / "new").rename(bin_dir / "plait")
        there.process.send_signal(signal.SIGCHLD)
        there.hear(b"cannot be started")
        (bin_dir / "bridge").unlink()
        (bin_dir / "bridge").symlink_to(".plait/plait")
        execute(bin_dir / "bridge", probe, PROBED).silent()


def test_of_two_the_later_listens(node: Node) -> None:
    with agent(node) as first, agent(node):
        node.call("STATUS", PROBE, extra=ONLY).silent()
        first.process.send_signal(signal.SIGCHLD)  # it looks whenever it wakes
        first.hear(b"another agent listens")
        assert first.process.wait(PATIENCE) == 0
        # which has left the other's socket alone
        node.call("STATUS", PROBE, extra=ONLY).silent()


def test_a_socket_that_was_tidied_up(node: Node) -> None:
    with agent(node) as there:
        shutil.rmtree(node.run_dir)
        there.process.send_signal(signal.SIGCHLD)  # it looks whenever it wakes
        there.hear(b"listening again")
        node.call("STATUS", PROBE, extra=ONLY).silent()


def test_a_socket_that_systemd_has_made(node: Node) -> None:
    """It comes as descriptor 3 (sd_listen_fds(3)) and is there before and after the agent."""
    directory = node.run_dir / "agent"
    directory.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "socket"))
        listener.listen()
        process = subprocess.Popen(
            ["sh", "-c", 'exec env LISTEN_FDS=1 LISTEN_PID=$$ "$0" agent', OURS / "plait"],
            env={"PATH": os.environ["PATH"], "PLAIT_RUN_DIR": str(node.run_dir)},
            preexec_fn=lambda: os.dup2(listener.fileno(), 3),
            pass_fds=(3,),
            stderr=subprocess.PIPE,
        )
        try:
            Agent(process)
            node.call("STATUS", PROBE, extra=ONLY).silent()
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.communicate()
        assert (directory / "socket").is_socket()


def test_it_ends_after_its_calls(node: Node) -> None:
    pod = node.pod()
    lock = Held(node)
    with agent(node) as there:
        add = started(node, pod)
        lock.awaited(there)
        there.process.terminate()
        node.call("STATUS", PROBE).silent()
        assert there.process.poll() is None
        lock.release()
        assert add.wait(PATIENCE) == 0
        assert there.process.wait(PATIENCE) == 0
    assert not (node.run_dir / "agent/socket").exists()
    node.call("DEL", CONF, pod, extra=OFF).silent()


def test_it_is_small_while_idle(node: Node) -> None:
    with agent(node) as there:
        node.call("STATUS", PROBE, extra=ONLY).silent()
        pid = there.process.pid
        # the spare, and the keeper of connections
        until(lambda: len(children(pid)) == 2, "a call, or no spare")
        time.sleep(0.2)  # it is made ready
        total = 0
        for each in (pid, *children(pid)):
            with open(f"/proc/{each}/smaps_rollup") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        assert 10_000 < total < 60_000, f"{total} kB"
