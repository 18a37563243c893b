"""The n-th delegate of a pod fails, hangs, prints garbage or is missing: the pod is as before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.meta.cluster.node import CBR0, STATUS, nad_path, pod_args, pod_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.apiserver.server import ApiServer
    from tests.unit.meta.cluster.node import ClusterNode, Json

#: network -> (interface, plugin), in the order of the ADD
NETWORKS = {"cbr0": ("eth0", "fake"), "a": ("net1", "pa"), "b": ("net2", "pb"), "c": ("net3", "pc")}
PATIENCE = 60.0  #: seconds; for what takes less than one


@pytest.fixture
def abc(node: ClusterNode) -> ClusterNode:
    """The pod asks for a, b, c, and has a status of somebody else."""
    for name in "abc":
        node.plugin(f"p{name}")
        node.nad(name, {"cniVersion": "1.0.0", "type": f"p{name}"})
    node.pod("a,b,c", **{STATUS: "old"})
    return node


def up_to(network: str) -> list[str]:
    """What is run when a network's ADD fails."""
    names = list(NETWORKS)
    run = names[: names.index(network) + 1]
    adds = [f"ADD {NETWORKS[name][0]} {name}" for name in run]
    return [*adds, *(f"DEL {NETWORKS[name][0]} {name}" for name in reversed(run))]


def as_before(node: ClusterNode) -> None:
    node.nothing_left()
    assert node.status_text() == "old"
    assert node.events() == []


BROKEN = {
    "fails": ("""echo '{"code": 142, "msg": "boom", "details": "why"}'; exit 1""", 142, "boom"),
    "busy": ("""echo '{"code": 11, "msg": "later"}'; exit 1""", 11, "later"),
    "garbage": ("echo garbage; exit 0", 6, "printed no valid JSON"),
    "html": ("echo '<html></html>'; exit 1", 103, "exit status 1"),
    "nothing": ("exit 0", 6, "printed no valid JSON"),
    "list": ("echo '[1]'; exit 0", 6, "must be a dict"),
    "half": ("""printf '{"cniVersion": "1.0.0", "ips": [{"addr'; exit 0""", 6, "no valid JSON"),
    "version": ("""echo '{"cniVersion":"9.9.9"}'; exit 0""", 1, "9.9.9"),
    "crash": ("kill -SEGV $$", 103, "signal 11"),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("fault", BROKEN)
def test_the_nth_add_goes_wrong(abc: ClusterNode, network: str, fault: str) -> None:
    script, code, said = BROKEN[fault]
    kind = NETWORKS[network][1]
    abc.on(kind, "ADD", script)
    reply = abc.call("ADD")
    assert (reply.status, reply.code) == (1, code)
    assert reply.msg.startswith(
        f'[default/p1/u1:{network}]: error adding container to network "{network}":'
        f' plugin type="{kind}" failed (add): '
    )
    assert said in reply.msg
    assert abc.ran() == up_to(network)
    as_before(abc)
    assert abc.call("DEL").status == 0
    assert abc.files() == []


@pytest.mark.parametrize("network", NETWORKS)
def test_the_nth_plugin_is_missing(abc: ClusterNode, network: str) -> None:
    kind = NETWORKS[network][1]
    (abc.bin / kind).unlink()
    reply = abc.call("ADD")
    assert (reply.status, reply.code) == (1, 7)
    assert reply.msg == (
        f'[default/p1/u1:{network}]: error adding container to network "{network}":'
        f' plugin type="{kind}" failed (add): failed to find plugin "{kind}" in path'
        f" [{abc.bin} /nowhere]"
    )
    assert abc.ran() == []  # it is found before anything is attached
    as_before(abc)
    assert abc.call("DEL").status == 0
    assert abc.files() == []


def start(node: ClusterNode, command: str = "ADD", **keys: object) -> subprocess.Popen[bytes]:
    """The call in a process of its own, which a test sends signals."""
    environ = node.environ(
        command, CNI_ARGS=pod_args(), PYTHONPATH=os.pathsep.join(filter(None, sys.path))
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "cni", "multus"], env=environ,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(node.conf(**keys)).encode())
    process.stdin.close()
    process.stdin = None
    return process


def wait_for(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def answer(process: subprocess.Popen[bytes]) -> Json:
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert b"Traceback" not in err, err.decode()
    assert process.returncode == 1
    found: Json = json.loads(out)
    return found


HANGS = 'trap "exit 1" TERM; while :; do sleep 0.05; done'


@pytest.mark.parametrize("network", ["cbr0", "b"])
def test_the_nth_add_hangs_until_the_runtime_has_enough(abc: ClusterNode, network: str) -> None:
    ifname, kind = NETWORKS[network]
    abc.on(kind, "ADD", HANGS)
    process = start(abc)
    calls = abc.lab / "calls"
    wait_for(lambda: f"ADD {kind} cid1 {ifname}\n" in calls.read_text(), process)
    process.send_signal(signal.SIGTERM)
    reply = answer(process)
    assert reply["code"] == 11
    assert abc.ran() == up_to(network)
    as_before(abc)
    abc.on(kind, "ADD", "")
    assert abc.call("ADD").status == 0


@pytest.mark.parametrize("path", [pod_path(), nad_path("b"), f"{pod_path()}/status"])
def test_the_server_hangs_until_the_runtime_has_enough(
    abc: ClusterNode, api: ApiServer, path: str
) -> None:
    api.fail(None, path=path, kind="silent")
    slow = {"connectSeconds": 600, "callSeconds": 600, "totalSeconds": 600}
    process = start(abc, apiServer=slow)
    wait_for(lambda: path in [each.path for each in api.requests], process)
    process.send_signal(signal.SIGTERM)
    assert answer(process)["code"] == 11
    assert abc.ran() == (up_to("c") if path.endswith("status") else [])
    as_before(abc)


def test_the_runtime_has_enough_while_events_are_told(abc: ClusterNode, api: ApiServer) -> None:
    """All is attached and said: either that is the answer, or nothing is attached."""
    api.fail(None, method="POST", kind="silent")
    process = start(abc, apiServer={})
    wait_for(lambda: "POST" in [each.method for each in api.requests], process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    if process.returncode == 0:
        assert len(abc.status()) == 4
    else:
        assert abc.ran() == up_to("c")
        assert abc.files() == []


def test_after_sigkill_a_del_reaches_what_was_started(abc: ClusterNode, api: ApiServer) -> None:
    abc.on("pb", "ADD", "kill -KILL $PPID; exit 1")
    process = start(abc)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    abc.ran()
    api.stop()
    assert abc.call("DEL").status == 0
    assert abc.ran() == ["DEL net2 b", "DEL net1 a", "DEL eth0 cbr0"]
    assert abc.files() == []


def test_after_sigkill_an_add_starts_anew(abc: ClusterNode) -> None:
    abc.on("pb", "ADD", "kill -KILL $PPID; exit 1")
    start(abc).communicate(timeout=PATIENCE)
    abc.ran()
    abc.on("pb", "ADD", "")
    assert abc.call("ADD").status == 0
    assert abc.ran()[:4] == ["DEL net2 b", "DEL net1 a", "DEL eth0 cbr0", "ADD eth0 cbr0"]
    assert len(abc.status()) == 4


def test_a_failing_undo_keeps_the_record_for_the_del(abc: ClusterNode) -> None:
    abc.fail("pc", "ADD")
    abc.fail("pa", "DEL", code=5, msg="busy")
    reply = abc.call("ADD")
    assert (reply.code, "boom" in reply.msg) == (77, True)
    assert abc.ran() == up_to("c")
    assert abc.files() == ["cid1", "results/a-cid1-net1"]
    assert abc.status_text() == "old"
    abc.on("pa", "DEL", "")
    abc.api.stop()
    assert abc.call("DEL").status == 0
    assert abc.ran() == ["DEL net1 a"]
    assert abc.files() == []


def test_in_a_list_all_its_plugins_are_deleted(abc: ClusterNode) -> None:
    plugins = [{"type": "pa"}, {"type": "pb"}, {"type": "pc"}]
    abc.nad("list", {"cniVersion": "1.0.0", "plugins": plugins})
    abc.pod("list", name="p2", uid="u2")
    abc.fail("pb", "ADD")
    reply = abc.call("ADD", pod="default/p2/u2")
    assert reply.msg.startswith(
        '[default/p2/u2:list]: error adding container to network "list": plugin type="pb"'
    )
    assert abc.calls() == [
        "ADD fake eth0", "ADD pa net1", "ADD pb net1",
        "DEL pc net1", "DEL pb net1", "DEL pa net1", "DEL fake eth0",
    ]  # fmt: skip
    as_before(abc)


def test_a_default_network_of_the_wrong_version(abc: ClusterNode) -> None:
    """What cannot be told to the caller is refused, and undone."""
    abc.plugin("fake", result={"cniVersion": "1.0.0", "ips": []})
    conf = {**abc.conf(CBR0), "cniVersion": "0.2.0"}
    reply = abc.call("ADD", conf)
    assert reply.status == 1
    assert abc.ran() == up_to("c")
    as_before(abc)


def test_a_del_that_hangs_until_the_runtime_has_enough(abc: ClusterNode) -> None:
    """The record stays whole: the next DEL does all of it, what was done is done again."""
    assert abc.call("ADD").status == 0
    abc.ran()
    abc.on("pb", "DEL", HANGS)
    process = start(abc, "DEL")
    calls = abc.lab / "calls"
    wait_for(lambda: "DEL pb cid1 net2\n" in calls.read_text(), process)
    process.send_signal(signal.SIGTERM)
    assert answer(process)["code"] == 11
    assert abc.ran()[:2] == ["DEL net3 c", "DEL net2 b"]
    assert "cid1" in abc.files()
    abc.on("pb", "DEL", "")
    abc.api.stop()
    assert abc.call("DEL").status == 0
    assert abc.ran() == ["DEL net3 c", "DEL net2 b", "DEL net1 a", "DEL eth0 cbr0"]
    assert abc.files() == []
