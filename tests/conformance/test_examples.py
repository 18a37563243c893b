"""What users copy from conf-examples works as it lies there, seen from inside the pod."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conformance.examples import (
    EXAMPLES,
    FOLDER,
    NEED_CARDS,
    NEED_CLUSTER,
    Example,
    files,
    folders,
)
from tests.conformance.runtime import Cnitool, Directories, Libcni, Runtime, Wishes, cnitool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node, Pod

IDS = [f"{each.file}{'+wishes' * bool(each.args or each.capabilities)}" for each in EXAMPLES]


def test_every_example_is_here() -> None:
    known = {*(each.file for each in EXAMPLES), *NEED_CARDS, *NEED_CLUSTER}
    assert files() == known
    assert folders() == {each.partition("/")[0] for each in known}


def test_every_folder_says_what_it_is_for() -> None:
    silent = [each for each in folders() if not (FOLDER / each / "README.md").is_file()]
    assert not silent


@pytest.fixture(params=["cnitool", "own"])
def runtime(request: pytest.FixtureRequest, node: Node) -> Runtime:
    directories = Directories(node)
    if request.param == "own":
        return Libcni(directories)
    if not cnitool().exists():
        pytest.skip(f"no {cnitool()}: tests/clients/install makes it")
    return Cnitool(directories)


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_example(node: Node, runtime: Runtime, example: Example) -> None:
    if example.vlan_filtering and not _filters_vlans(node):
        pytest.skip("this kernel's bridges do not filter VLANs")
    file = _install(node, example)
    for device in example.devices:
        node.device(device)
    pod = node.pod()
    before = _world(node, pod)
    wishes = Wishes(example.capabilities, example.args)

    result = runtime.add(file, pod, wishes)
    try:
        _assert_pod(pod, example, result)
        for bridge, addresses in example.bridges.items():
            assert node.net.addresses(bridge) == addresses
        example.more(node, pod)
        if json.loads(file.read_text())["cniVersion"] >= "0.4.0":
            runtime.check(file, pod, wishes)
    finally:
        runtime.delete(file, pod, wishes)
    assert _world(node, pod) == before
    # a runtime repeats it, with and without what it knew
    runtime.delete(file, pod, wishes)

    # what was given back can be had again
    again = runtime.add(file, pod, wishes)
    assert example.next_is_another or again.get("ips") == result.get("ips")
    runtime.delete(file, pod, wishes)
    assert _world(node, pod) == before


def _install(node: Node, example: Example) -> Path:
    """The file in /etc/cni/net.d, its attachments where the README has them put."""
    source = FOLDER / example.file
    directory = node.root / "node" / "etc"
    (directory / "net.d").mkdir(parents=True)
    if example.attachments:
        shutil.copytree(source.parent / example.attachments, directory / "multus" / "net.d")
    file = directory / "net.d" / source.name
    shutil.copy(source, file)
    return file


def _assert_pod(pod: Pod, example: Example, result: Json) -> None:
    links = pod.net.links()
    assert set(links) == {"lo", *example.pod}
    for ifname, addresses in example.pod.items():
        assert pod.net.addresses(ifname) == addresses
        assert "UP" in links[ifname]["flags"]
    found = [g for family in ("-4", "-6") for g in pod.net.default_gateways(family)]
    assert tuple(found) == example.gateways
    told = result.get("ips") or [{"address": result[key]["ip"]} for key in ("ip4", "ip6")]
    assert [each["address"] for each in told] == example.pod["eth0"]


def _world(node: Node, pod: Pod) -> Json:
    """What must be as it was; leases are counted by asking for the same addresses again."""
    library = node.root / "node" / "lib"
    kept = {"lock", "last_reserved_ip.0", "last_reserved_ip.1"}  # host-local never removes them
    records = [
        str(each.relative_to(library))
        for each in library.rglob("*")
        if each.is_file()
        and not each.name.startswith("leases.")
        and each.name not in kept
        and each.parent.name != ".plait"
    ]
    return {**node.traces(pod), "records": sorted(records)}


def _filters_vlans(node: Node) -> bool:
    probe = ["ip", "link", "add", "probe", "type", "bridge", "vlan_filtering", "1"]
    done = subprocess.run(probe, capture_output=True, check=False)
    if done.returncode == 0:
        node.net.run("ip", "link", "delete", "probe")
    return done.returncode == 0
