"""`plait ipam import`: from the files of host-local, and from whereabouts' pools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.types import Attachment
from tests.unit.ctl.leased import RANGE, plugin
from tests.unit.ipam import ledger_state

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apiserver.server import ApiServer
    from tests.unit.ctl.leased import Node

API = "/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/kube-system"


@pytest.fixture
def networks(node: Node) -> Path:
    """host-local's directory, with two leases and what else is there."""
    network = node.path / "networks/old"
    network.mkdir(parents=True)
    files = {
        "10.0.0.2": "aaa\r\neth0", "10.0.0.7": "bbb\r\nnet1", "10.0.0.9": "",
        "last_reserved_ip.0": "10.0.0.7", "lock": "", "fd00::5": "aaa\r\neth0",
    }  # fmt: skip
    for name, content in files.items():
        (network / name).write_text(content)
    return network.parent


def command(networks: Path, *options: str) -> tuple[str, ...]:
    ranges = ("--range", RANGE, "--range", "fd00::/64")
    return ("ipam", "import", "--host-local", str(networks), "--network", "old", *ranges, *options)


def content(folder: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_files_of_host_local(node: Node, networks: Path) -> None:
    before = content(networks)
    said = node.ok(*command(networks))
    assert said.out == "imported: 3 leases, 0 holds; 0 were there already\n"
    assert [(each.attachment, each.cidr) for each in node.store.every()] == [
        (Attachment("old", "aaa", "eth0"), RANGE),
        (Attachment("old", "bbb", "net1"), RANGE),
        (Attachment("old", "aaa", "eth0"), "fd00::/64"),
    ]
    assert {each.node for each in node.store.every()} == {"node1"}
    assert content(networks) == before
    ledger_state.check(node.database)
    # the plugin goes on with them
    assert node.lease(1) == "10.0.0.1" and node.lease(2) == "10.0.0.3"
    again = node.ok(*command(networks))
    assert again.out == "imported: 0 leases, 0 holds; 3 were there already\n"
    assert node.store.release(Attachment("old", "aaa", "eth0")) == 2


def test_the_directory_of_the_network_itself(node: Node, networks: Path) -> None:
    node.ok(*command(networks / "old"))
    assert len(node.store.every()) == 3


def test_old_files_name_no_interface(node: Node, networks: Path) -> None:
    (networks / "old/10.0.0.3").write_text("ccc\n")
    node.ok(*command(networks, "--ifname", "net5"))
    assert node.store.every()[1].attachment == Attachment("old", "ccc", "net5")


def test_a_rehearsal_changes_nothing(node: Node, networks: Path) -> None:
    said = node.ok(*command(networks, "--dry-run"))
    assert said.out == "would be imported: 3 leases, 0 holds; 0 were there already\n"
    assert not node.state.exists()
    node.lease(1)
    node.ok(*command(networks, "--dry-run"))
    assert node.addresses() == ["10.0.0.1"]
    node.reserve("10.0.0.7", "a/b")
    assert node.run(*command(networks, "--dry-run")).status == 1


def test_none_or_all(node: Node, networks: Path) -> None:
    node.lease(1, wanted="10.0.0.2")
    node.reserve("10.0.0.7", "a/b")
    failed = node.run(*command(networks))
    assert failed.status == 1 and failed.err.count("\n") == 1
    assert "2 addresses are in conflict, nothing was imported" in failed.err
    assert "10.0.0.2" in failed.err and "kept for a/b" in failed.err
    assert node.addresses() == ["10.0.0.2"]
    ledger_state.check(node.database)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("10.9.0.1", "ccc\r\neth0", "which range is 10.9.0.1 of?"),
        ("10.0.0.5", "a b\r\neth0", "names no container"),
        ("10.0.0.5", "\x1b[31m\r\neth0", "names no container"),
    ],
)
def test_what_cannot_be_a_lease(
    node: Node, networks: Path, name: str, text: str, said: str
) -> None:
    (networks / "old" / name).write_text(text)
    failed = node.run(*command(networks))
    assert failed.status == 1 and said in failed.err and "\x1b" not in failed.err
    assert not node.store.every()


def test_ranges_of_a_configuration_or_of_other_leases(node: Node, networks: Path) -> None:
    asked = ("ipam", "import", "--host-local", str(networks), "--network", "old")
    assert "Name it with --range; there is none" in node.run(*asked).err
    ranges: Any = {"ipRanges": [{"range": RANGE}, {"range": "fd00::/64"}]}
    conf = node.conf(plugin("old", **ranges, network_name="x"))
    node.ok(*asked, "--conf", conf, "--dry-run")
    node.lease(1, network_name="y")
    node.lease(1, "fd00::/64", network="six", network_name="y")
    node.ok(*asked)
    assert {each.network_name for each in node.store.every()} == {"y"}


def test_no_directory(node: Node) -> None:
    assert node.run(*command(node.path / "nowhere")).status == 1


def test_the_pods_are_in_the_cache_of_libcni(node: Node, networks: Path) -> None:
    cache = node.state / "results"
    cache.mkdir(parents=True)
    args = [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", "web-0"],
            ["K8S_POD_UID", "u1"], "torn"]  # fmt: skip
    document = {"kind": "cniCacheV1", "cniArgs": args, "netns": "/run/netns/x"}
    (cache / "old-aaa-eth0").write_text(json.dumps(document))
    (cache / "old-bbb-net1").write_text("{")
    node.ok(*command(networks))
    first, second, _ = node.store.every()
    assert (first.pod_namespace, first.pod_name, first.pod_uid) == ("default", "web-0", "u1")
    assert first.netns == "/run/netns/x"
    assert (second.pod_name, second.netns) == ("", "")


# from a cluster


@pytest.fixture
def pools(node: Node, api: ApiServer) -> tuple[str, ...]:
    """The command that imports what is there."""
    for name, cidr, allocations in (
        (
            "10.0.0.0-24",
            RANGE,
            {
                "1": {"id": "c1", "podref": "default/p1", "ifname": "net1"},
                "2": {"id": "c2", "podref": "default/p2", "ifname": "net1"},
                "9": {"id": "hold:reserved:0:default/p9:", "podref": ""},
            },
        ),
        ("x-fd00---64", "fd00::/64", {"5": {"id": "c1", "podref": "default/p1", "ifname": "n"}}),
    ):
        spec = {"range": cidr, "allocations": allocations}
        api.put_object(f"{API}/ippools/{name}", {"spec": spec})
    kubeconfig = ("--kubeconfig", str(node.path / "kubeconfig"))
    return ("ipam", "import", "--whereabouts", *kubeconfig, "--network", "net")


def test_pools_of_whereabouts(node: Node, pools: tuple[str, ...]) -> None:
    said = node.ok(*pools)
    assert said.out == "imported: 3 leases, 1 holds; 0 were there already\n"
    first, second, third = node.store.every()
    assert first.attachment == Attachment("net", "c1", "net1") and first.cidr == RANGE
    assert (second.pod_namespace, second.pod_name) == ("default", "p2")
    assert (third.network_name, third.cidr, third.address & 0xFF) == ("x", "fd00::/64", 5)
    assert [each.holder for each in node.store.holds()] == ["default/p9"]
    ledger_state.check(node.database)
    assert "3 were there already" in node.ok(*pools).out


@pytest.mark.parametrize(
    ("options", "leases"),
    [
        (("--range", RANGE), ["10.0.0.1", "10.0.0.2"]),
        (("--network-name", "x"), ["fd00::5"]),
        (("--node", "node1"), ["10.0.0.1", "fd00::5"]),
    ],
)
def test_a_part_of_them(
    node: Node, api: ApiServer, pools: tuple[str, ...], options: tuple[str, ...], leases: list[str]
) -> None:
    api.pod("default", "p1")
    node.ok(*pools, *options)
    assert node.addresses() == leases


def test_nothing_that_fits(node: Node, pools: tuple[str, ...]) -> None:
    failed = node.run(*pools, "--namespace", "other")
    assert failed.status == 1 and "nothing to import: no IPPool in namespace other" in failed.err
    assert not node.database.exists()


def test_none_or_all_of_a_cluster(node: Node, pools: tuple[str, ...]) -> None:
    node.lease(7, wanted="10.0.0.2")
    assert "1 addresses are in conflict" in node.run(*pools).err
    assert node.addresses() == ["10.0.0.2"] and not node.store.holds()
