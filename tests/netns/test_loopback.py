"""loopback: lo up, its addresses told, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns import confs
from tests.netns.faults import failing

if TYPE_CHECKING:
    from tests.netns.node import Node, Pod

CONF: confs.Conf = {"cniVersion": "1.0.0", "name": "lo", "type": "loopback"}
V4 = {"address": "127.0.0.1/8", "interface": 0}
V6 = {"address": "::1/128", "interface": 0}


def is_up(pod: Pod) -> bool:
    return "UP" in pod.link("lo")["flags"]


@pytest.mark.parametrize("ifname", ["lo", "eth0"])
def test_add(node: Node, ifname: str) -> None:
    pod = node.pod()
    assert node.call("ADD", CONF, pod, ifname).ok() == {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": pod.path}],
        "ips": [V4, V6],
    }
    assert is_up(pod)
    pod.run("ping", "-c1", "-W5", "127.0.0.1")
    node.call("ADD", CONF, pod, ifname).ok()


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
def test_result_of_older_versions(node: Node, version: str) -> None:
    """The original prints the newest shape in all of them."""
    result = node.call("ADD", CONF | {"cniVersion": version}, node.pod()).ok()
    assert [ip["version"] for ip in result["ips"]] == ["4", "6"]
    assert result["dns"] == {}


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", ""])
def test_result_of_the_oldest_versions(node: Node, version: str) -> None:
    result = node.call("ADD", CONF | {"cniVersion": version}, node.pod()).ok()
    assert result == {
        "cniVersion": version or "0.1.0",
        "ip4": {"ip": "127.0.0.1/8"},
        "ip6": {"ip": "::1/128"},
        "dns": {},
    }


def test_without_ipv6(node: Node) -> None:
    pod = node.pod()
    pod.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6")
    assert node.call("ADD", CONF, pod).ok()["ips"] == [V4]


def test_previous_result_is_passed_on(node: Node) -> None:
    prev = {
        "cniVersion": "0.4.0",
        "interfaces": [{"name": "eth0", "sandbox": "/x"}],
        "ips": [{"version": "4", "address": "10.1.2.3/24", "interface": 0}],
    }
    pod = node.pod()
    assert node.call("ADD", CONF | {"prevResult": prev}, pod).ok() == {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "sandbox": "/x"}],
        "ips": [{"address": "10.1.2.3/24", "interface": 0}],
    }
    assert is_up(pod)


def test_address_that_is_no_loopback(node: Node) -> None:
    pod = node.pod()
    pod.ip("address", "add", "10.66.0.1/8", "dev", "lo")
    before = node.snapshot(pod)
    error = node.call("ADD", CONF, pod).error(7)
    assert 'non-loopback address "10.66.0.1/8"' in error["msg"]
    assert node.snapshot(pod) == before
    assert not is_up(pod)


def test_add_failing_at_every_call(node: Node) -> None:
    pod = node.pod()
    for after in (False, True):
        for nth in range(1, 20):
            with failing(nth, after=after) as fault:
                reply = node.call("ADD", CONF, pod)
            if not fault.hit:
                reply.ok()
                pod.ip("link", "set", "lo", "down")
                break
            reply.error(101)
            assert not is_up(pod), fault.hit


def test_lo_that_is_up_stays_up_when_the_add_fails(node: Node) -> None:
    pod = node.pod()
    pod.ip("link", "set", "lo", "up")
    pod.ip("address", "add", "10.66.0.1/8", "dev", "lo")
    node.call("ADD", CONF, pod).error(7)
    assert is_up(pod)


@pytest.mark.parametrize("netns", ["", "/run/netns/gone", "/etc/passwd"])
def test_delete_without_the_namespace(node: Node, netns: str) -> None:
    environ = node.environ("DEL", node.pod()) | {"CNI_NETNS": netns}
    node.raw("loopback", environ, confs.encoded(CONF)).ok()


def test_delete(node: Node) -> None:
    pod = node.pod()
    node.call("ADD", CONF, pod).ok()
    for _ in range(2):
        node.call("DEL", CONF, pod).ok()
        assert not is_up(pod)


def test_check(node: Node) -> None:
    pod = node.pod()
    assert "loopback interface is down" in node.call("CHECK", CONF, pod).error(102)["msg"]
    node.call("ADD", CONF, pod).ok()
    assert node.call("CHECK", CONF, pod).ok() is None
    environ = node.environ("CHECK", pod) | {"CNI_NETNS": "/run/netns/gone"}
    node.raw("loopback", environ, confs.encoded(CONF)).error(8)


def test_own_namespace_is_refused_before_any_work(node: Node) -> None:
    """The original has brought the host's lo down by then."""
    for command in ("ADD", "DEL"):
        environ = node.environ(command, node.pod()) | {"CNI_NETNS": "/proc/thread-self/ns/net"}
        node.raw("loopback", environ, confs.encoded(CONF)).error(8)
        assert "UP" in node.link("lo")["flags"]


def test_the_other_verbs(node: Node) -> None:
    conf = CONF | {"cniVersion": "1.1.0"}
    assert node.call("STATUS", conf).ok() is None
    assert node.call("GC", conf | {"cni.dev/valid-attachments": []}).ok() is None
