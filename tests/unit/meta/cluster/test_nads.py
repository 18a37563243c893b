"""Vectors 22 to 28, 32 to 34: from a NAD's text, or a file, to what the delegate is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.meta.cluster.node import nad_path, pod_args, pod_path

if TYPE_CHECKING:
    from tests.unit.meta.cluster.node import ClusterNode

SPEC = "GetCNIConfig: err in getCNIConfigFromSpec: failed to unmarshal Spec.Config: "


@pytest.mark.parametrize(
    "config",
    [
        pytest.param('{"type":"fake"}', id="v22-no-name"),
        pytest.param('{"type":"fake","name":""}', id="v22-empty-name"),
        pytest.param('{"TYPE":"fake","cniversion":"1.0.0"}', id="v22-any-case"),
    ],
)
def test_v22_the_name_is_the_nad_s(node: ClusterNode, config: str) -> None:
    node.nad("m1", config)
    assert node.add("m1").status == 0
    assert node.stdin(1)["name"] == "m1"
    assert node.stdin(1)["type"] == "fake"


def test_v23_a_name_of_its_own(node: ClusterNode) -> None:
    node.nad("m1", {"type": "fake", "name": "diff", "cniVersion": "1.0.0"})
    assert node.add("m1").status == 0
    assert node.stdin(1)["name"] == "diff"
    assert [each["name"] for each in node.status()] == ["cbr0", "default/m1"]
    assert node.cached("diff-cid1-net1")["networkName"] == "diff"
    assert node.scratch()[1]["Name"] == "default/m1"


@pytest.mark.parametrize(
    ("config", "msg"),
    [
        pytest.param("not json", SPEC, id="v24-text"),
        pytest.param("[]", f"{SPEC}an object is expected, got list", id="v24-list"),
        pytest.param("{}", "delegate must have the 'type' or 'plugin' field", id="v24-empty"),
        pytest.param('{"plugins":[]}', '"plugins" is an empty list', id="v25"),
        pytest.param(
            '{"plugins":[{}]}', "a plugin delegate must have the 'type' field", id="v25-b"
        ),
        pytest.param('{"type":"multus"}', "cannot delegate to itself", id="itself"),
        pytest.param('{"type":"../fake"}', "invalid plugin name", id="path"),
        pytest.param('{"type":"fake","name":"a/b"}', "invalid characters", id="slash"),
    ],
)
def test_a_config_that_cannot_be_used(node: ClusterNode, config: str, msg: str) -> None:
    node.nad("m1", config)
    reply = node.add("n1,m1,n2")
    assert reply.status == 1
    assert "network default/m1" in reply.msg
    assert msg in reply.msg
    node.nothing_happened()


def files(node: ClusterNode, texts: dict[str, Any]) -> None:
    """Files of confDir."""
    for name, text in texts.items():
        (node.conf_dir / name).write_text(text if isinstance(text, str) else json.dumps(text))


def fake(name: str, **keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": name, "type": "fake", **keys}


def test_v26_the_first_file_in_alphabetical_order(node: ClusterNode) -> None:
    node.nad("m1", "")
    listed = {"cniVersion": "1.0.0", "name": "m1", "plugins": [{"type": "fake", "which": 2}]}
    files(node, {"10-x.conf": fake("m1", which=1), "20-x.conflist": listed})
    assert node.add("m1").status == 0
    assert node.stdin(1)["which"] == 1
    assert node.told()[1] == "default/m1 eth0"


def test_v26_a_nad_without_a_spec(node: ClusterNode) -> None:
    node.api.put_object(nad_path("m1"), {"metadata": {}})
    files(node, {"10-x.conf": fake("m1")})
    assert node.add("m1").status == 0
    assert node.ran() == ["ADD eth0 cbr0", "ADD net1 m1"]


def test_v27_a_broken_file_is_passed_over(node: ClusterNode, capfd: Any) -> None:
    """The original fails for any file that is broken and comes before."""
    node.nad("m1", "")
    files(node, {"00-b.conf": "{broken", "10-x.conf": fake("m1")})
    assert node.add("m1").status == 0
    assert "00-b.conf" in capfd.readouterr().err


def test_v28_the_broken_file_is_named_when_the_network_is_not_found(node: ClusterNode) -> None:
    node.nad("net1", "")
    node.nad("net2", "")
    files(node, {"10-net1.conf": fake("net1"), "20-net2.conf": "asdf asdf"})
    reply = node.add("net1,net2")
    assert reply.code == 7
    assert "network default/net2: no network available in the name net2 in cni dir" in reply.msg
    assert "20-net2.conf" in str(reply.out["details"])
    node.nothing_happened()


def test_no_file_at_all(node: ClusterNode) -> None:
    node.nad("m1", "")
    assert f"No networks found in {node.conf_dir}" in node.add("m1").msg
    node.nothing_happened()


def test_v32_cni_args(node: ClusterNode) -> None:
    args = {"cni": {"args0": "val0", "args1": "val1"}, "other": 1}
    plugins = [{"type": "fake", "args": args}, {"type": "fake"}]
    node.nad("single", {"type": "fake", "args": args})
    node.nad("list", {"cniVersion": "1.0.0", "plugins": plugins})
    extra = {"cni-args": {"args1": "val1a"}}
    assert node.add([{"name": "single", **extra}, {"name": "list", **extra}]).status == 0
    both = {"cni": {"args0": "val0", "args1": "val1a"}, "other": 1}
    assert [node.stdin(index).get("args") for index in range(4)] == [
        None, both, both, {"cni": {"args1": "val1a"}},
    ]  # fmt: skip


POD = "IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p1;K8S_POD_INFRA_CONTAINER_ID=cid1"


def test_v33_a_value_with_an_equals_sign(node: ClusterNode) -> None:
    """The original's ADD refuses it before it comes to the delegates."""
    node.pod("n1")
    assert node.call("ADD", CNI_ARGS=f"{pod_args()};BLAHBLAH=foo=bar").status == 0
    for index in range(2):
        assert node.env(index)["CNI_ARGS"] == f"{POD};K8S_POD_UID=u1;BLAHBLAH=foo=bar"


WISHES = {
    "mac": "c2:11:22:33:44:66",
    "ips": ["10.2.2.42/24"],
    "bandwidth": {"ingressRate": 2048},
    "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
}


def test_v34_wishes_of_a_plugin_that_takes_them_and_of_one_that_does_not(node: ClusterNode) -> None:
    node.nad("deaf", capabilities=dict.fromkeys(WISHES, False))
    node.nad("keen", capabilities=dict.fromkeys(WISHES, True))
    conf = node.conf(runtimeConfig={"portMappings": [{"hostPort": 1, "containerPort": 2}]})
    assert node.add([{"name": "keen", **WISHES}, {"name": "deaf", **WISHES}], conf).status == 0
    limits = {"ingressRate": 2048, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0}
    assert node.stdin(1)["runtimeConfig"] == {**WISHES, "bandwidth": limits}
    assert "runtimeConfig" not in node.stdin(2)
    for index in (1, 2):
        asked = "MAC=c2:11:22:33:44:66;IP=10.2.2.42/24"
        assert node.env(index)["CNI_ARGS"] == f"{POD};K8S_POD_UID=u1;{asked}"
    node.ran()
    assert node.call("DEL").status == 0
    assert node.env(0)["CNI_ARGS"] == f"{POD};K8S_POD_UID=u1"
    assert node.stdin(1)["runtimeConfig"] == {**WISHES, "bandwidth": limits}


def test_the_runtime_s_wishes_are_the_default_network_s_alone(node: ClusterNode) -> None:
    """NPWG 7.5; the original passes them on to every network."""
    capable = {"portMappings": True}
    node.nad("keen", capabilities=capable)
    conf = node.conf(
        fake("cbr0", capabilities=capable), runtimeConfig={"portMappings": [{"hostPort": 1}]}
    )
    assert node.add("keen", conf).status == 0
    assert node.stdin(0)["runtimeConfig"] == {"portMappings": [{"hostPort": 1}]}
    assert "runtimeConfig" not in node.stdin(1)


@pytest.mark.parametrize("mode", ["warn", "fail"])
@pytest.mark.parametrize("wish", [*WISHES, "infiniband-guid"])
def test_unmet_requests(node: ClusterNode, mode: str, wish: str, capfd: Any) -> None:
    value = {**WISHES, "infiniband-guid": "24:8a:07:03:00:8d:ae:2e"}[wish]
    reply = node.add([{"name": "n1", wish: value}], node.conf(unmetRequests=mode))
    capability = wish.replace("infiniband-guid", "infinibandGUID")
    unheard = f"{capability}: no plugin of the network declares the capability"
    if mode == "warn":
        assert reply.status == 0
        assert unheard in capfd.readouterr().err
    else:
        assert reply.code == 7
        assert reply.msg == f'network "default/n1": {unheard}'
        node.nothing_happened()


@pytest.mark.parametrize("mode", ["warn", "fail"])
def test_an_address_that_the_network_did_not_give(node: ClusterNode, mode: str) -> None:
    node.nad("keen", capabilities={"ips": True})
    conf = node.conf(unmetRequests=mode)
    reply = node.add([{"name": "n1"}, {"name": "keen", "ips": ["10.9.9.9/24"]}], conf)
    if mode == "warn":
        assert reply.status == 0
        return
    assert reply.code == 7
    assert 'network "default/keen": ips: asked for 10.9.9.9/24, has 10.0.0.2' in reply.msg
    assert node.ran()[3:] == ["DEL net2 keen", "DEL net1 n1", "DEL eth0 cbr0"]
    node.nothing_left()


def test_one_pod_get_and_one_for_each_nad(node: ClusterNode) -> None:
    """2 + the number of NADs: of a NAD that is asked for twice one."""
    assert node.add("n1,n2,n1").status == 0
    pod = f"GET {pod_path()}"
    nads = [f"GET {nad_path(name)}" for name in ("n1", "n2")]
    asked = node.asked()
    assert (asked[0], sorted(asked[1:3]), asked[3:]) == (pod, nads, [f"PATCH {pod_path()}/status"])


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
@pytest.mark.parametrize("where", ["annotation", "config"])
def test_numbers_that_json_does_not_have(node: ClusterNode, where: str, number: str) -> None:
    """Go refuses them, and no plugin of Go could read them."""
    if where == "config":
        node.nad("m1", f'{{"type": "fake", "x": {number}}}')
        reply = node.add("m1")
    else:
        reply = node.add(f'[{{"name": "n1", "cni-args": {{"x": {number}}}}}]')
    assert reply.code in (6, 7)
    node.nothing_happened()


@pytest.mark.parametrize(
    "keys",
    ['"cniVersion": null, "name": null', '"ipam": null', '"dns": null, "capabilities": null'],
)
def test_null_is_nothing(node: ClusterNode, keys: str) -> None:
    """As for Go, in a NAD and in an annotation."""
    node.nad("m1", f'{{"type": "fake", {keys}}}')
    wishes = ("interface", "ips", "mac", "cni-args", "default-route", "bandwidth", "namespace")
    assert node.add([{"name": "m1", **dict.fromkeys(wishes)}]).status == 0
    assert node.ran() == ["ADD eth0 cbr0", "ADD net1 m1"]
