"""ADD: what delegates are told, what is remembered, what the runtime gets."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from cni.core import log
from meta.multus import sandbox
from tests.unit.meta.harness import RESULT

if TYPE_CHECKING:
    import pytest

    from tests.unit.meta.harness import Node

K8S = (
    "IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID=cid1;K8S_POD_NAME=p1;K8S_POD_UID=u1;"
    "K8S_POD_NAMESPACE=default"
)
K8S_PASSED_ON = (
    "IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p1;"
    "K8S_POD_INFRA_CONTAINER_ID=cid1;K8S_POD_UID=u1"
)


def test_the_master_s_result_is_the_answer_in_the_caller_s_version(node: Node) -> None:
    node.plugin("fake")
    conf = node.conf({"cniVersion": "0.4.0", "name": "cbr0", "type": "fake"}, cniVersion="0.3.1")
    reply = node.call("ADD", conf)
    assert reply == (
        0,
        {
            "cniVersion": "0.3.1",
            "interfaces": RESULT["interfaces"],
            "ips": [{"version": "4", **RESULT["ips"][0]}],  # type: ignore[dict-item]
            "routes": RESULT["routes"],
            "dns": {},
        },
    )


def test_what_a_single_delegate_is_told(node: Node) -> None:
    node.plugin("fake")
    node.call("ADD", node.conf({"name": "cbr0", "type": "fake", "mtu": 9000}), CNI_ARGS=K8S)
    assert node.calls() == ["ADD fake eth0"]
    # an absent version is the meta plugin's own
    assert node.stdin(0) == {"cniVersion": "1.1.0", "name": "cbr0", "type": "fake", "mtu": 9000}
    assert node.env(0) == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "cid1",
        "CNI_NETNS": str(node.netns),
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": K8S_PASSED_ON,
        "CNI_PATH": f"{node.bin}:/nowhere",
    }


def test_interface_names_follow_the_place_in_the_list(node: Node) -> None:
    node.plugin("fake")
    (node.conf_dir / "n.conf").write_text('{"name":"n1","type":"fake"}')
    conf = node.conf(
        {"name": "a", "type": "fake"},
        {"name": "b", "type": "fake"},
        attachments=[{"name": "n1", "interface": "x0"}, {"name": "n1"}],
    )
    assert node.call("ADD", conf).status == 0
    assert node.calls() == ["ADD fake eth0", "ADD fake net1", "ADD fake x0", "ADD fake net3"]


def test_the_classic_chain_of_two_in_0_3_1(node: Node) -> None:
    """multus 0.3.1 with flannel and portmap, as the original's quick start has it."""
    first = {
        "cniVersion": "0.3.1",
        "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/ns"}],
        "ips": [{"version": "4", "interface": 1, "address": "10.244.0.5/24"}],
        "routes": [{"dst": "10.244.0.0/16", "gw": "10.244.0.1"}],
        "dns": {},
    }
    second: dict[str, Any] = {**first, "dns": {"nameservers": ["10.96.0.10"]}}
    node.plugin("flannel", result=first)
    node.plugin("portmap", result=second)
    conf = node.conf(
        {
            "name": "cbr0",
            "plugins": [
                {"type": "flannel", "delegate": {"hairpinMode": True}},
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        },
        cniVersion="0.3.1",
        runtimeConfig={"portMappings": [{"HostPort": 8080, "ContainerPort": 80}], "dns": {}},
    )
    assert node.call("ADD", conf) == (0, second)
    assert node.calls() == ["ADD flannel eth0", "ADD portmap eth0"]
    assert node.stdin(0) == {
        "cniVersion": "0.3.1",
        "name": "cbr0",
        "type": "flannel",
        "delegate": {"hairpinMode": True},
    }
    assert node.stdin(1) == {
        "cniVersion": "0.3.1",
        "name": "cbr0",
        "type": "portmap",
        "capabilities": {"portMappings": True},
        "prevResult": first,
        "runtimeConfig": {"portMappings": [{"HostPort": 8080, "ContainerPort": 80}]},
    }
    assert node.cached("cbr0-cid1-eth0")["result"] == second
    # before 0.4.0 a DEL has no previous result; the chain runs backward
    assert node.call("DEL", conf) == (0, {})
    assert node.calls() == ["DEL portmap eth0", "DEL flannel eth0"]
    assert "prevResult" not in node.stdin(0)
    assert node.files() == []


def test_only_the_master_gets_what_the_runtime_asks(node: Node) -> None:
    node.plugin("fake")
    fake = {"type": "fake", "capabilities": {"portMappings": True, "mac": True, "ips": False}}
    conf = node.conf(
        {"name": "a", **fake},
        {"name": "b", **fake},
        runtimeConfig={"portMappings": [{"hostPort": 1}], "ips": ["10.0.0.9"], "aliases": ["x"]},
    )
    args = f"{K8S};IP=10.90.0.77;MAC=02:00:00:00:00:77;FOO=a=b"
    assert node.call("ADD", conf, CNI_ARGS=args).status == 0
    assert node.stdin(0)["runtimeConfig"] == {"portMappings": [{"hostPort": 1}]}
    assert "runtimeConfig" not in node.stdin(1)
    assert node.env(0)["CNI_ARGS"] == (
        f"{K8S_PASSED_ON};IP=10.90.0.77;MAC=02:00:00:00:00:77;FOO=a=b"
    )
    assert node.env(1)["CNI_ARGS"] == f"{K8S_PASSED_ON};FOO=a=b"


def test_an_attachment_s_wishes(node: Node) -> None:
    node.plugin("fake")
    (node.conf_dir / "n1.conflist").write_text(
        json.dumps(
            {
                "name": "n1",
                "cniVersion": "1.0.0",
                "plugins": [
                    {
                        "type": "fake",
                        "args": {"cni": {"args0": "val0", "args1": "val1"}, "other": 1},
                        "capabilities": {"mac": True, "portMappings": True, "bandwidth": True},
                    },
                    {"type": "fake", "capabilities": {"ips": True, "mac": True}},
                ],
            }
        )
    )
    element = {
        "name": "n1",
        "ips": ["10.2.0.5/24", "fd00::5"],
        "mac": "c2:11:22:33:44:66",
        "portMappings": [{"hostPort": 8080, "containerPort": 80}],
        "bandwidth": {"egressRate": 5},
        "cni-args": {"args1": "val1a"},
    }
    conf = node.conf({"name": "cbr0", "type": "fake"}, attachments=[element])
    assert node.call("ADD", conf, CNI_ARGS=K8S).status == 0
    assert node.calls() == ["ADD fake eth0", "ADD fake net1", "ADD fake net1"]
    first, second = node.stdin(1), node.stdin(2)
    assert first["args"] == {"cni": {"args0": "val0", "args1": "val1a"}, "other": 1}
    assert second["args"] == {"cni": {"args1": "val1a"}}
    assert first["runtimeConfig"] == {
        "mac": "c2:11:22:33:44:66",
        "portMappings": [{"hostPort": 8080, "containerPort": 80}],
        "bandwidth": {"ingressRate": 0, "ingressBurst": 0, "egressRate": 5, "egressBurst": 0},
    }
    assert second["runtimeConfig"] == {
        "ips": ["10.2.0.5/24", "fd00::5"],
        "mac": "c2:11:22:33:44:66",
    }
    wishes = ";MAC=c2:11:22:33:44:66;IP=10.2.0.5/24,fd00::5"
    assert node.env(2)["CNI_ARGS"] == K8S_PASSED_ON + wishes
    assert node.call("DEL", conf, CNI_ARGS=K8S).status == 0
    assert node.calls()[0] == "DEL fake net1"
    assert node.env(0)["CNI_ARGS"] == K8S_PASSED_ON  # wishes are for the ADD
    assert node.stdin(0)["runtimeConfig"] == second["runtimeConfig"]


def test_a_wish_that_no_plugin_declares_is_logged(node: Node, capfd: Any) -> None:
    node.plugin("fake")
    (node.conf_dir / "n1.conf").write_text('{"name":"n1","type":"fake"}')
    conf = node.conf(
        {"name": "a", "type": "fake"}, attachments=[{"name": "n1", "ips": ["10.0.0.1"]}]
    )
    assert node.call("ADD", conf).status == 0
    assert 'reason="ips: no plugin' in capfd.readouterr().err


def test_the_record_is_what_the_original_writes(node: Node) -> None:
    node.plugin("fake", "bridge2")
    (node.conf_dir / "n1.conf").write_text('{"name":"n1","type":"fake","cniVersion":"1.0.0"}')
    single = {
        "cniVersion": "0.3.1",
        "name": "cbr0",
        "type": "fake",
        "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"},
        "capabilities": {"mac": True},
    }
    conflist = {"cniVersion": "1.0.0", "name": "list", "plugins": [{"type": "bridge2", "mtu": 9}]}
    element = {
        "name": "n1",
        "interface": "x0",
        "mac": "c2:11:22:33:44:66",
        "ips": ["10.1.0.2"],
        "infiniband-guid": "24:8a:07:03:00:8d:ae:2e",
        "deviceID": "0000:03:02.0",
        "default-route": [],
    }
    assert node.call("ADD", node.conf(single, conflist, attachments=[element])).status == 0
    path = node.cni_dir / "cid1"
    assert path.stat().st_mode & 0o777 == 0o600
    assert node.cni_dir.stat().st_mode & 0o777 == 0o700
    assert not path.read_bytes().endswith(b"\n")
    first, second, third = node.scratch()
    assert {key: value for key, value in first.items() if key not in ("plait", "Bytes")} == {
        "Conf": {
            "cniVersion": "0.3.1",
            "name": "cbr0",
            "type": "fake",
            "ipam": {"type": "host-local"},
            "capabilities": {"mac": True},
        },
        "ConfList": {},
        "Name": "cbr0",
        "IsFilterV4Gateway": True,
        "IsFilterV6Gateway": True,
    }
    assert json.loads(base64.b64decode(first["Bytes"])) == single
    assert second["Conf"] == {"cniVersion": "1.0.0", "name": "list", "ipam": {}}
    assert second["ConfList"] == {
        "cniVersion": "1.0.0",
        "name": "list",
        "plugins": [{"type": "bridge2", "ipam": {}}],
    }
    assert json.loads(base64.b64decode(second["Bytes"])) == conflist
    assert third["ifnameRequest"] == "x0"
    assert third["macRequest"] == "c2:11:22:33:44:66"
    assert third["infinibandGUIDRequest"] == "24:8a:07:03:00:8d:ae:2e"
    assert third["ipRequest"] == ["10.1.0.2"]
    assert third["deviceID"] == "0000:03:02.0"
    assert third["default-route"] == []
    assert third["plait"] == {
        "network": "node-net",
        "parent": "eth0",
        "netns": str(node.netns),
        "netnsId": sandbox.identity(str(node.netns)),
        "ifname": "x0",
        "cniArgs": [["IgnoreUnknown", "true"]],
        "runtimeConfig": {
            "ips": ["10.1.0.2"],
            "mac": "c2:11:22:33:44:66",
            "infinibandGUID": "24:8a:07:03:00:8d:ae:2e",
            "deviceID": "0000:03:02.0",
        },
    }


def test_libcni_s_cache(node: Node) -> None:
    node.plugin("fake")
    master = {"cniVersion": "0.4.0", "name": "cbr0", "type": "fake", "capabilities": {"mac": True}}
    conf = node.conf(master, runtimeConfig={"mac": "02:00:00:00:00:01"})
    assert node.call("ADD", conf, CNI_ARGS=K8S).status == 0
    path = node.cni_dir / "results" / "cbr0-cid1-eth0"
    assert path.stat().st_mode & 0o777 == 0o600
    entry = node.cached("cbr0-cid1-eth0")
    assert json.loads(base64.b64decode(entry.pop("config"))) == master
    assert entry.pop("plait") == {"network": "node-net", "parent": "eth0", "position": 0}
    assert entry == {
        "kind": "cniCacheV1",
        "containerId": "cid1",
        "ifName": "eth0",
        "networkName": "cbr0",
        "netns": str(node.netns),
        "cniArgs": [
            ["IgnoreUnknown", "true"],
            ["K8S_POD_NAMESPACE", "default"],
            ["K8S_POD_NAME", "p1"],
            ["K8S_POD_INFRA_CONTAINER_ID", "cid1"],
            ["K8S_POD_UID", "u1"],
        ],
        "capabilityArgs": {"mac": "02:00:00:00:00:01"},
        "result": {
            "cniVersion": "0.4.0",
            "interfaces": RESULT["interfaces"],
            "ips": [{"version": "4", **RESULT["ips"][0]}],  # type: ignore[dict-item]
            "routes": RESULT["routes"],
            "dns": {},
        },
    }


def test_the_record_is_there_before_the_first_delegate_runs(node: Node) -> None:
    node.plugin("fake")
    node.on("fake", "ADD", f'cp "{node.cni_dir}/cid1" "$LAB/seen"')
    assert node.call("ADD", node.conf({"name": "a", "type": "fake"})).status == 0
    assert (node.lab / "seen").read_text() == (node.cni_dir / "cid1").read_text()
    assert node.files() == ["cid1", "results/a-cid1-eth0"]  # no lock, no progress


def test_cluster_network_and_default_networks_are_names_in_conf_dir(node: Node) -> None:
    node.plugin("fake")
    for name in ("cl", "d1"):
        (node.conf_dir / f"{name}.conf").write_text(json.dumps({"name": name, "type": "fake"}))
    conf = node.conf(
        {"name": "ignored", "type": "fake"},
        clusterNetwork="cl",
        defaultNetworks=["d1"],
        attachments=[{"name": "d1"}],
    )
    assert node.call("ADD", conf).status == 0
    assert node.calls() == ["ADD fake eth0", "ADD fake net1", "ADD fake net2"]
    assert [node.stdin(i)["name"] for i in range(3)] == ["cl", "d1", "d1"]
    node.call("DEL", conf)
    node.calls()
    system = "IgnoreUnknown=1;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=p"
    assert node.call("ADD", conf, CNI_ARGS=system).status == 0
    assert [node.stdin(i)["name"] for i in range(len(node.calls()))] == ["cl", "d1"]


def test_a_result_that_the_caller_s_version_cannot_tell_is_undone(node: Node) -> None:
    node.plugin("fake", result={"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}]})
    conf = node.conf({"cniVersion": "1.0.0", "name": "a", "type": "fake"}, cniVersion="0.2.0")
    reply = node.call("ADD", conf)
    assert (reply.status, reply.code) == (1, 1)
    assert node.calls() == ["ADD fake eth0", "DEL fake eth0"]
    assert node.files() == []


def test_big_numbers_and_unknown_keys_pass_unharmed(node: Node) -> None:
    node.plugin("fake")
    odd = {"name": "a", "type": "fake", "big": 2**63 + 1, "f": 0.1, "n": None, "Ü": "\u2028<&>"}
    assert node.call("ADD", node.conf(odd)).status == 0
    assert node.stdin(0) == {**odd, "cniVersion": "1.1.0"}
    assert json.loads(base64.b64decode(node.scratch()[0]["Bytes"])) == node.stdin(0)


def test_log_file_and_level(node: Node) -> None:
    node.plugin("fake")
    log = node.root / "multus.log"
    conf = node.conf({"name": "a", "type": "fake"}, logFile=str(log), logLevel="warning")
    conf["defaultNetworks"] = ["x"]
    assert node.call("ADD", conf).status == 0
    assert "clusterNetwork" in log.read_text()


def test_log_to_stderr_can_be_turned_off(
    node: Node, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "_file", "")
    node.plugin("fake")
    file = node.root / "log"
    conf = node.conf({"name": "n1", "type": "fake"}, defaultNetworks=["x"], logFile=str(file))
    assert node.call("ADD", {**conf, "logToStderr": False}).status == 0
    assert capfd.readouterr().err == ""
    assert "defaultNetworks" in file.read_text()
    assert node.call("DEL", conf).status == 0
