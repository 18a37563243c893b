"""Files both ways: what the original left is deleted by ours, and it can read what ours wrote."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from meta.multus import sandbox
from tests.unit.meta.cluster.node import CBR0, pod_path
from tests.unit.meta.harness import RESULT, b64

if TYPE_CHECKING:
    from tests.kubelet.server import Kubelet
    from tests.unit.meta.cluster.node import ClusterNode, Json

VF = "0000:03:02.0"
RESOURCE = "intel.com/vf"

# The Go types that the original unmarshals its record into: a value of another type is an error,
# a key that is not there is none, others are ignored.
IPAM = {"type": str}
DNS = {"nameservers": [str], "domain": str, "search": [str], "options": [str]}
CONF = {
    "cniVersion": str, "name": str, "type": str, "capabilities": {"*": bool}, "ipam": IPAM,
    "dns": DNS, "prevResult": {"*": object},
}  # fmt: skip
CONF_LIST = {
    "cniVersion": str, "cniVersions": [str], "name": str, "disableCheck": bool,
    "disableGC": bool, "plugins": [CONF],
}  # fmt: skip
PORT = {"hostPort": int, "containerPort": int, "protocol": str, "hostIP": str}
LIMITS = dict.fromkeys(("ingressRate", "ingressBurst", "egressRate", "egressBurst"), int)
SCRATCH = [
    {
        "Conf": CONF, "ConfList": CONF_LIST, "Name": str, "ifnameRequest": str, "macRequest": str,
        "infinibandGUIDRequest": str, "ipRequest": [str], "default-route": ["ip"],
        "portMappingsRequest": [PORT], "bandwidthRequest": LIMITS, "IsFilterV4Gateway": bool,
        "IsFilterV6Gateway": bool, "deviceID": str, "resourceName": str, "Bytes": "base64",
    }
]  # fmt: skip
CACHE = {
    "kind": str, "containerId": str, "config": "base64", "ifName": str, "networkName": str,
    "netns": str, "cniArgs": [[str]], "capabilityArgs": {"*": object}, "result": {"*": object},
}  # fmt: skip


def read_as_go(value: Any, kind: Any, where: str = "$") -> None:
    """Fail where encoding/json would, for a value of these types; null is nothing of any type."""
    if value is None or kind is object:
        return
    if kind == "base64":
        base64.b64decode(value, validate=True)
    elif kind == "ip":
        import ipaddress

        ipaddress.ip_address(value)
    elif isinstance(kind, list):
        assert isinstance(value, list), where
        for index, each in enumerate(value):
            read_as_go(each, kind[0], f"{where}[{index}]")
    elif isinstance(kind, dict):
        assert isinstance(value, dict), where
        folded = {key.lower(): inner for key, inner in kind.items()}
        for key, each in value.items():
            read_as_go(each, folded.get(key.lower(), kind.get("*", object)), f"{where}.{key}")
    else:
        assert type(value) is kind, f"{where}: {value!r} is no {kind.__name__}"


@pytest.fixture
def devinfo(node: ClusterNode, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The directory of device-info files, for every call of the node."""
    directory = node.root / "devinfo"
    environ = node.environ
    given = {"PLAIT_DEVINFO_DIR": str(directory)}
    monkeypatch.setattr(node, "environ", lambda command, **env: environ(command, **given, **env))
    (directory / "dp").mkdir(parents=True)
    (directory / "cni").mkdir()
    return directory


def test_ours_as_the_original_reads_it(
    node: ClusterNode, kubelet: Kubelet, devinfo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that a pod can ask for is in it."""
    monkeypatch.setattr(sandbox, "move_default_routes", lambda netns, targets: None)
    kubelet.give("default", "p1", "u1", {RESOURCE: [VF]})
    capable = dict.fromkeys(("ips", "mac", "bandwidth", "portMappings", "deviceID"), True)
    plugins = [{"type": "fake", "capabilities": capable, "ipam": {"type": "x"}}, {"type": "fake"}]
    node.nad("list", {"cniVersion": "1.0.0", "plugins": plugins}, resource=RESOURCE)
    wish = {
        "name": "list", "interface": "x0", "mac": "c2:11:22:33:44:66", "ips": ["10.0.0.2"],
        "infiniband-guid": "24:8a:07:03:00:8d:ae:2e", "default-route": ["10.1.2.1", "fd00::1"],
        "bandwidth": {"ingressRate": 1}, "portMappings": [{"hostPort": 1, "containerPort": 2}],
        "cni-args": {"a": {"b": [1]}},
    }  # fmt: skip
    assert (
        node.add([wish, {"name": "n1"}], node.conf(kubeletDir=str(kubelet.directory))).status == 0
    )
    record = node.scratch()
    read_as_go(record, SCRATCH)
    names = ("cbr0-cid1-eth0", "list-cid1-x0", "n1-cid1-net2")
    for name in names:
        entry = node.cached(name)
        read_as_go(entry, CACHE)
        assert all(len(pair) == 2 for pair in entry["cniArgs"])
        assert name == f"{entry['networkName']}-{entry['containerId']}-{entry['ifName']}"
    assert [each["Name"] for each in record] == ["cbr0", "default/list", "default/n1"]
    assert (record[1]["deviceID"], record[1]["resourceName"]) == (VF, RESOURCE)
    assert record[1]["default-route"] == ["10.1.2.1", "fd00::1"]
    # a list is one by its summary, and its bytes are what was run
    assert [len(each["ConfList"].get("plugins", [])) for each in record] == [0, 2, 0]
    told = json.loads(base64.b64decode(record[1]["Bytes"]))
    assert [each["deviceID"] for each in told["plugins"]] == [VF, VF]
    assert [each["args"]["cni"] for each in told["plugins"]] == [{"a": {"b": [1]}}] * 2
    # what the original takes for the interface: what was asked for, else the place in the list
    assert [each.get("ifnameRequest", "") for each in record] == ["", "x0", ""]


def element(conf: Json, name: str, **more: Any) -> Json:
    """An element of the original's record."""
    is_list = "plugins" in conf
    summary = {key: conf[key] for key in ("cniVersion", "name", "type") if key in conf}
    plugins = [{"type": each["type"], "ipam": {}, "dns": {}} for each in conf.get("plugins", ())]
    return {
        "Conf": {"ipam": {}, "dns": {}, **({} if is_list else summary)},
        "ConfList": {**summary, "plugins": plugins} if is_list else {},
        "Name": name,
        "IsFilterV4Gateway": False,
        "IsFilterV6Gateway": False,
        "Bytes": b64(conf),
        **more,
    }


def left_by_the_original(node: ClusterNode, devinfo: Any) -> None:
    """A pod with cbr0, default/n1 and default/vf@x0, which is a list on a device."""
    plugins = [{"type": kind, "deviceID": VF, "pciBusID": VF} for kind in ("vf", "tuning2")]
    listed = {"cniVersion": "0.4.0", "name": "vf", "plugins": plugins}
    single = {"cniVersion": "1.0.0", "name": "n1", "type": "fake"}
    node.plugin("vf", "tuning2")
    results = node.cni_dir / "results"
    results.mkdir(parents=True)
    record = [
        element(CBR0, "cbr0", IsFilterV4Gateway=True, IsFilterV6Gateway=True),
        element(single, "default/n1", **{"default-route": ["10.9.0.1"]}, IsFilterV6Gateway=True),
        element(listed, "default/vf", ifnameRequest="x0", deviceID=VF, resourceName=RESOURCE),
    ]
    read_as_go(record, SCRATCH)
    (node.cni_dir / "cid1").write_text(json.dumps(record))
    args = [["IgnoreUnknown", "true"], ["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", "p1"]]
    info = str(devinfo / "cni" / "default-vf-cid1_x0")
    for conf, ifname in ((CBR0, "eth0"), (single, "net1"), (listed, "x0")):
        wanted = {"deviceID": VF, "CNIDeviceInfoFile": info} if ifname == "x0" else {}
        entry: Json = {
            "kind": "cniCacheV1",
            "containerId": "cid1",
            "config": b64(conf),
            "ifName": ifname,
            "networkName": conf["name"],
            "netns": str(node.netns),
            "cniArgs": [*args, *args],
            "capabilityArgs": wanted,
            "result": {**RESULT, "cniVersion": conf["cniVersion"]},
        }
        read_as_go(entry, CACHE)
        (results / f"{conf['name']}-cid1-{ifname}").write_text(json.dumps(entry))
    (devinfo / "cni" / "default-vf-cid1_x0").write_text("{}")


GONE = ["DEL x0 vf", "DEL x0 vf", "DEL net1 n1", "DEL eth0 cbr0"]


def test_the_original_s_pod_is_deleted_by_ours(node: ClusterNode, devinfo: Any) -> None:
    left_by_the_original(node, devinfo)
    assert node.call("DEL").status == 0
    assert [node.stdin(index)["type"] for index in range(4)] == ["tuning2", "vf", "fake", "fake"]
    assert node.stdin(0)["deviceID"] == VF
    assert [node.stdin(index)["prevResult"]["cniVersion"] for index in (0, 2)] == ["0.4.0", "1.0.0"]
    assert node.ran() == GONE
    assert node.files() == []
    assert list(devinfo.glob("cni/*")) == []
    assert node.api.requests == []


@pytest.mark.parametrize("torn", [None, "", "[{"])
def test_the_original_s_pod_without_a_whole_record(
    node: ClusterNode, devinfo: Any, torn: str | None
) -> None:
    """From libcni's cache; the original would leak it all."""
    left_by_the_original(node, devinfo)
    if torn is None:
        (node.cni_dir / "cid1").unlink()
    else:
        (node.cni_dir / "cid1").write_text(torn)
    assert node.call("DEL").status == 0
    assert sorted(node.ran()) == sorted(GONE)
    assert node.files() == []


def test_the_device_info_file_that_only_the_cache_knows(node: ClusterNode, devinfo: Any) -> None:
    left_by_the_original(node, devinfo)
    (node.cni_dir / "cid1").write_text("[{")
    assert node.call("DEL").status == 0
    assert list(devinfo.glob("cni/*")) == []


def test_the_original_s_pod_is_checked_and_collected_by_ours(
    node: ClusterNode, devinfo: Any
) -> None:
    left_by_the_original(node, devinfo)
    assert node.call("CHECK").status == 0
    assert node.ran() == ["CHECK eth0 cbr0", "CHECK net1 n1", "CHECK x0 vf", "CHECK x0 vf"]
    conf = node.conf(**{"cni.dev/valid-attachments": []})
    assert node.call("GC", conf, CNI_ARGS="").status == 0
    assert [each for each in node.ran() if each.startswith("DEL")] == GONE
    assert node.files() == []
    assert list(devinfo.glob("cni/*")) == []


def test_an_add_over_the_original_s_live_pod_is_refused(node: ClusterNode, devinfo: Any) -> None:
    left_by_the_original(node, devinfo)
    before = node.files()
    reply = node.add("n1")
    assert reply.code == 7
    assert "is already attached (eth0, net1, x0)" in reply.msg
    assert (node.ran(), node.files()) == ([], before)
    assert node.asked() == [f"GET {pod_path()}", *node.asked()[1:]]
