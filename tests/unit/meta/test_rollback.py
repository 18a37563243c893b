"""A failed or interrupted ADD leaves nothing: exactly what was started is deleted, in reverse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.meta.harness import Json, Node


def three(node: Node) -> Json:
    node.plugin("pa", "pb", "pc")
    return node.conf(
        {"name": "a", "type": "pa"}, {"name": "b", "type": "pb"}, {"name": "c", "type": "pc"}
    )


@pytest.mark.parametrize(
    ("which", "calls"),
    [
        ("pa", ["ADD pa eth0", "DEL pa eth0"]),
        ("pb", ["ADD pa eth0", "ADD pb net1", "DEL pb net1", "DEL pa eth0"]),
        (
            "pc",
            [
                "ADD pa eth0",
                "ADD pb net1",
                "ADD pc net2",
                "DEL pc net2",
                "DEL pb net1",
                "DEL pa eth0",
            ],
        ),
    ],
)
def test_the_started_ones_are_deleted_in_reverse(node: Node, which: str, calls: list[str]) -> None:
    conf = three(node)
    node.fail(which, "ADD")
    reply = node.call("ADD", conf)
    name = which[1]
    assert reply == (
        1,
        {
            "cniVersion": "1.1.0",
            "code": 77,
            "msg": f'[{name}]: error adding container to network "{name}": plugin type="{which}"'
            " failed (add): boom",
            "details": "why",
        },
    )
    assert node.calls() == calls
    assert node.files() == []


def test_the_error_names_the_pod(node: Node) -> None:
    conf = three(node)
    node.fail("pb", "ADD")
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p1;K8S_POD_UID=u1"
    reply = node.call("ADD", conf, CNI_ARGS=args)
    assert reply.msg.startswith('[default/p1/u1:b]: error adding container to network "b": ')


@pytest.mark.parametrize(
    ("script", "code", "msg"),
    [
        ("echo garbage; exit 0", 6, "printed no valid JSON"),
        ("exit 0", 6, "printed no valid JSON"),
        ("echo '[]'; exit 0", 6, "must be a dict"),
        ("""echo '{"cniVersion":"9.9.9"}'; exit 0""", 1, "9.9.9"),
        ("""echo '{"ips":"x"}'; exit 0""", 6, "ips must be a list"),
        ("echo no json at all; exit 3", 103, "exit status 3"),
        ("kill -SEGV $$", 103, "signal 11"),
    ],
)
def test_a_delegate_that_answers_nonsense(node: Node, script: str, code: int, msg: str) -> None:
    conf = three(node)
    node.on("pb", "ADD", script)
    reply = node.call("ADD", conf)
    assert reply.code == code
    assert msg in reply.msg
    assert 'network "b"' in reply.msg
    assert 'type="pb"' in reply.msg
    assert node.calls() == ["ADD pa eth0", "ADD pb net1", "DEL pb net1", "DEL pa eth0"]
    assert node.files() == []


def test_a_missing_executable(node: Node) -> None:
    conf = three(node)
    (node.bin / "pb").unlink()
    reply = node.call("ADD", conf)
    assert reply.code == 7
    assert reply.msg == (
        '[b]: error adding container to network "b": plugin type="pb" failed (add): failed to find'
        f' plugin "pb" in path [{node.bin} /nowhere]'
    )
    assert node.calls() == []  # it is found before anything is attached
    assert node.files() == []


def test_in_a_chain_the_whole_list_is_deleted(node: Node) -> None:
    node.plugin("pa", "pb", "pc")
    node.fail("pb", "ADD")
    conf = node.conf({"name": "l", "plugins": [{"type": "pa"}, {"type": "pb"}, {"type": "pc"}]})
    assert node.call("ADD", conf).code == 77
    assert node.calls() == [
        "ADD pa eth0",
        "ADD pb eth0",
        "DEL pc eth0",
        "DEL pb eth0",
        "DEL pa eth0",
    ]
    assert "prevResult" not in node.stdin(2)


def test_what_could_not_be_deleted_stays_on_record_for_the_runtime_s_del(node: Node) -> None:
    conf = three(node)
    node.fail("pc", "ADD")
    node.fail("pb", "DEL", code=5, msg="busy")
    reply = node.call("ADD", conf)
    assert reply.code == 77  # the cause, not the failed undo
    assert node.calls()[3:] == ["DEL pc net2", "DEL pb net1", "DEL pa eth0"]
    assert node.files() == ["cid1", "results/b-cid1-net1"]
    node.on("pb", "DEL", "")
    assert node.call("DEL", conf).status == 0
    assert node.calls() == ["DEL pb net1"]
    assert node.files() == []


def test_an_impatient_runtime_gets_everything_undone(node: Node) -> None:
    """SIGTERM reaches the hanging delegate too, and it is deleted as one that was started."""
    conf = three(node)
    node.on("pb", "ADD", 'trap "exit 1" TERM; kill -TERM $PPID; while :; do sleep 0.1; done')
    done = node.spawn("ADD", conf)
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == 11
    assert node.calls() == ["ADD pa eth0", "ADD pb net1", "DEL pb net1", "DEL pa eth0"]
    assert node.files() == []


def test_after_sigkill_del_reaches_exactly_what_was_started(node: Node) -> None:
    conf = three(node)
    node.on("pb", "ADD", "kill -KILL $PPID; exit 1")
    assert node.spawn("ADD", conf).returncode == -9
    assert node.calls() == ["ADD pa eth0", "ADD pb net1"]
    node.on("pb", "ADD", "")
    assert node.call("DEL", conf).status == 0
    assert node.calls() == ["DEL pb net1", "DEL pa eth0"]
    assert node.files() == []


def test_after_a_boot_del_reaches_all_that_may_have_been_started(node: Node) -> None:
    conf = three(node)
    node.on("pb", "ADD", "kill -KILL $PPID; exit 1")
    assert node.spawn("ADD", conf).returncode == -9
    (node.root / "run" / "multus" / "cid1.started").unlink()
    node.calls()
    assert node.call("DEL", conf).status == 0
    assert node.calls() == ["DEL pc net2", "DEL pb net1", "DEL pa eth0"]


def test_an_add_after_a_killed_one_cleans_up_first(node: Node) -> None:
    conf = three(node)
    node.on("pb", "ADD", "kill -KILL $PPID; exit 1")
    assert node.spawn("ADD", conf).returncode == -9
    node.on("pb", "ADD", "")
    node.calls()
    assert node.call("ADD", conf).status == 0
    assert node.calls() == [
        "DEL pb net1",
        "DEL pa eth0",
        "ADD pa eth0",
        "ADD pb net1",
        "ADD pc net2",
    ]


def test_no_add_over_leftovers_that_cannot_be_deleted(node: Node) -> None:
    conf = three(node)
    node.on("pb", "ADD", "kill -KILL $PPID; exit 1")
    assert node.spawn("ADD", conf).returncode == -9
    node.fail("pa", "DEL", code=5, msg="busy")
    node.calls()
    reply = node.call("ADD", conf)
    assert reply.code == 5
    assert reply.msg.startswith("an earlier ADD of the container cannot be undone: ")
    assert node.calls() == ["DEL pb net1", "DEL pa eth0"]
    assert "cid1" in node.files()
