"""The plugin with the stores that nodes share: what the configuration names is what is asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ipam import opening
from tests.apiserver.server import ApiServer
from tests.unit.ipam.etcd_fixtures import etcd
from tests.unit.ipam.harness import Host

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.ipam.etcd_server import EtcdServer

__all__ = ["etcd"]

POOLS = "/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/kube-system/ippools"


def pod(name: str) -> str:
    return f"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}"


def lives(nodes: list[Host], conf: dict[str, Any]) -> None:
    """Pods of two nodes, as runtimes have them come and go."""
    first, second = nodes
    assert first.add(conf, "c1", args=pod("a")) == ["10.1.0.1/24"]
    assert second.add(conf, "c2", args=pod("b")) == ["10.1.0.2/24"]
    assert first.add(conf, "c1", args=pod("a")) == ["10.1.0.1/24"]
    before = {"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.1/24"}]}
    first.call("CHECK", conf, "c1", args=pod("a"), prevResult=before).ok()
    first.call("CHECK", conf, "c9", args=pod("z"), prevResult=before).error(102)
    first.call("STATUS", conf, cniVersion="1.1.0").ok()
    first.delete(conf, "c1", args=pod("a"))
    first.delete(conf, "c1", args=pod("a"))
    assert second.add(conf, "c3", args=pod("c")) == ["10.1.0.1/24"]
    valid: dict[str, Any] = {"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]}
    first.call("GC", conf, cniVersion="1.1.0", **valid).ok()  # what others leased is not its
    assert first.add(conf, "c4", args=pod("d")) == ["10.1.0.3/24"]
    second.call("GC", conf, cniVersion="1.1.0", **valid).ok()
    assert first.add(conf, "c5", args=pod("e")) == ["10.1.0.1/24"]
    for each in nodes:
        assert not each.database.exists()


def test_in_the_pools_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_HURRY", 1.0)
    nodes = [Host(tmp_path / name) for name in ("one", "two")]
    with ApiServer(tmp_path / "api") as api:
        kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")
        conf = {
            "type": "whereabouts",
            "range": "10.1.0.0/24",
            "kubernetes": {"kubeconfig": str(kubeconfig)},
        }
        lives(nodes, conf)
        stored = api.get(f"{POOLS}/10.1.0.0-24")
        assert stored is not None
        pods = {key: each["podref"] for key, each in stored["spec"]["allocations"].items()}
        assert pods == {"1": "shop/e", "2": "shop/b", "3": "shop/d"}
    # a server that is gone: a DEL that is finished later
    nodes[0].call("STATUS", conf, cniVersion="1.1.0").error(50)
    nodes[0].delete(conf, "c5", args=pod("e"))


def test_in_an_etcd(etcd: EtcdServer, tmp_path: Path) -> None:
    nodes = [Host(tmp_path / name) for name in ("one", "two")]
    conf = {
        "type": "whereabouts",
        "range": "10.1.0.0/24",
        "datastore": "etcd",
        "etcd_host": f"http://127.0.0.1:1, http://127.0.0.1:{etcd.port}",
    }
    lives(nodes, conf)


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_a_store_that_cannot_be_opened_holds_up_no_delete(tmp_path: Path, verb: str) -> None:
    """What has to be released there is, by the next call that can."""
    host = Host(tmp_path / "node")
    conf = {
        "type": "whereabouts",
        "range": "10.1.0.0/24",
        "kubernetes": {"kubeconfig": str(tmp_path / "kubeconfig")},
    }
    more: dict[str, Any] = {}
    if verb == "GC":
        more = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    host.call(verb, conf, **more).ok()
    with ApiServer(tmp_path / "api") as api:
        kept = api.kubeconfig(tmp_path / "kubeconfig").read_text()
        assert host.add(conf, "c1", args=pod("a")) == ["10.1.0.1/24"]
        (tmp_path / "kubeconfig").unlink()
        host.delete(conf, "c1")
        (tmp_path / "kubeconfig").write_text(kept)
        assert host.add(conf, "c2", args=pod("b")) in (["10.1.0.1/24"], ["10.1.0.2/24"])
        stored = api.get(f"{POOLS}/10.1.0.0-24")
        assert stored is not None
        owners = [each["podref"] for each in stored["spec"]["allocations"].values()]
        assert owners == ["shop/b"], json.dumps(stored)


def test_a_configuration_that_has_lost_its_store(tmp_path: Path) -> None:
    """The flat file is away while its installer runs: other nodes' addresses must not be given."""
    host = Host(tmp_path / "node")
    flat = tmp_path / "whereabouts.conf"
    conf = {
        "type": "whereabouts",
        "range": "10.1.0.0/24",
        "configuration_path": str(flat),
    }
    with ApiServer(tmp_path / "api") as api:
        kubeconfig = str(api.kubeconfig(tmp_path / "kubeconfig"))
        flat.write_text(json.dumps({"kubernetes": {"kubeconfig": kubeconfig}}))
        for number in (1, 2):
            host.add(conf, f"c{number}", args=pod(f"web-{number}"))
        flat.write_text("{}")
        assert "whereabouts.conf" in host.call("ADD", conf, "c3", args=pod("web-3")).error(11)
        assert not host.database.exists()
        host.delete(conf, "c1")  # which is released when the store is known again
        asked = {**conf, "datastore": "file"}
        assert host.add(asked, "c4") == ["10.1.0.1/24"]
        flat.write_text(json.dumps({"kubernetes": {"kubeconfig": kubeconfig}}))
        host.add(conf, "c5", args=pod("web-5"))
        stored = api.get(f"{POOLS}/10.1.0.0-24")
        assert stored is not None
        owners = {each["podref"] for each in stored["spec"]["allocations"].values()}
        assert owners == {"shop/web-2", "shop/web-5"}
