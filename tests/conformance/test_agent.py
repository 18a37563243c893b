"""The warm agent: what comes of calls that it gets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.apiserver.server import ApiServer
from tests.conformance.agents import CONF, OFF, ONLY, PROBE, WITH_AGENTS, Held, started
from tests.conformance.node import OURS, PATIENCE, Agent, agent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node

pytestmark = WITH_AGENTS


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


def untimed(log: str) -> str:
    return re.sub(r"time=\S+", "", log)


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


def test_calls_about_no_container_do_not_wait_for_each_other(node: Node) -> None:
    """A STATUS beside a GC that takes long."""
    lock = Held(node)
    stdin = node.root / "gc.json"
    stdin.write_text(json.dumps({**PROBE, "cni.dev/valid-attachments": []}))
    with agent(node) as there, stdin.open("rb") as file:
        collecting = subprocess.Popen(
            [OURS / "bridge"], env={**node.environ("GC"), **ONLY}, stdin=file
        )
        lock.awaited(there)
        node.call("STATUS", PROBE, extra=ONLY).silent()
        assert collecting.poll() is None
        lock.release()
        assert collecting.wait(PATIENCE) == 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_executable_undoes_the_call(node: Node, ending: signal.Signals) -> None:
    """SIGKILL too, and the DEL that follows at once waits for that."""
    pod = node.pod()
    before = node.traces(pod)
    lock = Held(node)
    with agent(node) as there:
        add = started(node, pod)
        lock.awaited(there)
        add.send_signal(ending)
        out, _ = add.communicate(timeout=PATIENCE)
        if ending == signal.SIGKILL:
            assert (add.returncode, out) == (-9, b"")
        else:
            assert add.returncode == 1 and ending.name in json.loads(out)["msg"]
        node.call("DEL", CONF, pod, extra=ONLY).silent()
        assert node.traces(pod) == before
        lock.release()


def test_a_child_that_is_killed(node: Node) -> None:
    """One error and no second try; DEL takes away what there is."""
    pod = node.pod()
    before = node.traces(pod)
    lock = Held(node)
    with agent(node) as there:
        add = started(node, pod)
        os.kill(lock.awaited(there), signal.SIGKILL)
        out, _ = add.communicate(timeout=PATIENCE)
        assert add.returncode == 1 and "was killed" in json.loads(out)["msg"]
        lock.release()
        node.call("DEL", CONF, pod, extra=ONLY).silent()
        assert node.traces(pod) == before


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
