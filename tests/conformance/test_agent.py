"""The warm agent: calls through it, and calls that it does not get."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.apiserver.server import ApiServer
from tests.conformance.networks import whereabouts
from tests.conformance.node import AGENT, OURS, PATIENCE, Agent, agent, execute

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node, Pod, Reply

pytestmark = [
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


def untimed(log: str) -> str:
    return re.sub(r"time=\S+", "", log)


@pytest.fixture
def held(node: Node) -> Path:
    """The lock that an ADD of a bridge takes: while somebody holds it, the ADD waits in it."""
    node.run_dir.mkdir(parents=True)
    return node.run_dir / "bridge.lock"


class Held:
    """The lock is held by a process while this is open; `is_awaited` says whether one waits."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        self._process = subprocess.Popen(
            ["flock", path, "sh", "-c", "echo; read line"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def is_awaited(self, pid: int) -> bool:
        """Whether the process has the file open."""
        try:
            fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            return False
        return str(self._path) in fds

    def release(self) -> None:
        self._process.communicate(b"\n")


def test_add_check_and_del_through_it(node: Node) -> None:
    pod = node.pod()
    with agent(node):
        before = node.traces(pod)
        result = node.call("ADD", CONF, pod, extra=ONLY).result()
        assert [each["name"] for each in result["interfaces"]] == [
            "br0", result["interfaces"][1]["name"], "eth0",
        ]  # fmt: skip
        assert pod.net.links()["eth0"]["addr_info"]
        checked = {**CONF, "prevResult": result}
        node.call("CHECK", checked, pod, extra=ONLY).silent()
        node.call("DEL", checked, pod, extra=ONLY).silent()
        node.call("DEL", CONF, pod, extra=ONLY).silent()
        assert node.traces(pod) == before


def test_what_is_said_is_the_same(node: Node) -> None:
    """The error of a key, the answer to VERSION, what is written to standard error."""
    pod = node.pod()
    calls: list[tuple[str, Json]] = [
        ("VERSION", CONF),
        ("ADD", {**CONF, "mtu": "many"}),
        ("ADD", {**CONF, "cniVersion": "9.9.9"}),
        ("DEL", {**CONF, "vlan": 5000}),
        ("STATUS", {**CONF, "cniVersion": "1.1.0"}),
        ("GC", {**CONF, "cniVersion": "1.1.0", "cni.dev/valid-attachments": "none"}),
    ]
    with agent(node):
        for verb, conf in calls:
            warm, cold = (node.call(verb, conf, pod, extra=how) for how in (ONLY, OFF))
            assert (warm.status, warm.stdout) == (cold.status, cold.stdout), verb
            assert untimed(warm.stderr) == untimed(cold.stderr), verb


def test_working_directory_umask_limits_and_descriptors_are_the_caller_s(node: Node) -> None:
    """A log file by a relative path, made with the caller's mask, below the caller's limit."""
    conf: Json = {
        "cniVersion": "1.0.0",
        "name": "here",
        "type": "multus",
        "logFile": "plait.log",
        "logLevel": "debug",
        "delegates": [CONF],
    }
    with agent(node):
        run = 'cd "$1" && umask 0277 && ulimit -n 64 && exec "$2"'
        environ = {**node.environ("ADD", node.pod()), **ONLY}
        place = node.root / "place"
        place.mkdir()
        subprocess.run(
            ["sh", "-c", run, "sh", place, OURS / "multus"],
            env=environ,
            input=json.dumps(conf).encode(),
            check=True,
            timeout=PATIENCE,
            stdout=subprocess.DEVNULL,
        )
        assert (place / "plait.log").stat().st_mode & 0o777 == 0o400


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


def test_what_a_call_has_that_the_agent_may_not_have(node: Node) -> None:
    """Limits above its own, which it may not raise; a variable without a name."""
    prepare = "ulimit -Hn 512; exec setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource"
    pod = node.pod()
    run = f'{prepare} "$0" agent'
    process = subprocess.Popen(
        ["sh", "-c", run, OURS / "plait"],
        env={"PATH": os.environ["PATH"], "PLAIT_RUN_DIR": str(node.run_dir)},
        stderr=subprocess.PIPE,
    )
    try:
        Agent(process)
        node.call("ADD", CONF, pod).result()
        nameless = ["env", "-i", *(f"{k}={v}" for k, v in node.environ("DEL", pod).items()), "=x"]
        subprocess.run(
            ["sh", "-c", 'exec setpriv --bounding-set=-sys_resource "$@"', "sh", *nameless,
             str(OURS / "bridge")],
            input=json.dumps(CONF).encode(), check=True, timeout=PATIENCE,
        )  # fmt: skip
    finally:
        process.kill()
        process.communicate()


def test_calls_about_no_container_do_not_wait_for_each_other(node: Node, held: Path) -> None:
    """A STATUS beside a GC that takes long."""
    lock = Held(held)
    stdin = node.root / "gc.json"
    stdin.write_text(json.dumps({**PROBE, "cni.dev/valid-attachments": []}))
    with agent(node) as there, stdin.open("rb") as file:
        collecting = subprocess.Popen(
            [OURS / "bridge"], env={**node.environ("GC"), **ONLY}, stdin=file
        )
        until(lambda: any(map(lock.is_awaited, children(there.process.pid))), "it does not run")
        node.call("STATUS", PROBE, extra=ONLY).silent()
        assert collecting.poll() is None
        lock.release()
        assert collecting.wait(PATIENCE) == 0


def test_more_calls_than_it_takes(node: Node, held: Path) -> None:
    pods = [node.pod(), node.pod()]
    lock = Held(held)
    with agent(node, "--calls", "1") as there:
        first = started(node, pods[0])
        until(lambda: any(map(lock.is_awaited, children(there.process.pid))), "it does not run")
        node.call("STATUS", PROBE, extra=ONLY).error(11)
        node.call("STATUS", PROBE).silent()
        lock.release()
        assert first.wait(PATIENCE) == 0
        until(lambda: node.call("STATUS", PROBE, extra=ONLY).status == 0, "it takes no more")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_executable_undoes_the_call(
    node: Node, held: Path, ending: signal.Signals
) -> None:
    """SIGKILL too, and the DEL that follows at once waits for that."""
    pod = node.pod()
    before = node.traces(pod)
    lock = Held(held)
    with agent(node) as there:
        add = started(node, pod)
        until(lambda: any(map(lock.is_awaited, children(there.process.pid))), "it does not run")
        add.send_signal(ending)
        out, _ = add.communicate(timeout=PATIENCE)
        if ending == signal.SIGKILL:
            assert (add.returncode, out) == (-9, b"")
        else:
            assert add.returncode == 1 and ending.name in json.loads(out)["msg"]
        node.call("DEL", CONF, pod, extra=ONLY).silent()
        assert node.traces(pod) == before
        lock.release()


def test_a_child_that_is_killed(node: Node, held: Path) -> None:
    """One error and no second try; DEL takes away what there is."""
    pod = node.pod()
    before = node.traces(pod)
    lock = Held(held)
    with agent(node) as there:
        add = started(node, pod)
        until(lambda: any(map(lock.is_awaited, children(there.process.pid))), "it does not run")
        (running,) = filter(lock.is_awaited, children(there.process.pid))
        os.kill(running, signal.SIGKILL)
        out, _ = add.communicate(timeout=PATIENCE)
        assert add.returncode == 1 and "was killed" in json.loads(out)["msg"]
        lock.release()
        node.call("DEL", CONF, pod, extra=ONLY).silent()
        assert node.traces(pod) == before


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


def test_an_upgrade_while_calls_run(node: Node, held: Path, tmp_path: Path) -> None:
    """They end as what they are, and SIGTERM waits for them."""
    bin_dir = tmp_path / "bin"
    shutil.copytree(OURS, bin_dir, symlinks=True)
    lock, pod = Held(held), node.pod()
    with agent(node, executable=bin_dir / "plait") as there:
        add = started(node, pod, bin_dir)
        until(lambda: any(map(lock.is_awaited, children(there.process.pid))), "it does not run")
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


def test_it_ends_after_its_calls(node: Node, held: Path) -> None:
    pod = node.pod()
    lock = Held(held)
    with agent(node) as there:
        add = started(node, pod)
        until(lambda: any(map(lock.is_awaited, children(there.process.pid))), "it does not run")
        there.process.terminate()
        node.call("STATUS", PROBE).silent()
        assert there.process.poll() is None
        lock.release()
        assert add.wait(PATIENCE) == 0
        assert there.process.wait(PATIENCE) == 0
    assert not (node.run_dir / "agent/socket").exists()
    node.call("DEL", CONF, pod, extra=OFF).silent()


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


def test_connections_to_an_api_server_outlive_calls(node: Node, tmp_path: Path) -> None:
    """Pod, network and status of each pod but the first come by connections that were there."""
    with ApiServer(tmp_path / "api") as api, agent(node):
        kubeconfig = api.kubeconfig(tmp_path / "kubeconfig", form="json")
        api.nad("default", "extra", {**CONF, "name": "extra", "bridge": "br1"})
        conf: Json = {
            "cniVersion": "1.0.0",
            "name": "cluster",
            "type": "multus",
            "kubeconfig": str(kubeconfig),
            "events": False,  # which are told side by side
            "delegates": [CONF],
        }
        made = []
        for number in range(4):
            pod = node.pod()
            api.pod("default", f"web-{number}", {"k8s.v1.cni.cncf.io/networks": "extra"})
            args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-{number}"
            how = {**ONLY, "CNI_ARGS": args}
            node.call("ADD", conf, pod, extra=how).result()
            assert "net1" in pod.net.links()
            node.call("DEL", conf, pod, extra=how).silent()
            made.append(api.connections)
            time.sleep(0.1)  # it connects for the next
        assert made[-1] == made[1], made
