"""Everything that can be wrong in the input is said before anything is attached."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cni.core.errors import CniError
from meta.multus import network

if TYPE_CHECKING:
    from tests.unit.meta.harness import Node

OK = {"name": "a", "type": "fake"}


@pytest.mark.parametrize(
    ("keys", "code", "msg"),
    [
        ({}, 7, "at least one delegate/clusterNetwork must be specified"),
        ({"delegates": []}, 7, "at least one delegate/clusterNetwork must be specified"),
        ({"delegates": {}}, 7, '"delegates": invalid value {}'),
        ({"delegates": [None]}, 7, '"delegates.0": invalid value null'),
        ({"delegates": ["x"]}, 7, '"delegates.0": invalid value "x"'),
        ({"delegates": [{"type": "fake"}]}, 7, '"delegates.0": missing network name'),
        (
            {"delegates": [OK, {"name": "b"}]},
            7,
            "\"delegates.1\": delegate must have the 'type' or 'plugin' field",
        ),
        (
            {"delegates": [{"name": "b", "plugins": []}]},
            7,
            '"delegates.0": "plugins" is an empty list',
        ),
        (
            {"delegates": [{"name": "b", "plugins": {}}]},
            7,
            '"delegates.0": "plugins" must be a list',
        ),
        (
            {"delegates": [{"name": "b", "plugins": [{}]}]},
            7,
            '"delegates.0": "plugins.0.type": a plugin delegate must have the \'type\' field',
        ),
        (
            {"delegates": [{"name": "b", "plugins": [None]}]},
            7,
            '"delegates.0": "plugins.0" must be an object',
        ),
        (
            {"delegates": [{"name": "b", "type": "../sh"}]},
            7,
            '"delegates.0": "type": invalid plugin name: ../sh',
        ),
        ({"delegates": [{"name": "b", "type": 5}]}, 6, '"type" must be a str'),
        (
            {"delegates": [{"name": "b", "type": "multus"}]},
            7,
            '"delegates.0": "type": "multus" cannot delegate to itself',
        ),
        (
            {"delegates": [{"name": "b", "plugins": [{"type": "x"}, {"Type": "multus"}]}]},
            7,
            '"delegates.0": "plugins.1.type": "multus" cannot delegate to itself',
        ),
        (
            {"delegates": [{"name": "../b", "type": "x"}]},
            7,
            '"delegates.0": invalid characters found in network name "../b"',
        ),
        (
            {"delegates": [{**OK, "cniVersion": "9.9.9"}]},
            1,
            '"delegates.0": incompatible CNI versions',
        ),
        (
            {"delegates": [{**OK, "cniVersions": "1.0.0"}]},
            7,
            '"delegates.0": "cniVersions" must be a list of strings',
        ),
        ({"delegates": [{**OK, "capabilities": []}]}, 6, '"capabilities" must be a dict'),
        (
            {"delegates": [{**OK, "capabilities": {"mac": "yes"}}]},
            7,
            '"delegates.0": "capabilities.mac" must be a boolean',
        ),
        (
            {"delegates": [{"name": "b", "plugins": [{"type": "x"}], "disableCheck": 1}]},
            7,
            '"delegates.0": "disableCheck" must be a boolean, got 1',
        ),
        ({"delegates": [OK], "namespaceIsolation": "maybe"}, 7, '"namespaceIsolation": invalid'),
        ({"delegates": [OK], "CNIDIR": 5}, 7, '"cniDir": invalid value 5'),
        ({"delegates": [OK], "runtimeConfig": []}, 6, '"runtimeConfig" must be a dict'),
        ({"delegates": [OK], "attachments": {}}, 7, '"attachments": invalid value {}'),
        (
            {"delegates": [OK], "attachments": [{"ips": "10.0.0.1"}]},
            7,
            '"attachments.0.ips": invalid value "10.0.0.1"',
        ),
        (
            {"delegates": [OK], "attachments": [{}]},
            7,
            '"attachments.0": resource name may not be empty',
        ),
        (
            {"delegates": [OK], "attachments": [{"name": "n", "namespace": "dev"}]},
            7,
            '"attachments.0": namespace "dev"',
        ),
        (
            {"delegates": [OK], "attachments": [{"name": "n", "ips": ["x"]}]},
            7,
            '"attachments.0": failed to parse IP address "x"',
        ),
        (
            {"delegates": [OK], "attachments": [{"name": "gone"}]},
            7,
            '"attachments.0": no network available in the name gone in cni dir',
        ),
        (
            {"delegates": [OK], "attachments": [{"name": "n", "cni-args": {"a": 1}}]},
            7,
            '"attachments.0": "args.cni" must be an object',
        ),
        (
            {"delegates": [OK], "attachments": [{"name": "m", "interface": "bad name"}]},
            7,
            'network "m": interface "bad name": interface name contains / or : or whitespace',
        ),
        (
            {"delegates": [OK], "attachments": [{"name": "m", "interface": "sixteen-letters-"}]},
            7,
            'network "m": interface "sixteen-letters-": interface name is longer than 15 bytes',
        ),
        (
            {"delegates": [OK], "attachments": [{"name": "m", "interface": "eth0"}]},
            7,
            'network "m": interface "eth0" is taken by network "a"',
        ),
        (
            {
                "delegates": [OK],
                "attachments": [{"name": "m", "interface": "net2"}, {"name": "m"}],
            },
            7,
            'network "m": interface "net2" is taken by network "m"',
        ),
        (
            {"clusterNetwork": "gone"},
            7,
            "failed to get clusterNetwork gone: no network available in the name gone",
        ),
        (
            {"clusterNetwork": "m", "defaultNetworks": ["/gone/x"]},
            7,
            "failed to get defaultNetworks /gone/x: no file /gone/x",
        ),
        (
            {"delegates": [OK], "kubeconfig": "/etc/kube/none"},
            5,
            "cannot use /etc/kube/none",
        ),
        (
            {"delegates": [OK], "auxiliaryCNIChainName": "aux"},
            7,
            "auxiliary chain used but ClusterNetwork must be a path, and it is not a path: ",
        ),
    ],
)
@pytest.mark.parametrize("command", ["ADD"])
def test_refused_before_anything_runs(
    node: Node, command: str, keys: dict[str, Any], code: int, msg: str
) -> None:
    node.plugin("fake")
    (node.conf_dir / "m.conf").write_text('{"name":"m","type":"fake"}')
    (node.conf_dir / "n.conf").write_text('{"name":"n","type":"fake","args":{"cni":[1]}}')
    reply = node.call(command, node.conf(**keys))
    assert reply.status == 1
    assert msg in reply.msg
    assert reply.code == code
    assert node.calls() == []
    assert node.files() == []


@pytest.mark.parametrize(
    ("args", "code", "msg"),
    [
        ("K8S_POD_NAME", 4, 'CNI_ARGS: invalid pair "K8S_POD_NAME"'),
        ("FOO=bar", 4, "CNI_ARGS: unknown args"),
        ("IgnoreUnknown=1;FOO=bar=baz", None, ""),
        ("IP=10.0.0.1;MAC=c2:11:22:33:44:66", None, ""),
    ],
)
def test_cni_args(node: Node, args: str, code: int | None, msg: str) -> None:
    node.plugin("fake")
    reply = node.call("ADD", node.conf(OK), CNI_ARGS=args)
    assert reply.code == code
    assert reply.msg.startswith(msg)
    # a DEL goes on whatever they say
    assert node.call("DEL", node.conf(OK), CNI_ARGS=args).status == 0


def test_a_node_whose_environment_speaks_of_a_cluster_is_in_none(node: Node) -> None:
    node.plugin("fake")
    (node.conf_dir / "m.conf").write_text('{"name":"m","type":"fake"}')
    cluster = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    assert node.call("ADD", node.conf(clusterNetwork="m"), **cluster).status == 0
    assert node.call("ADD", node.conf(OK), CNI_CONTAINERID="cid2", **cluster).status == 0


def test_the_highest_version_that_we_speak() -> None:
    offered = ["0.4.0", "1.0.0", "2.0.0"]
    found = network.parse({**OK, "cniVersion": "0.3.1", "cniVersions": offered}, "0.1.0")
    assert found.cni_version == found.document["cniVersion"] == "1.0.0"
    with pytest.raises(CniError, match="incompatible"):
        network.parse({**OK, "cniVersions": ["2.0.0"], "cniVersion": "3.0.0"}, "1.0.0")


@pytest.mark.parametrize(
    ("name", "container_id", "fits"),
    [
        ("n" * 180, "c" * 64, True),
        ("n" * 181, "c" * 64, False),
        ("n", "c" * 243, True),
        ("n", "c" * 244, False),
    ],
)
def test_names_that_make_a_file_name_too_long(
    node: Node, name: str, container_id: str, *, fits: bool
) -> None:
    node.plugin("fake")
    conf = node.conf({"name": name, "type": "fake"})
    reply = node.call("ADD", conf, CNI_CONTAINERID=container_id)
    if fits:
        assert reply.status == 0
        assert node.call("CHECK", conf, CNI_CONTAINERID=container_id).status == 0
    else:
        assert reply.code == 7
        assert f'network "{name}": ' in reply.msg
        assert node.calls() == []
    assert node.call("DEL", conf, CNI_CONTAINERID=container_id).status == 0
    assert node.files() == []


def test_null_for_a_capability_is_false(node: Node) -> None:
    node.plugin("fake")
    conf = node.conf({**OK, "capabilities": {"mac": None}}, runtimeConfig={"mac": "c2:11:22:33:44"})
    assert node.call("ADD", conf).status == 0
    assert "runtimeConfig" not in node.stdin(0)


def test_an_empty_directory_is_the_default(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.plugin("fake")
    monkeypatch.chdir(node.bin)
    reply = node.call("ADD", node.conf(OK, binDir="", attachments=[{"name": "n"}], confDir=""))
    assert "/etc/cni/multus/net.d" in reply.msg
    reply = node.call("ADD", node.conf(OK, binDir=""))
    assert 'failed to find plugin "fake" in path [/opt/cni/bin /nowhere]' in reply.msg
    assert node.calls() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["delegates", "attachments", "name", "type", "plugins", "cniVersion", "cniVersions", "args"]
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None
)
@given(st.dictionaries(KEYS, JSON | st.lists(st.dictionaries(KEYS, JSON), max_size=2)))
def test_no_delegate_document_is_a_bug_of_ours(node: Node, document: dict[str, Any]) -> None:
    node.plugin("fake")
    for keys in ({"delegates": [document]}, document):
        conf = {**node.conf(), **keys}
        reply = node.call("ADD", json.loads(json.dumps(conf)))
        assert reply.code != 999, reply
        node.call("DEL", node.conf(OK))
