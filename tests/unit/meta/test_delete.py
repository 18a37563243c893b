"""DEL: from whatever is left, all of it, as often as the runtime likes."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.meta.harness import RESULT

if TYPE_CHECKING:
    from tests.unit.meta.harness import Json, Node

A: dict[str, object] = {"name": "a", "type": "pa", "cniVersion": "1.0.0"}
B: dict[str, object] = {"name": "b", "type": "pb", "cniVersion": "0.3.1"}
BOTH = ["DEL pb net1", "DEL pa eth0"]


def added(node: Node) -> Json:
    node.plugin("pa", "pb")
    conf = node.conf(A, B)
    assert node.call("ADD", conf).status == 0
    node.calls()
    return conf


def test_in_reverse_with_the_previous_result(node: Node) -> None:
    conf = added(node)
    assert node.call("DEL", conf) == (0, {})
    assert node.calls() == BOTH
    assert "prevResult" not in node.stdin(0)  # before 0.4.0
    assert node.stdin(1)["prevResult"] == RESULT
    assert node.files() == []


def test_twice_and_three_times(node: Node) -> None:
    conf = added(node)
    for _ in range(3):
        assert node.call("DEL", conf, CNI_NETNS="") == (0, {})
    assert node.files() == []


def test_needs_no_namespace_no_configuration_no_executable(node: Node) -> None:
    node.plugin("pa", "pb")
    (node.conf_dir / "b.conf").write_text(json.dumps(B))
    conf = node.conf(A, attachments=[{"name": "b"}])
    assert node.call("ADD", conf).status == 0
    node.calls()
    (node.conf_dir / "b.conf").unlink()
    (node.bin / "pb").unlink()
    conf = node.conf({"name": "quite-another", "type": "pa"}, kubeconfig="/gone")
    assert node.call("DEL", conf, CNI_NETNS="") == (0, {})
    assert node.calls() == ["DEL pa eth0"]
    assert node.stdin(0)["name"] == "a"
    assert node.files() == []


def test_all_are_tried_and_the_failed_one_alone_is_retried(node: Node) -> None:
    conf = added(node)
    node.fail("pb", "DEL", code=11, msg="later")
    node.fail("pa", "DEL", code=5, msg="busy")
    reply = node.call("DEL", conf)
    assert node.calls() == BOTH
    assert reply.code == 11
    assert reply.msg == (
        'error deleting container from network "b": plugin type="pb" failed (delete): later; why / '
        'error deleting container from network "a": plugin type="pa" failed (delete): busy; why'
    )
    node.on("pb", "DEL", "")
    assert node.call("DEL", conf).code == 5
    assert node.calls() == BOTH
    assert node.files() == ["cid1", "results/a-cid1-eth0"]
    node.on("pa", "DEL", "")
    assert node.call("DEL", conf).status == 0
    assert node.calls() == ["DEL pa eth0"]
    assert node.stdin(0)["prevResult"] == RESULT
    assert node.files() == []


def test_a_failure_in_a_chain_does_not_stop_the_chain(node: Node) -> None:
    node.plugin("pa", "pb")
    conf = node.conf(
        {"name": "l", "cniVersion": "1.0.0", "plugins": [{"type": "pa"}, {"type": "pb"}]}
    )
    assert node.call("ADD", conf).status == 0
    node.calls()
    node.fail("pb", "DEL")
    assert node.call("DEL", conf).code == 77
    assert node.calls() == ["DEL pb eth0", "DEL pa eth0"]
    assert "cid1" in node.files()


@pytest.mark.parametrize("torn", ["", "{}", "[{", "[]", "null", '[{"Bytes":"!"}]', "[1]", "\0\0"])
def test_a_torn_record_is_made_good_from_the_cache(node: Node, torn: str) -> None:
    conf = json.loads(json.dumps(added(node)))
    (node.cni_dir / "cid1").write_text(torn)
    # a third that the configuration names may have been started too
    conf["delegates"].append({"name": "c", "type": "pa"})
    conf["delegates"][0]["name"] = "renamed"
    assert node.call("DEL", conf).status == 0
    assert node.calls() == ["DEL pa net2", *BOTH]
    assert node.stdin(2)["name"] == "a"
    assert node.files() == []


def test_a_torn_record_without_cache_goes_by_the_configuration(node: Node) -> None:
    conf = added(node)
    (node.cni_dir / "cid1").write_text("[{")
    for path in (node.cni_dir / "results").iterdir():
        path.unlink()
    node.fail("pb", "DEL", code=5)
    assert node.call("DEL", conf).code == 5
    assert node.calls() == BOTH
    assert [entry["plait"].get("deleted", False) for entry in node.scratch()] == [True, False]
    node.on("pb", "DEL", "")
    assert node.call("DEL", conf).status == 0
    assert node.calls() == ["DEL pb net1"]
    assert node.files() == []


def test_no_record_but_a_cache(node: Node) -> None:
    conf = added(node)
    (node.cni_dir / "cid1").unlink()
    assert node.call("DEL", conf).status == 0
    assert node.calls() == BOTH
    assert node.files() == []


def test_nothing_is_left_and_a_delegate_complains(node: Node) -> None:
    """What was deleted is not deleted again: the runtime must not retry for ever."""
    conf = added(node)
    assert node.call("DEL", conf).status == 0
    node.calls()
    node.fail("pa", "DEL")
    assert node.call("DEL", conf, CNI_NETNS="") == (0, {})
    assert node.calls() == []


def test_a_container_that_was_attached_before_multus_came(node: Node) -> None:
    """The runtime called its network itself; it asks again when that could not let go."""
    conf = added(node)
    assert node.call("DEL", conf).status == 0
    node.calls()
    node.fail("pb", "DEL")
    assert node.call("DEL", conf, CNI_CONTAINERID="old").status == 0
    node.fail("pa", "DEL", code=11)
    assert node.call("DEL", conf, CNI_CONTAINERID="older").code == 11
    assert node.calls() == BOTH * 2
    assert node.files() == []


def test_another_ifname_is_another_attachment(node: Node) -> None:
    """podman: two networks of type multus in one container."""
    node.plugin("pa", "pb")
    first, second = node.conf(A), node.conf(B, name="second-net")
    assert node.call("ADD", first).status == 0
    assert node.call("ADD", second, CNI_IFNAME="eth1").status == 0
    assert node.calls() == ["ADD pa eth0", "ADD pb eth1"]
    assert [name for name in node.files() if "/" not in name] == ["cid1", "cid1@eth1"]
    assert node.call("DEL", first).status == 0
    assert node.calls() == ["DEL pa eth0"]
    assert node.call("DEL", second, CNI_IFNAME="eth1").status == 0
    assert node.calls() == ["DEL pb eth1"]
    assert node.files() == []


def test_a_torn_record_of_the_one_is_not_taken_for_the_other_s(node: Node) -> None:
    node.plugin("pa", "pb")
    first, second = node.conf(A), node.conf(B, name="second-net")
    assert node.call("ADD", first).status == 0
    assert node.call("ADD", second, CNI_IFNAME="eth1").status == 0
    (node.cni_dir / "cid1").write_text("[{")
    node.calls()
    assert node.call("DEL", second, CNI_IFNAME="eth1").status == 0
    assert node.calls() == ["DEL pb eth1"]
    assert node.files() == ["cid1", "results/a-cid1-eth0"]
    assert node.call("DEL", first).status == 0
    assert node.calls() == ["DEL pa eth0"]
    assert node.files() == []


def test_del_of_another_ifname_leaves_the_live_one_alone(node: Node) -> None:
    conf = added(node)
    before = node.files()
    assert node.call("DEL", node.conf(B), CNI_IFNAME="eth1").status == 0
    assert node.calls() == ["DEL pb eth1"]
    assert node.files() == before
    assert node.call("DEL", conf).status == 0


def test_an_unreadable_previous_result_does_not_stop_del(node: Node) -> None:
    conf = added(node)
    (node.cni_dir / "results" / "a-cid1-eth0").write_text('{"result":{"ips":7}}')
    assert node.call("DEL", conf).status == 0
    assert node.calls() == BOTH
    assert "prevResult" not in node.stdin(1)
    assert node.files() == []


def test_a_netns_recorded_under_proc_is_never_used_again(node: Node) -> None:
    """DEL has no netns: the delegates get none, not the number that somebody else has by now."""
    conf = added(node)
    assert node.call("DEL", conf, CNI_NETNS="").status == 0
    assert node.env(0)["CNI_NETNS"] == ""


def test_an_attachment_that_was_refused_takes_nothing_of_the_live_one(node: Node) -> None:
    """Two multus networks that both want net1: the second ADD is refused, then comes its DEL."""
    conf = added(node)
    (node.root / "run" / "multus" / "cid1.started").write_text("2")
    before = node.files()
    second = node.conf({"name": "c", "type": "pa"}, B, name="second-net")
    assert node.call("DEL", second, CNI_IFNAME="eth1").status == 0
    assert node.calls() == ["DEL pa eth1"]
    assert node.files() == before
    assert node.call("DEL", conf).status == 0
    assert node.calls() == BOTH


@pytest.mark.parametrize("left", ["cache", "torn record", "record torn in part"])
def test_nor_when_the_live_one_s_record_is_not_whole(node: Node, left: str) -> None:
    added(node)
    if left == "cache":
        (node.cni_dir / "cid1").unlink()
    elif left == "torn record":
        (node.cni_dir / "cid1").write_text("[{")
    else:
        elements = node.scratch()
        elements[1]["Bytes"] = "!"
        (node.cni_dir / "cid1").write_text(json.dumps(elements))
    before = node.files()
    second = node.conf({"name": "c", "type": "pa"}, B, name="second-net")
    assert node.call("DEL", second, CNI_IFNAME="eth1").status == 0
    assert node.calls() == []
    assert node.files() == before


def test_a_name_that_no_file_can_have(node: Node) -> None:
    """Its ADD was refused: there is nothing to delete, and nothing to fail for."""
    node.plugin("pa")
    conf = node.conf({"name": "n" * 250, "type": "pa", "cniVersion": "1.0.0"})
    for container_id in ("c" * 64, "c" * 250, "c" * 300):
        assert node.call("DEL", conf, CNI_CONTAINERID=container_id) == (0, {})
    assert node.files() == []


def test_a_typing_error_in_the_configuration_does_not_stop_the_del_of_a_whole_record(
    node: Node,
) -> None:
    conf = added(node)
    broken = {**conf, "defaultNetworks": "x", "runtimeConfig": {"mac": "c2:11:22:33:44:66"}}
    assert node.call("DEL", broken) == (0, {})
    assert node.calls() == BOTH
    assert node.files() == []
    reply = node.call("DEL", broken)
    assert reply.code == 7
    assert '"defaultNetworks"' in reply.msg
    assert node.calls() == []


def test_of_a_torn_record_the_configuration_is_needed(node: Node) -> None:
    conf = added(node)
    (node.cni_dir / "cid1").write_text("[{")
    assert node.call("DEL", {**conf, "defaultNetworks": "x"}).code == 7
    assert node.calls() == []
    assert node.call("DEL", {**conf, "cniDir": 5}).code == 7


def test_a_container_called_results(node: Node) -> None:
    """The cache has its directory under that name."""
    node.plugin("pa", "pb")
    conf = node.conf(A, B)
    for container_id in ("results", "cid1"):
        assert node.call("ADD", conf, CNI_CONTAINERID=container_id).status == 0
    node.calls()
    assert node.call("DEL", conf, CNI_CONTAINERID="results").status == 0
    assert node.calls() == BOTH
    assert node.call("DEL", conf).status == 0
    assert node.files() == []


def test_a_full_disk_does_not_hide_the_delegate_s_error(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = added(node)
    node.fail("pb", "DEL", msg="busy")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "cid1")

    monkeypatch.setattr("cni.store.files.write", full)
    reply = node.call("DEL", conf)
    assert reply.code == 77
    assert "busy" in reply.msg
    assert "ENOSPC" in reply.msg
