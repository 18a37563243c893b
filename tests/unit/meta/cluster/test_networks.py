"""Vectors 35 and 51: networks of the whole node, and who may have which."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meta.multus import confdir
from tests.unit.meta.cluster.node import DEFAULT_NETWORK, nad_path

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.meta.cluster.node import ClusterNode
    from tests.unit.meta.harness import Reply

ISOLATION = (
    "GetNetworkDelegates: namespace isolation enabled, annotation violates permission, pod is in"
    " namespace dev but refers to target namespace {}"
)


def fake(name: str, **keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": name, "type": "fake", **keys}


def in_dev(
    node: ClusterNode, conf: dict[str, Any], networks: str | None, **annotations: str
) -> Reply:
    node.pod(networks, namespace="dev", **annotations)
    return node.call("ADD", conf, "dev/p1/u1")


@pytest.mark.parametrize(
    ("listed", "network", "is_allowed"),
    [
        pytest.param("", "default/n1", True, id="v35-default"),
        pytest.param("", "n4", True, id="v35-own"),
        pytest.param("", "dev/n4", True, id="v35-own-by-name"),
        pytest.param("", "other/n1", False, id="v35-other"),
        pytest.param("", "kube-system/dn", False, id="v35-multus-namespace"),
        pytest.param("foo , other", "other/n1", True, id="v35-listed"),
        pytest.param("foo", "default/n1", False, id="v35-default-not-listed"),
        pytest.param("foo,default", "default/n1", True, id="v35-default-listed"),
    ],
)
def test_v35_namespace_isolation(
    node: ClusterNode, listed: str, network: str, *, is_allowed: bool
) -> None:
    node.nad("n4", namespace="dev")
    node.nad("dn", namespace="kube-system")
    conf = node.conf(namespaceIsolation=True, globalNamespaces=listed)
    reply = in_dev(node, conf, f"n4,{network}")
    if is_allowed:
        assert reply.status == 0
        assert len(node.ran()) == 3
        return
    assert reply.code == 7
    assert reply.msg.endswith(ISOLATION.format(network.partition("/")[0]))
    node.nothing_happened()
    asked = [each for each in node.asked() if "network-attachment" in each]
    assert asked == []


def test_v35_without_isolation_every_namespace_is_open(node: ClusterNode) -> None:
    assert in_dev(node, node.conf(), "other/n1").status == 0


@pytest.mark.parametrize(
    ("network", "is_allowed"),
    [
        pytest.param("dn", True, id="multus-namespace"),
        pytest.param("kube-system/dn", True, id="multus-namespace-by-name"),
        pytest.param("dev/n4", True, id="own"),
        pytest.param("default/n1", True, id="global"),
        pytest.param("other/n1", False, id="other"),
    ],
)
def test_isolation_covers_the_default_network_too(
    node: ClusterNode, network: str, *, is_allowed: bool
) -> None:
    """In the original a pod may have any namespace's network as its default one."""
    node.nad("n4", namespace="dev")
    node.nad("dn", namespace="kube-system")
    conf = node.conf(namespaceIsolation=True)
    reply = in_dev(node, conf, None, **{DEFAULT_NETWORK: network})
    if is_allowed:
        assert reply.status == 0
        return
    assert reply.msg.endswith(ISOLATION.format("other"))
    node.nothing_happened()


def test_v51_cluster_network_and_default_networks(node: ClusterNode) -> None:
    node.nad("cl", namespace="kube-system")
    node.nad("d1", namespace="kube-system")
    conf = node.conf(clusterNetwork="cl", defaultNetworks=["d1"])
    assert node.add("n1", conf).status == 0
    assert node.ran() == ["ADD eth0 cl", "ADD net1 d1", "ADD net2 n1"]
    assert [x["name"] for x in node.status()] == ["kube-system/cl", "kube-system/d1", "default/n1"]
    assert node.call("DEL", conf).status == 0
    assert node.ran() == ["DEL net2 n1", "DEL net1 d1", "DEL eth0 cl"]


@pytest.mark.parametrize(
    ("keys", "has_more"),
    [
        pytest.param({}, False, id="v51-kube-system"),
        pytest.param({"systemNamespaces": ["dev"]}, True, id="v51-not-listed"),
        pytest.param({"systemNamespaces": ["dev", "kube-system"]}, False, id="v51-listed"),
    ],
)
def test_v51_pods_of_the_system_have_no_default_networks(
    node: ClusterNode, keys: dict[str, Any], *, has_more: bool
) -> None:
    for name in ("cl", "d1", "n1"):
        node.nad(name, namespace="kube-system")
    node.pod("n1", namespace="kube-system")
    conf = node.conf(clusterNetwork="cl", defaultNetworks=["d1"], **keys)
    assert node.call("ADD", conf, "kube-system/p1/u1").status == 0
    more = ["ADD net1 d1", "ADD net2 n1"] if has_more else ["ADD net1 n1"]
    assert node.ran() == ["ADD eth0 cl", *more]
    assert node.status("p1", "kube-system") != []


def test_another_multus_namespace(node: ClusterNode) -> None:
    node.nad("cl", namespace="nets")
    conf = node.conf(clusterNetwork="cl", multusNamespace="nets")
    assert node.add(None, conf).status == 0
    assert [each["name"] for each in node.status()] == ["nets/cl"]
    assert f"GET {nad_path('cl', 'nets')}" in node.asked()


def test_cluster_network_goes_before_delegates(node: ClusterNode) -> None:
    node.nad("cl", namespace="kube-system")
    assert node.add(None, node.conf(fake("cbr0"), clusterNetwork="cl")).status == 0
    assert node.ran() == ["ADD eth0 cl"]


def test_no_nad_of_that_name_but_a_file(node: ClusterNode) -> None:
    (node.conf_dir / "10-cl.conf").write_text(json.dumps(fake("cl")))
    conf = node.conf(clusterNetwork="cl", defaultNetworks=["cl"])
    assert node.add(None, conf).status == 0
    assert [each["name"] for each in node.status()] == ["cl", "cl"]
    assert "NoNetworkFound" not in " ".join(node.events())


@pytest.fixture
def default_dir(tmp_path: Path) -> Path:
    """A directory of the runtime with a list and one plugin more for it."""
    directory = tmp_path / "cni" / "net.d"
    (directory / "cl").mkdir(parents=True)
    listed = {"cniVersion": "1.0.0", "name": "cl", "plugins": [{"type": "fake"}]}
    (directory / "10-cl.conflist").write_text(json.dumps(listed))
    (directory / "20-other.conf").write_text(json.dumps(fake("other")))
    (directory / "cl" / "more.conf").write_text(json.dumps({"type": "fake", "extra": 1}))
    return directory


@pytest.mark.parametrize("value", ["10-cl.conflist", ""])
def test_cluster_network_is_a_file_or_the_first_of_a_directory(
    node: ClusterNode, default_dir: Path, value: str
) -> None:
    conf = node.conf(clusterNetwork=str(default_dir / value) if value else f"{default_dir}/")
    assert node.add("n1", conf).status == 0
    assert node.ran() == ["ADD eth0 cl", "ADD eth0 cl", "ADD net1 n1"]
    assert node.stdin(1)["extra"] == 1
    assert [each["name"] for each in node.status()] == ["cl", "default/n1"]
    for file in default_dir.rglob("*.conf*"):
        file.unlink()
    assert node.call("DEL", conf).status == 0
    assert node.ran() == ["DEL net1 n1", "DEL eth0 cl", "DEL eth0 cl"]
    assert node.files() == []


def test_load_only_inlined_plugins(node: ClusterNode, default_dir: Path) -> None:
    file = default_dir / "10-cl.conflist"
    file.write_text(json.dumps({**json.loads(file.read_text()), "loadOnlyInlinedPlugins": True}))
    assert node.add(None, node.conf(clusterNetwork=str(file))).status == 0
    assert node.ran() == ["ADD eth0 cl"]


def test_default_networks_as_files(node: ClusterNode, default_dir: Path) -> None:
    paths = [str(default_dir / "20-other.conf"), str(default_dir / "10-cl.conflist")]
    conf = node.conf(clusterNetwork=paths[0], defaultNetworks=[paths[1]])
    assert node.add(None, conf).status == 0
    assert node.ran() == ["ADD eth0 other", "ADD net1 cl", "ADD net1 cl"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"clusterNetwork": "nope"}, "failed to get clusterNetwork nope"),
        ({"clusterNetwork": "/no/where.conf"}, "no file /no/where.conf"),
        (
            {"clusterNetwork": "cl", "defaultNetworks": ["nope"]},
            "failed to get defaultNetworks nope",
        ),
        ({"clusterNetwork": "cl", "defaultNetworks": ["/no/x"]}, "no file /no/x"),
    ],
)
def test_a_default_network_that_does_not_exist(
    node: ClusterNode, keys: dict[str, Any], said: str
) -> None:
    node.nad("cl", namespace="kube-system")
    reply = node.add("n1", node.conf(**keys))
    assert reply.code == 7
    assert said in reply.msg
    node.nothing_happened()


def test_the_default_network_annotation_stands_in_for_the_cluster_s(node: ClusterNode) -> None:
    for name in ("cl", "dn", "d1"):
        node.nad(name, namespace="kube-system")
    conf = node.conf(clusterNetwork="cl", defaultNetworks=["d1"])
    node.pod("n1", **{DEFAULT_NETWORK: "dn"})
    assert node.call("ADD", conf).status == 0
    assert node.ran() == ["ADD eth0 dn", "ADD net1 d1", "ADD net2 n1"]


def test_the_default_network_of_another_namespace(node: ClusterNode) -> None:
    node.pod("n1", **{DEFAULT_NETWORK: "other/n1"})
    assert node.call("ADD").status == 0
    assert [each["name"] for each in node.status()] == ["other/n1", "default/n1"]


def test_the_default_network_s_interface_and_wishes(node: ClusterNode) -> None:
    node.nad("dn", namespace="kube-system", capabilities={"ips": True})
    wish = [{"name": "dn", "interface": "pod0", "ips": ["10.0.0.2"], "mac": "c2:11:22:33:44:66"}]
    node.pod("n1", **{DEFAULT_NETWORK: json.dumps(wish)})
    assert node.call("ADD").status == 0
    assert node.env(0)["CNI_ARGS"].endswith(";MAC=c2:11:22:33:44:66;IP=10.0.0.2")
    assert "MAC" not in node.env(1)["CNI_ARGS"]
    assert node.ran() == ["ADD pod0 dn", "ADD net1 n1"]
    assert node.call("DEL").status == 0
    assert node.ran() == ["DEL net1 n1", "DEL pod0 dn"]


@pytest.mark.parametrize("has_files", [True, False])
def test_the_auxiliary_chain(node: ClusterNode, default_dir: Path, *, has_files: bool) -> None:
    chain = default_dir / "aux"
    if has_files:
        chain.mkdir()
        for index in (2, 1):
            (chain / f"{index}.conf").write_text(json.dumps({"type": "fake", "which": index}))
    path = str(default_dir / "20-other.conf")
    conf = node.conf(clusterNetwork=path, auxiliaryCNIChainName="aux")
    assert node.add("n1", conf).status == 0
    more = ["ADD net2 aux", "ADD net2 aux"] if has_files else []
    assert node.ran() == ["ADD eth0 other", "ADD net1 n1", *more]
    if has_files:
        assert [node.stdin(index)["which"] for index in (2, 3)] == [1, 2]
        assert "prevResult" in node.stdin(2)
    assert node.call("DEL", conf).status == 0
    assert node.ran() == [x.replace("ADD", "DEL") for x in [*more, "ADD net1 n1", "ADD eth0 other"]]
    assert node.files() == []


def test_the_auxiliary_chain_is_read_once(
    node: ClusterNode, default_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks a file could come or go."""
    (default_dir / "aux").mkdir()
    (default_dir / "aux/1.conf").write_text('{"type": "fake"}')
    read: list[str] = []
    plugins = confdir.plugins

    def note(chain: str) -> list[dict[str, Any]]:
        read.append(chain)
        return plugins(chain)

    monkeypatch.setattr(confdir, "plugins", note)
    path = str(default_dir / "20-other.conf")
    assert node.add("n1", node.conf(clusterNetwork=path, auxiliaryCNIChainName="aux")).status == 0
    assert read == [str(default_dir / "aux")]


def test_the_auxiliary_chain_needs_a_path(node: ClusterNode) -> None:
    node.nad("cl", namespace="kube-system")
    reply = node.add(None, node.conf(clusterNetwork="cl", auxiliaryCNIChainName="aux"))
    assert reply.msg.endswith(
        "auxiliary chain used but ClusterNetwork must be a path, and it is not a path: cl"
    )
    node.nothing_happened()
