"""DEL of what others have written: the original, the runtime, somebody hostile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.meta.harness import RESULT, b64
from tests.unit.meta.test_delete import BOTH, added

if TYPE_CHECKING:
    from tests.unit.meta.harness import Json, Node


def go_element(conf: Json, **more: object) -> Json:
    """As the original writes it, its lossy copies of the configuration included."""
    summary = {key: conf[key] for key in ("cniVersion", "name", "type") if key in conf}
    is_list = "plugins" in conf
    plugins = [{"type": each["type"], "ipam": {}} for each in conf.get("plugins", [])]
    return {
        "Conf": {**summary, "ipam": {}, "dns": {}},
        "ConfList": {**summary, "plugins": plugins} if is_list else {},
        "Name": f"default/{conf['name']}",
        "IsFilterV4Gateway": False,
        "IsFilterV6Gateway": False,
        "Bytes": b64(conf),
        **more,
    }


def go_cached(node: Node, conf: Json, ifname: str, **more: object) -> None:
    directory = node.cni_dir / "results"
    directory.mkdir(parents=True, exist_ok=True)
    entry = {
        "kind": "cniCacheV1",
        "containerId": "cid1",
        "config": b64(conf),
        "ifName": ifname,
        "networkName": conf["name"],
        "netns": str(node.netns),
        "cniArgs": [["IgnoreUnknown", "true"], ["K8S_POD_NAME", "p1"]],
        "result": {**RESULT, "cniVersion": conf.get("cniVersion", "")},
        **more,
    }
    (directory / f"{conf['name']}-cid1-{ifname}").write_text(json.dumps(entry))


def test_a_record_of_the_original(node: Node) -> None:
    node.plugin("pa", "pb", "pc")
    conflist = {
        "name": "l",
        "cniVersion": "1.0.0",
        "plugins": [{"type": "pa", "full": 1}, {"type": "pb"}],
    }
    single = {"name": "n1", "type": "pc", "cniVersion": "0.4.0"}
    node.cni_dir.mkdir(parents=True)
    (node.cni_dir / "cid1").write_text(
        json.dumps(
            [
                go_element(conflist),
                go_element(single),
                go_element(
                    single,
                    ifnameRequest="x0",
                    macRequest="c2:11:22:33:44:66",
                    ipRequest=["10.0.0.1"],
                ),
            ]
        )
    )
    go_cached(node, conflist, "eth0")
    go_cached(node, single, "net1", capabilityArgs={"mac": "c2:11:22:33:44:66"})
    args = "IgnoreUnknown=1;K8S_POD_NAME=p1"
    assert node.call("DEL", node.conf({"name": "x", "type": "pa"}), CNI_ARGS=args).status == 0
    assert node.calls() == ["DEL pc x0", "DEL pc net1", "DEL pb eth0", "DEL pa eth0"]
    assert "prevResult" not in node.stdin(0)
    assert node.stdin(1)["prevResult"]["cniVersion"] == "0.4.0"
    assert node.stdin(3)["full"] == 1
    assert node.stdin(3)["prevResult"] == RESULT
    assert node.env(0)["CNI_ARGS"] == "IgnoreUnknown=true;K8S_POD_NAME=p1"
    assert node.files() == []


def test_the_runtime_s_own_cache_in_the_same_directory_is_not_ours(node: Node) -> None:
    """With cniDir /var/lib/cni the runtime's entry for multus itself lies beside ours."""
    conf = added(node)
    go_cached(node, conf, "eth0")
    (node.cni_dir / "cid1").unlink()
    assert node.call("DEL", conf).status == 0
    assert node.calls() == BOTH
    assert node.files() == ["results/node-net-cid1-eth0"]


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "cniCacheV1", "containerId": "../../x"},
        {"ifName": "../../../victim"},
        {"networkName": "../victim"},
        {"config": b64({"name": "../../victim", "type": "pa"})},
        {"config": "?"},
        {"kind": "other"},
    ],
)
def test_a_hostile_cache_entry_is_left_alone(node: Node, entry: Json) -> None:
    conf = added(node)
    (node.cni_dir / "cid1").unlink()
    go_cached(node, {"name": "evil", "type": "pa"}, "net7", **entry)
    victim = node.root / "victim"
    victim.touch()
    assert node.call("DEL", conf).status == 0
    assert node.calls() == BOTH
    assert victim.exists()


@pytest.mark.parametrize(
    "own",
    [
        {"ifname": "../../victim"},
        {"ifname": 5, "cniArgs": "x", "runtimeConfig": [], "netns": 7, "parent": []},
        {"cniArgs": [["a"], [1, 2], "x"]},
        [],
        None,
    ],
)
def test_a_hostile_record(node: Node, own: object) -> None:
    conf = added(node)
    elements = node.scratch()
    elements[1] |= {"plait": own, "ipRequest": 5, "default-route": [1], "ifnameRequest": {}}
    (node.cni_dir / "cid1").write_text(json.dumps(elements))
    assert node.call("DEL", conf).status == 0
    assert node.calls() == BOTH
    assert node.files() == []


def test_a_record_that_is_a_directory_or_huge(node: Node) -> None:
    conf = added(node)
    path = node.cni_dir / "cid1"
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 30)
    assert node.call("DEL", conf).status == 0
    assert node.calls() == BOTH
    assert node.files() == []
