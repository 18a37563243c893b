"""sriov through the meta plugin: several VFs in one pod, each named by the attachment."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.examples import FOLDER
from tests.conformance.node import OURS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod
    from tests.vm.card import Pf, Vf

EXAMPLE = FOLDER / "sriov"


@pytest.fixture
def vfs(cards: list[Pf]) -> Iterator[list[Vf]]:
    """One of each card, and one for a program."""
    found = [cards[0].vfs[2], cards[1].vfs[0], cards[0].vfs[5]]
    found[2].bind("vfio-pci")
    yield found
    found[2].bind("igbvf")


@pytest.fixture
def example(machine: Node, vfs: list[Vf]) -> Iterator[Conf]:
    """The example as it lies there, but for the addresses of the cards."""
    conflist = json.loads((EXAMPLE / "00-multus.conflist").read_text())
    (plugin,) = conflist["plugins"]
    for attachment, vf in zip(plugin["attachments"], vfs, strict=True):
        attachment["deviceID"] = vf.address
    yield {
        **plugin,
        "name": conflist["name"],
        "cniVersion": conflist["cniVersion"],
        "confDir": str(EXAMPLE / "net.d"),
    }
    machine.run("ip", "link", "delete", "cni0")


def assert_attached(pod: Pod, vfs: list[Vf]) -> None:
    data, storage, dpdk = vfs
    assert sorted(pod.links()) == ["eth0", "lo", "net1", "net2"]
    for ifname, vf, address in (
        ("net1", data, "172.20.0.1/24"),
        ("net2", storage, "192.168.40.16/24"),
    ):
        assert pod.link(ifname)["parentdev"] == vf.address
        assert "UP" in pod.link(ifname)["flags"]
        assert pod.addresses(ifname) == [address]
    assert pod.link("net2")["mtu"] == 9000
    assert data.info["vlan_list"] == [{"vlan": 100, "qos": 3}]
    assert data.info["rate"]["max_tx"] == 500
    assert (data.info["spoofchk"], data.info["trust"]) == (True, False)
    assert dpdk.info["vlan_list"] == [{"vlan": 200}]
    assert dpdk.info["address"] == "02:00:5e:10:00:01"
    assert (dpdk.info["spoofchk"], dpdk.info["trust"]) == (False, True)
    assert dpdk.driver == "vfio-pci"


def results(machine: Node) -> dict[str, Any]:
    """Of each network, as multus keeps them."""
    found = [json.loads(file.read_text()) for file in machine.state.glob("multus/results/*")]
    return {each["networkName"]: each["result"] for each in found}


def test_the_example_gives_a_pod_two_vfs_and_a_program_a_third(
    machine: Node, vfs: list[Vf], example: Conf
) -> None:
    pod = machine.pod()
    result = machine.call("ADD", example, pod).ok()
    try:
        assert_attached(pod, vfs)
        dpdk = results(machine)["dpdk"]
        assert dpdk["interfaces"] == [
            {"name": "dpdk0", "mac": "02:00:5e:10:00:01", "mtu": 1500, "sandbox": pod.path}
        ]
        assert [each["address"] for each in dpdk["ips"]] == ["172.21.0.5/24"]
        machine.call("CHECK", {**example, "prevResult": result}, pod).ok()
    finally:
        machine.call("DEL", example, pod).ok()
    machine.call("DEL", example, pod).ok()
    assert list((machine.state / "sriov").glob("*-*")) == []


def test_the_frozen_executables_do_the_same(machine: Node, vfs: list[Vf], example: Conf) -> None:
    pod = machine.pod()

    def run(command: str) -> None:
        environ = machine.environ(command, pod) | {"CNI_PATH": str(OURS)}
        stdin = json.dumps(example).encode()
        done = subprocess.run([OURS / "multus"], env=environ, input=stdin, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr

    run("ADD")
    try:
        assert_attached(pod, vfs)
    finally:
        run("DEL")


def test_a_vf_that_cannot_be_had_takes_the_others_back(
    machine: Node, vfs: list[Vf], example: Conf
) -> None:
    example["attachments"][2]["deviceID"] = "0000:ff:1f.7"
    error = machine.call("ADD", example, machine.pod()).error(7)
    assert '"runtimeConfig.deviceID": "0000:ff:1f.7"' in error["msg"] or "0000:ff:1f.7" in str(
        error
    )
    assert list((machine.state / "sriov").glob("*-*")) == []


def test_a_dead_pod_gives_all_its_vfs_back(machine: Node, vfs: list[Vf], example: Conf) -> None:
    pod = machine.pod()
    machine.call("ADD", example, pod).ok()
    pod.destroy()
    machine.call("DEL", example, pod).ok()
