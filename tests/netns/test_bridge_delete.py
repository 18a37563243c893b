"""bridge DEL: whatever is gone already, what is left is taken; GC and STATUS."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.netns import confs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod

FULL = confs.bridge(
    isDefaultGateway=True,
    ipMasq=True,
    macspoofchk=True,
    ipam=confs.whereabouts("10.1.2.0/24", range_start="10.1.2.10"),
)


def test_delete_takes_all_and_leaves_the_bridge(node: Node) -> None:
    pod = node.pod()
    before = node.snapshot(pod)
    node.call("ADD", FULL, pod).ok()
    assert node.leases() == [(pod.name, "eth0", "10.1.2.10")]
    assert node.call("DEL", FULL, pod).ok() is None
    assert node.links() == ["lo", "br0"]
    node.ip("link", "delete", "br0")
    assert node.snapshot(pod) == before


def test_delete_twice(node: Node) -> None:
    pod = node.pod()
    node.call("ADD", FULL, pod).ok()
    for _ in range(3):
        node.call("DEL", FULL, pod).ok()


def test_delete_without_add(node: Node) -> None:
    pod = node.pod()
    before = node.snapshot(pod)
    node.call("DEL", FULL, pod).ok()
    assert node.snapshot(pod) == before


def test_delete_after_an_add_that_failed(node: Node) -> None:
    pod = node.pod()
    before = node.snapshot(pod)
    routes = [{"dst": "192.0.2.0/24", "gw": "198.51.100.1"}]
    conf = FULL | {"ipam": FULL["ipam"] | {"routes": routes}}
    node.call("ADD", conf, pod).error(101)
    node.call("DEL", conf, pod).ok()
    assert node.snapshot(pod) == before


def namespace_gone(node: Node, pod: Pod, tmp_path: Path) -> str:
    return "/run/netns/gone"


def namespace_empty(node: Node, pod: Pod, tmp_path: Path) -> str:
    return ""


def namespace_is_a_file(node: Node, pod: Pod, tmp_path: Path) -> str:
    path = tmp_path / "left-by-umount"
    path.touch()
    return str(path)


def namespace_below_a_file(node: Node, pod: Pod, tmp_path: Path) -> str:
    return namespace_is_a_file(node, pod, tmp_path) + "/x"


def namespace_name_too_long(node: Node, pod: Pod, tmp_path: Path) -> str:
    return "/run/netns/" + "x" * 300


def namespace_died(node: Node, pod: Pod, tmp_path: Path) -> str:
    pod.destroy()
    return "/nonexistent/netns"


def link_renamed(node: Node, pod: Pod, tmp_path: Path) -> str:
    pod.ip("link", "set", "eth0", "down")
    pod.ip("link", "set", "eth0", "name", "data0")
    return pod.path


def link_deleted(node: Node, pod: Pod, tmp_path: Path) -> str:
    pod.ip("link", "delete", "eth0")
    return pod.path


def host_end_deleted(node: Node, pod: Pod, tmp_path: Path) -> str:
    node.ip("link", "delete", node.port(pod)["ifname"])
    return pod.path


def bridge_deleted(node: Node, pod: Pod, tmp_path: Path) -> str:
    node.ip("link", "delete", "br0")
    return pod.path


def port_unplugged(node: Node, pod: Pod, tmp_path: Path) -> str:
    node.ip("link", "set", node.port(pod)["ifname"], "nomaster")
    return pod.path


def records_deleted(node: Node, pod: Pod, tmp_path: Path) -> str:
    shutil.rmtree(node.state)
    return pod.path


def rules_flushed(node: Node, pod: Pod, tmp_path: Path) -> str:
    node.run("nft", "flush", "ruleset")
    return pod.path


@pytest.mark.parametrize(
    "happens",
    [
        namespace_gone,
        namespace_empty,
        namespace_is_a_file,
        namespace_below_a_file,
        namespace_name_too_long,
        namespace_died,
        link_renamed,
        link_deleted,
        host_end_deleted,
        bridge_deleted,
        port_unplugged,
        records_deleted,
        rules_flushed,
    ],
)
@pytest.mark.parametrize("with_prev_result", [False, True])
def test_delete_after(
    node: Node,
    happens: Callable[[Node, Pod, Path], str],
    with_prev_result: bool,
    tmp_path: Path,
) -> None:
    before = node.snapshot()
    pod = node.pod()
    conf = dict(FULL)
    prev = node.call("ADD", conf, pod).ok()
    if with_prev_result:
        conf["prevResult"] = prev
    environ = node.environ("DEL", pod)
    environ["CNI_NETNS"] = happens(node, pod, tmp_path)
    for _ in range(2):
        node.raw("bridge", environ, confs.encoded(conf)).ok()
        if "br0" in node.links():
            assert node.links() == ["lo", "br0"]
    if "br0" in node.links():
        node.ip("link", "delete", "br0")
    assert node.snapshot() == before
    if pod.fd >= 0:
        assert pod.links() == ["lo"] or "left-by-umount" in environ["CNI_NETNS"]


def test_delete_leaves_what_is_no_veth(node: Node) -> None:
    pod = node.pod()
    pod.ip("link", "add", "eth0", "type", "bridge")
    node.call("DEL", FULL, pod).ok()
    assert "eth0" in pod.links()


def test_delete_goes_on_when_the_address_cannot_be_released(node: Node, tmp_path: Path) -> None:
    """The original stops at the first error: rules and locks stay."""
    pod = node.pod()
    ipam = tmp_path / "broken-ipam"
    ipam.write_text(
        '#!/bin/sh\n[ "$CNI_COMMAND" = ADD ] && '
        'echo \'{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}\' && exit\n'
        'echo \'{"code":11,"msg":"the server is away"}\'\nexit 1\n'
    )
    ipam.chmod(0o755)
    node.bin_path = str(tmp_path)
    conf = FULL | {"ipam": {"type": "broken-ipam"}}
    node.call("ADD", conf, pod).ok()
    error = node.call("DEL", conf, pod).error(11)
    assert error["msg"] == "the server is away"
    assert pod.links() == ["lo"]
    assert 'comment "macspoofchk' not in node.nft()
    assert node.nft_rules("inet cni_plugins_masquerade", "masq_checks") == []


def test_delete_when_the_ipam_plugin_is_gone(node: Node, tmp_path: Path) -> None:
    """What it recorded is beyond us; what is ours is taken, and the pod can go."""
    pod = node.pod()
    ipam = tmp_path / "uninstalled"
    ipam.write_text('#!/bin/sh\necho \'{"ips":[{"address":"10.1.2.3/24"}]}\'\n')
    ipam.chmod(0o755)
    node.bin_path = str(tmp_path)
    conf = FULL | {"ipam": {"type": "uninstalled"}}
    node.call("ADD", conf, pod).ok()
    ipam.unlink()
    node.call("DEL", conf, pod).ok()
    assert pod.links() == ["lo"]
    assert "macspoofchk" not in node.nft()
    node.call("DEL", conf | {"cniVersion": "0.3.1"}, pod).ok()
    error = node.call("ADD", conf, pod).error(7)
    assert f'failed to find plugin "uninstalled" in path [{tmp_path}]' in error["msg"]


def test_delete_of_one_of_two_interfaces(node: Node) -> None:
    pod = node.pod()
    node.call("ADD", FULL, pod, "eth0").ok()
    left = node.snapshot(pod)
    node.call("ADD", FULL, pod, "eth1").ok()
    node.call("DEL", FULL, pod, "eth1").ok()
    assert node.snapshot(pod) == left
    assert node.leases() == [(pod.name, "eth0", "10.1.2.10")]


# GC and STATUS


def gc(valid: list[tuple[str, str]], **keys: object) -> Conf:
    entries = [{"containerID": cid, "ifname": ifname} for cid, ifname in valid]
    return FULL | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": entries} | keys


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_gc_takes_what_the_runtime_does_not_have(node: Node, key: str) -> None:
    """Leases, rules, locks and links: the original does nothing."""
    kept, gone, other = node.pod(), node.pod(), node.pod()
    elsewhere = FULL | {"name": "other-net"}
    node.call("ADD", FULL, kept).ok()
    node.call("ADD", elsewhere, other).ok()
    before = node.snapshot(kept, gone, other)
    node.call("ADD", FULL, gone).ok()
    node.call("ADD", FULL, gone, "eth1").ok()
    conf = gc([(kept.name, "eth0")])
    conf[key] = conf.pop("cni.dev/valid-attachments")
    assert node.call("GC", conf).ok() is None
    assert node.snapshot(kept, gone, other) == before


def test_gc_keeps_all_that_is_valid(node: Node) -> None:
    pod = node.pod()
    node.call("ADD", FULL, pod).ok()
    node.call("ADD", FULL, pod, "eth1").ok()
    before = node.snapshot(pod)
    node.call("GC", gc([(pod.name, "eth0"), (pod.name, "eth1")])).ok()
    assert node.snapshot(pod) == before


def test_gc_keeps_containers_with_long_names(node: Node) -> None:
    """Longer than an alias of the kernel can tell."""
    pod = node.pod()
    pod.name = "c" * 300
    conf = confs.bridge(version="1.1.0", name="n" * 40, macspoofchk=True)
    node.call("ADD", conf, pod).ok()
    before = node.snapshot(pod)
    valid = [{"containerID": pod.name, "ifname": "eth0"}]
    node.call("GC", conf | {"cni.dev/valid-attachments": valid}).ok()
    assert node.snapshot(pod) == before
    node.call("GC", conf | {"cni.dev/valid-attachments": []}).ok()
    assert pod.links() == ["lo"]


def test_gc_without_a_list_takes_nothing(node: Node) -> None:
    pod = node.pod()
    node.call("ADD", FULL, pod).ok()
    before = node.snapshot(pod)
    node.call("GC", FULL | {"cniVersion": "1.1.0"}).ok()
    node.call("GC", FULL | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": None}).ok()
    assert node.snapshot(pod) == before


def test_gc_when_nothing_is_valid_and_nothing_is_there(node: Node) -> None:
    node.call("GC", gc([])).ok()
    pod = node.pod()
    before = node.snapshot(pod)
    node.call("ADD", FULL, pod).ok()
    node.call("GC", gc([])).ok()
    node.ip("link", "delete", "br0")
    assert node.snapshot(pod) == before
    node.call("GC", gc([])).ok()


@pytest.mark.parametrize("command", ["GC", "STATUS"])
@pytest.mark.parametrize("version", ["", "0.4.0", "1.0.0"])
def test_verbs_before_their_time(node: Node, command: str, version: str) -> None:
    error = node.call(command, FULL | {"cniVersion": version}).error(1)
    assert error["msg"] == f"config version does not allow {command}"


@pytest.mark.parametrize(
    "entry",
    [{}, {"containerID": "c1"}, {"ifname": "eth0"}, "c1", {"containerID": 1, "ifname": "x"}],
)
def test_gc_with_an_entry_that_is_none(node: Node, entry: object) -> None:
    """Half a list is no list: what it does not name must not be taken."""
    pod = node.pod()
    node.call("ADD", FULL, pod).ok()
    before = node.snapshot(pod)
    conf = FULL | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": [entry]}
    assert "cni.dev/valid-attachments" in node.call("GC", conf).error(7)["msg"]
    assert node.snapshot(pod) == before


def test_status(node: Node) -> None:
    assert node.call("STATUS", FULL | {"cniVersion": "1.1.0"}).ok() is None
    assert node.call("STATUS", confs.bridge(version="1.1.0")).ok() is None
    conf = FULL | {"cniVersion": "1.1.0", "ipam": {"type": "nosuch"}}
    assert 'failed to find plugin "nosuch"' in node.call("STATUS", conf).error(7)["msg"]
    assert node.links() == ["lo"]


def test_status_says_what_ipam_says(node: Node, tmp_path: Path) -> None:
    ipam = tmp_path / "away"
    ipam.write_text('#!/bin/sh\necho \'{"code":50,"msg":"no server"}\'\nexit 1\n')
    ipam.chmod(0o755)
    node.bin_path = str(tmp_path)
    conf = FULL | {"cniVersion": "1.1.0", "ipam": {"type": "away"}}
    assert node.call("STATUS", conf).error(50)["msg"] == "no server"
