"""GC collects what containers that are gone have left, and nothing else."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

from cni.core import registry
from meta.multus import lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from cni.core.types import Request
    from tests.unit.meta.harness import Json, Node

A: dict[str, object] = {"name": "a", "type": "pa", "cniVersion": "1.1.0"}
B: dict[str, object] = {"name": "b", "type": "pb", "cniVersion": "1.0.0"}


def attached(node: Node, *container_ids: str) -> Json:
    node.plugin("pa", "pb")
    conf = node.conf(A, B)
    for container_id in container_ids:
        netns = str(namespace(node, container_id))
        assert node.call("ADD", conf, CNI_CONTAINERID=container_id, CNI_NETNS=netns).status == 0
    node.calls()
    return conf


def namespace(node: Node, container_id: str) -> Path:
    path = node.root / f"netns-{container_id}"
    path.touch()
    return path


def collect(node: Node, conf: Json, *valid: str, **env: str) -> Any:
    pairs = [{"containerID": each, "ifname": "eth0"} for each in valid]
    env = {"CNI_CONTAINERID": "", "CNI_IFNAME": "", "CNI_NETNS": "", **env}
    return node.call("GC", {**conf, "cni.dev/valid-attachments": pairs}, **env)


def asked(node: Node, index: int) -> list[tuple[str, str]]:
    pairs = node.stdin(index)["cni.dev/valid-attachments"]
    return [(pair["containerID"], pair["ifname"]) for pair in pairs]


def test_the_dead_go_and_each_network_is_told_its_own(node: Node) -> None:
    conf = attached(node, "live1", "live2", "dead1", "dead2")
    assert collect(node, conf, "live1", "live2") == (0, {})
    assert node.calls() == [
        "DEL pb net1",
        "DEL pa eth0",
        "DEL pb net1",
        "DEL pa eth0",
        "GC pa",  # 1.0.0 has no GC
    ]
    assert [node.env(i)["CNI_CONTAINERID"] for i in range(4)] == ["dead1"] * 2 + ["dead2"] * 2
    assert node.env(0)["CNI_NETNS"] == str(namespace(node, "dead1"))
    assert asked(node, 4) == [("live1", "eth0"), ("live2", "eth0")]
    assert node.stdin(4)["cniVersion"] == "1.1.0"
    assert [name for name in node.files() if "dead" in name] == []
    assert len(node.files()) == 6
    assert node.call("CHECK", conf, CNI_CONTAINERID="live1").status == 0


def test_untold_nothing_is_collected(node: Node) -> None:
    conf = attached(node, "dead1")
    before = node.files()
    assert node.call("GC", conf, CNI_CONTAINERID="").status == 0
    assert node.calls() == []
    assert node.files() == before


def test_another_multus_network_of_which_only_the_cache_is_left(node: Node) -> None:
    """A cache need not be whole: nobody can tell the networks what the container has on them."""
    conf = attached(node)
    assert node.call("ADD", node.conf(A, name="other-net"), CNI_CONTAINERID="theirs").status == 0
    (node.cni_dir / "theirs").unlink()
    node.calls()
    before = node.files()
    assert collect(node, conf).status == 0
    assert node.calls() == []
    assert node.files() == before


@pytest.mark.parametrize("conf_wide", [True, False])
def test_disable_gc(node: Node, *, conf_wide: bool) -> None:
    node.plugin("pa")
    delegate: Json = {"name": "a", "cniVersion": "1.1.0", "plugins": [{"type": "pa"}]}
    if not conf_wide:
        delegate["disableGC"] = True
    conf = node.conf(delegate, disableGC=conf_wide)
    assert node.call("ADD", conf).status == 0
    node.calls()
    assert collect(node, conf).status == 0
    assert node.calls() == ([] if conf_wide else ["DEL pa eth0"])


def test_everything_is_tried_and_failures_keep_their_records(node: Node) -> None:
    conf = attached(node, "dead1", "dead2")
    node.fail("pb", "DEL", code=5, msg="busy")
    node.fail("pa", "GC", code=6, msg="worse")
    reply = collect(node, conf)
    assert reply.code == 5
    assert reply.msg.count("busy") == 2
    assert 'network "a": plugin type="pa" failed (gc): worse' in reply.msg
    assert node.calls() == ["DEL pb net1", "DEL pa eth0"] * 2 + ["GC pa"]
    assert [name for name in node.files() if "/" not in name] == ["dead1", "dead2"]
    node.on("pb", "DEL", "")
    node.on("pa", "GC", "")
    assert collect(node, conf).status == 0
    assert node.calls() == ["DEL pb net1", "DEL pb net1", "GC pa"]
    assert node.files() == []


def test_what_only_the_cache_knows(node: Node) -> None:
    conf = attached(node, "dead1", "live1")
    (node.cni_dir / "dead1").unlink()
    (node.cni_dir / "live1").write_text("[{")
    assert collect(node, conf, "live1").status == 0
    assert node.calls() == ["DEL pb net1", "DEL pa eth0"]
    assert [name for name in node.files() if "dead" in name] == []


def lost(node: Node) -> None:
    (node.cni_dir / "live1").unlink()


def lost_with_its_cache(node: Node) -> None:
    lost(node)
    for path in (node.cni_dir / "results").glob("*-live1-*"):
        path.unlink()


def torn(node: Node) -> None:
    (node.cni_dir / "live1").write_text("[{")


def torn_in_part(node: Node) -> None:
    elements = node.scratch("live1")
    elements[1]["Bytes"] = "!!"
    (node.cni_dir / "live1").write_text(json.dumps(elements))


@pytest.mark.parametrize("damage", [lost, lost_with_its_cache, torn, torn_in_part])
def test_a_live_container_of_which_no_whole_record_is_left_keeps_all(
    node: Node, damage: Callable[[Node], None]
) -> None:
    """Attached before multus, or with another cniDir: what it has on the networks is not known."""
    conf = attached(node, "live1", "live2", "dead1")
    damage(node)
    assert collect(node, conf, "live1", "live2").status == 0
    assert [node.env(index)["CNI_CONTAINERID"] for index in range(2)] == ["dead1", "dead1"]
    assert node.calls() == ["DEL pb net1", "DEL pa eth0"]
    assert collect(node, conf, "live2").status == 0
    assert node.calls()[-1] == "GC pa"


def test_a_network_of_another_multus_network_is_not_asked(node: Node) -> None:
    conf = attached(node, "mine")
    node.plugin("pc")
    other = node.conf({"name": "c", "type": "pc", "cniVersion": "1.1.0"}, name="other-net")
    assert node.call("ADD", other, CNI_CONTAINERID="theirs").status == 0
    node.calls()
    assert collect(node, conf, "mine").status == 0
    assert node.calls() == ["GC pa"]


def test_a_record_of_the_original_is_judged_by_its_container(node: Node) -> None:
    conf = attached(node, "live1", "dead1")
    for name in ("live1", "dead1"):
        elements = node.scratch(name)
        for element in elements:
            del element["plait"]
        (node.cni_dir / name).write_text(json.dumps(elements))
    for path in (node.cni_dir / "results").iterdir():
        entry = json.loads(path.read_text())
        del entry["plait"]
        path.write_text(json.dumps(entry))
    assert collect(node, conf, "live1").status == 0
    assert node.calls() == ["DEL pb net1", "DEL pa eth0", "GC pa"]
    assert asked(node, 2) == [("live1", "eth0")]
    assert [name for name in node.files() if "dead" in name] == []


def test_another_multus_network_in_the_same_directory(node: Node) -> None:
    """The valid list is of this network: it says nothing about the containers of another."""
    conf = attached(node, "mine")
    other = node.conf(A, name="other-net")
    assert node.call("ADD", other, CNI_CONTAINERID="theirs").status == 0
    node.calls()
    assert collect(node, conf).status == 0
    assert node.calls() == ["DEL pb net1", "DEL pa eth0", "GC pa"]
    assert asked(node, 2) == [("theirs", "eth0")]
    assert node.files() == ["results/a-theirs-eth0", "theirs"]


def test_a_container_that_is_being_worked_on_is_alive(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = attached(node, "busy")
    monkeypatch.setattr("meta.multus.collect._PATIENCE", 0)
    with lock.container(str(node.root / "run"), "busy"):
        assert collect(node, conf).status == 0
    assert node.calls() == ["GC pa"]
    assert asked(node, 0) == [("busy", "eth0")]


def test_strange_files_are_left_alone(node: Node) -> None:
    conf = attached(node, "live1")
    strange = {"notes.txt": "hello", "..": "", "empty": "", "list": "[1,2]", "spaces in": "[]"}
    for name, text in strange.items():
        if name != "..":
            (node.cni_dir / name).write_text(text)
    (node.cni_dir / "sub").mkdir()
    (node.cni_dir / "results" / "junk").write_text("{")
    assert collect(node, conf, "live1").status == 0
    assert node.calls() == ["GC pa"]
    assert all((node.cni_dir / name).exists() for name in strange)


def test_our_own_types_are_asked_in_any_version(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Request] = []

    class Own:
        @staticmethod
        def gc(req: Request) -> None:
            seen.append(req)

    monkeypatch.setitem(sys.modules, "own_plugin", cast("ModuleType", Own))
    monkeypatch.setitem(registry.PLUGINS, "bridge", "own_plugin")
    conf = node.conf({"name": "old", "type": "bridge", "cniVersion": "0.3.1"})
    assert collect(node, conf).status == 0
    assert [(req.cni_version, req.config["cniVersion"]) for req in seen] == [("1.1.0", "1.1.0")]
    assert seen[0].valid_attachments == frozenset()
    assert seen[0].path == (str(node.bin), "/nowhere")


def test_a_gone_executable_and_a_gone_file_do_not_fail_gc(node: Node) -> None:
    conf = attached(node, "dead1")
    (node.bin / "pa").unlink()
    conf["attachments"] = [{"name": "gone"}]
    assert collect(node, conf).status == 0
    assert node.calls() == ["DEL pb net1"]
    assert node.files() == []


def test_a_record_that_cannot_be_worked_on_does_not_stop_the_others(node: Node) -> None:
    conf = attached(node, "dead1", "dead2")
    (node.root / "run" / "multus" / "dead1.lock").mkdir()
    reply = collect(node, conf)
    assert reply.code == 5
    assert node.calls() == ["DEL pb net1", "DEL pa eth0", "GC pa"]
    assert node.env(0)["CNI_CONTAINERID"] == "dead2"
    assert asked(node, 2) == [("dead1", "eth0")]
    assert [name for name in node.files() if "/" not in name] == ["dead1"]


def test_a_namespace_that_was_made_anew_under_its_path_is_not_entered(node: Node) -> None:
    conf = attached(node, "dead1")
    path = namespace(node, "dead1")
    path.rename(path.with_suffix(".old"))
    path.touch()
    assert collect(node, conf).status == 0
    assert node.calls()[:2] == ["DEL pb net1", "DEL pa eth0"]
    assert node.env(0)["CNI_NETNS"] == ""


@pytest.mark.parametrize("marked", [True, False])
def test_a_namespace_that_a_live_container_has_is_not_entered(node: Node, *, marked: bool) -> None:
    conf = attached(node, "dead1")
    netns = str(namespace(node, "dead1"))
    assert node.call("ADD", conf, CNI_CONTAINERID="live1", CNI_NETNS=netns).status == 0
    if not marked:
        elements = node.scratch("dead1")
        for element in elements:
            del element["plait"]["netnsId"]
        (node.cni_dir / "dead1").write_text(json.dumps(elements))
    node.calls()
    assert collect(node, conf, "live1").status == 0
    assert node.calls() == ["DEL pb net1", "DEL pa eth0", "GC pa"]
    assert node.env(0)["CNI_NETNS"] == ""


def test_after_the_network_was_renamed(node: Node) -> None:
    """What nobody speaks of any more goes with its namespace."""
    conf = attached(node, "dead1", "live1", "live2")
    namespace(node, "dead1").unlink()
    namespace(node, "live2").unlink()
    assert collect(node, {**conf, "name": "renamed"}, "live2").status == 0
    assert node.calls() == ["DEL pb net1", "DEL pa eth0", "GC pa"]
    assert node.env(0)["CNI_CONTAINERID"] == "dead1"
    assert asked(node, 2) == [("live1", "eth0"), ("live2", "eth0")]


def test_what_a_killed_writer_left(node: Node) -> None:
    conf = attached(node, "live1")
    left = [
        node.cni_dir / ".dead1.tmp",
        node.cni_dir / "results" / ".a-dead1-eth0.tmp",
        node.root / "run" / "multus" / ".dead1.started.tmp",
    ]
    for path in left:
        path.write_text("[{")
    assert collect(node, conf, "live1").status == 0
    assert [path for path in left if path.exists()] == []


def test_a_container_id_too_long_for_the_names_of_our_own_files(node: Node) -> None:
    conf = attached(node, "live1")
    long = "e" * 250
    (node.cni_dir / long).write_text((node.cni_dir / "live1").read_text())
    assert collect(node, conf, "live1").status == 0
    assert node.calls() == ["DEL pb net1", "DEL pa eth0", "GC pa"]
    assert not (node.cni_dir / long).exists()


def test_an_add_that_was_killed_before_it_had_a_record(node: Node) -> None:
    """How far it came is forgotten; not of one that is about to write its record."""
    conf = attached(node, "there")
    directory = node.root / "run" / "multus"
    killed, running = directory / "killed.started", directory / "running.started"
    killed.write_text("0")
    running.write_text("0")
    (directory / "there.started").write_text("1")  # a second ADD of it, say, has come so far
    with lock.container(str(node.root / "run"), "running"):
        assert collect(node, conf, "there").status == 0
    assert not killed.exists() and running.exists()
    assert (directory / "there.started").exists()
    assert collect(node, conf, "there").status == 0
    assert not running.exists()
