"""CHECK of everything recorded; STATUS of everything that a new container would need."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

from meta.multus import readiness
from tests.unit.meta.harness import RESULT

if TYPE_CHECKING:
    import pytest

    from tests.unit.meta.harness import Node


def test_check_reaches_every_delegate_with_its_result(node: Node) -> None:
    node.plugin("pa", "pb", "pc")
    (node.conf_dir / "n.conf").write_text('{"name":"n","type":"pc","cniVersion":"0.4.0"}')
    conf = node.conf(
        {"name": "a", "cniVersion": "1.0.0", "plugins": [{"type": "pa"}, {"type": "pb"}]},
        {"name": "old", "type": "pb", "cniVersion": "0.3.1"},
        {"name": "off", "disableCheck": True, "plugins": [{"type": "pb"}]},
        attachments=[{"name": "n"}],
    )
    assert node.call("ADD", conf).status == 0
    node.calls()
    (node.conf_dir / "n.conf").unlink()  # the record counts, not the file
    assert node.call("CHECK", conf) == (0, {})
    assert node.calls() == ["CHECK pa eth0", "CHECK pb eth0", "CHECK pc net3"]
    assert node.stdin(0)["prevResult"] == RESULT
    assert node.stdin(1)["prevResult"] == RESULT
    assert node.stdin(2)["prevResult"]["cniVersion"] == "0.4.0"


def test_check_passes_on_what_the_runtime_says(node: Node) -> None:
    node.plugin("pa")
    conf = node.conf(
        {"name": "a", "type": "pa", "capabilities": {"mac": True}}, runtimeConfig={"mac": "x"}
    )
    assert node.call("ADD", conf, CNI_ARGS="IgnoreUnknown=1;A=b").status == 0
    node.calls()
    assert node.call("CHECK", conf, CNI_ARGS="").status == 0
    assert node.stdin(0)["runtimeConfig"] == {"mac": "x"}
    assert node.env(0)["CNI_ARGS"] == "IgnoreUnknown=true;A=b"


def test_the_first_failing_check_is_the_answer(node: Node) -> None:
    node.plugin("pa", "pb")
    conf = node.conf({"name": "a", "type": "pa"}, {"name": "b", "type": "pb"})
    assert node.call("ADD", conf).status == 0
    node.fail("pa", "CHECK", code=102, msg="gone")
    reply = node.call("CHECK", conf)
    assert reply.code == 102
    assert reply.msg == (
        'error checking container on network "a": plugin type="pa" failed (check): gone'
    )


def test_check_of_a_container_that_is_not_attached(node: Node) -> None:
    node.plugin("pa")
    reply = node.call("CHECK", node.conf({"name": "a", "type": "pa"}))
    assert reply.code == 102
    assert '"cid1"' in reply.msg


STATUS_ENV = {"CNI_CONTAINERID": "", "CNI_IFNAME": "", "CNI_NETNS": ""}


def test_status_asks_every_network_that_has_the_verb(node: Node) -> None:
    node.plugin("pa", "pb", "pc")
    (node.conf_dir / "n.conf").write_text('{"name":"n","type":"pc"}')
    conf = node.conf(
        {"name": "a", "plugins": [{"type": "pa"}, {"type": "pb"}]},
        {"name": "old", "type": "pb", "cniVersion": "1.0.0"},
        attachments=[{"name": "n"}],
    )
    assert node.call("STATUS", conf, **STATUS_ENV) == (0, {})
    assert node.calls() == ["STATUS pa", "STATUS pb", "STATUS pc"]
    assert node.stdin(0) == {"cniVersion": "1.1.0", "name": "a", "type": "pa"}


def test_status_forwards_the_delegate_s_code(node: Node) -> None:
    node.plugin("pa")
    node.fail("pa", "STATUS", code=99, msg="boom STATUS")
    reply = node.call("STATUS", node.conf({"name": "a", "type": "pa"}), **STATUS_ENV)
    assert (reply.code, reply.msg) == (99, 'plugin type="pa" failed (status): boom STATUS')


def test_status_when_an_executable_is_missing(node: Node) -> None:
    node.plugin("pa")
    conf = node.conf(
        {"name": "a", "type": "pa"}, {"name": "b", "type": "gone", "cniVersion": "0.3.1"}
    )
    reply = node.call("STATUS", conf, **STATUS_ENV)
    assert reply.code == 50
    assert 'network "b": failed to find plugin "gone"' in reply.msg


def test_status_when_a_network_is_missing(node: Node) -> None:
    node.plugin("pa")
    conf = node.conf({"name": "a", "type": "pa"}, attachments=[{"name": "n"}])
    reply = node.call("STATUS", conf, **STATUS_ENV)
    assert (reply.code, reply.msg) == (50, f'"attachments.0": No networks found in {node.conf_dir}')


def test_status_says_at_once_that_the_default_network_is_not_ready(node: Node) -> None:
    node.plugin("pa")
    conf = node.conf({"name": "a", "type": "pa"}, readinessindicatorfile=str(node.root / "ready"))
    started = time.monotonic()
    reply = node.call("STATUS", conf, **STATUS_ENV)
    assert time.monotonic() - started < 0.9  # the original waits 45 s
    assert reply.code == 50
    assert f"readinessindicatorfile @ {node.root / 'ready'}" in reply.msg
    assert node.calls() == []
    (node.root / "ready").touch()
    assert node.call("STATUS", conf, **STATUS_ENV).status == 0


def test_status_of_a_configuration_that_add_refuses(node: Node) -> None:
    conf = node.conf({"name": "a", "type": "pa"}, kubeconfig="/etc/kubeconfig")
    assert node.call("STATUS", conf, **STATUS_ENV).code == 50


def test_add_waits_for_the_default_network(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.plugin("pa")
    ready = node.root / "ready"
    conf = node.conf({"name": "a", "type": "pa"}, readinessindicatorfile=str(ready))
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            ready.touch()

    monkeypatch.setattr(readiness, "signals", SimpleNamespace(sleep=sleep))
    assert node.call("ADD", conf).status == 0
    assert waits == [1.0, 1.0, 1.0]


def test_add_does_not_wait_for_ever_and_del_not_at_all(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.plugin("pa")
    monkeypatch.setattr(readiness, "TIMEOUT", 0.02)
    monkeypatch.setattr(readiness, "INTERVAL", 0.01)
    conf = node.conf({"name": "a", "type": "pa"}, readinessindicatorfile="/nowhere/ready")
    reply = node.call("ADD", conf)
    assert reply.code == 11
    assert reply.msg == (
        "have you checked that your default network is ready? still waiting for"
        " readinessindicatorfile @ /nowhere/ready"
    )
    assert node.calls() == []
    monkeypatch.setattr(readiness, "TIMEOUT", 45)
    assert node.call("DEL", conf).status == 0


def test_the_versions_of_the_verbs(node: Node) -> None:
    conf = node.conf({"name": "a", "type": "pa"}, cniVersion="0.3.1")
    assert node.call("CHECK", conf).code == 1
    assert node.call("STATUS", conf).code == 1
    assert json.loads(node.spawn("VERSION", {}).stdout)["supportedVersions"][-1] == "1.1.0"
