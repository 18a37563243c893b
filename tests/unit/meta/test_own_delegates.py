"""Delegates of this suite run in the same process, and get the whole request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import pytest

from cni.core import registry
from cni.core.types import Interface, IPConfig, Result

if TYPE_CHECKING:
    from types import ModuleType

    from cni.core.types import Request
    from tests.unit.meta.harness import Node


class Own:
    """A plugin module that notes its requests."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.failure: Exception | None = None

    def _note(self, req: Request) -> None:
        self.seen.append(req)
        if self.failure is not None and req.command == "DEL":
            raise self.failure

    check = delete = gc = status = _note

    def add(self, req: Request) -> Result:
        self._note(req)
        return Result(interfaces=(Interface("eth0", mtu=1400),), ips=(IPConfig("10.0.0.2/24"),))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Own:
    plugin = Own()
    monkeypatch.setitem(sys.modules, "own_plugin", cast("ModuleType", plugin))
    monkeypatch.setitem(registry.PLUGINS, "own", "own_plugin")
    return plugin


def test_the_request_of_an_own_delegate(node: Node, own: Own) -> None:
    node.plugin("foreign")
    chain = {"name": "l", "cniVersion": "0.3.1", "plugins": [{"type": "foreign"}, {"type": "own"}]}
    conf = node.conf(chain, {"name": "b", "type": "own"}, runtimeConfig={"mac": "x"})
    assert node.call("ADD", conf, CNI_ARGS="IgnoreUnknown=1;K=v").status == 0
    first, second = own.seen
    assert first.command == "ADD"
    assert first.config["prevResult"]["cniVersion"] == "0.3.1"
    assert first.prev_result is not None
    assert first.prev_result.ips[0].address == "10.0.0.2/24"
    assert (first.network, first.cni_version, first.ifname) == ("l", "0.3.1", "eth0")
    assert (second.network, second.cni_version, second.ifname) == ("b", "1.1.0", "net1")
    assert second.prev_result is None
    assert second.args == "IgnoreUnknown=true;K=v"
    assert second.path == (str(node.bin), "/nowhere")
    assert second.config == {"cniVersion": "1.1.0", "name": "b", "type": "own"}
    assert second.attachment == ("b", "cid1", "net1")


def test_a_bug_in_one_delegate_does_not_stop_del(node: Node, own: Own) -> None:
    node.plugin("foreign")
    conf = node.conf({"name": "a", "type": "foreign"}, {"name": "b", "type": "own"})
    assert node.call("ADD", conf).status == 0
    node.calls()
    own.failure = KeyError("oops")
    reply = node.call("DEL", conf)
    assert reply.code == 999
    assert 'network "b"' in reply.msg
    assert node.calls() == ["DEL foreign eth0"]


def test_an_oserror_of_the_kernel_layer_keeps_its_operation(node: Node, own: Own) -> None:
    conf = node.conf({"name": "b", "type": "own"})
    assert node.call("ADD", conf).status == 0
    own.failure = OSError(16, "Device or resource busy")
    own.failure.add_note('delete link "eth0"')
    reply = node.call("DEL", conf)
    assert (reply.code, reply.out["details"]) == (101, "EBUSY: Device or resource busy")
    assert reply.msg.endswith('plugin type="own" failed (delete): delete link "eth0"')
