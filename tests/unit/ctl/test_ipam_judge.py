"""Whether a lease is of the dead, case by case, and how long one waits for that to be certain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni.core.types import Attachment
from cni.ctl.ipam import judge, sandbox, strikes
from cni.ctl.ipam.judge import (
    ABSENT,
    DEAD,
    EARLIER,
    KEPT,
    LIVES,
    NAMESAKE,
    OTHER,
    RELEASED,
    RESTING,
    SAME,
    SUSPECT,
    THIS,
    UNKNOWN,
    WAITING,
    Rules,
    Sight,
    Strikes,
    Verdict,
)
from cni.ctl.ipam.sandbox import GONE, THERE
from ipam.stores import Lease

if TYPE_CHECKING:
    from pathlib import Path

NETNS = (THERE, GONE, sandbox.UNKNOWN)
PODS = (SAME, NAMESAKE, OTHER, ABSENT, UNKNOWN)
LEASE = Lease(Attachment("net", "c1", "eth0"), "", "10.0.0.0/24", 4, 1, "default", "p1", "u1")


@pytest.mark.parametrize(
    ("netns", "pod", "has_uid", "verdict"),
    [
        # with a UID: the cluster's word counts where the namespace cannot be seen
        (sandbox.UNKNOWN, SAME, True, LIVES),
        (sandbox.UNKNOWN, OTHER, True, SUSPECT),
        (sandbox.UNKNOWN, ABSENT, True, SUSPECT),
        (sandbox.UNKNOWN, UNKNOWN, True, LIVES),
        (GONE, SAME, True, SUSPECT),
        (GONE, OTHER, True, SUSPECT),
        (GONE, ABSENT, True, SUSPECT),
        (GONE, UNKNOWN, True, DEAD),
        # without one: only together with the namespace
        (sandbox.UNKNOWN, NAMESAKE, False, LIVES),
        (sandbox.UNKNOWN, ABSENT, False, LIVES),
        (sandbox.UNKNOWN, UNKNOWN, False, LIVES),
        (GONE, NAMESAKE, False, DEAD),
        (GONE, ABSENT, False, SUSPECT),
        (GONE, UNKNOWN, False, DEAD),
    ],
)
def test_verdicts(netns: str, pod: str, has_uid: bool, verdict: str) -> None:
    found = judge.judge(Sight(THIS, netns, pod, has_uid))
    assert found.kind == verdict and found.reason


@pytest.mark.parametrize("pod", PODS)
@pytest.mark.parametrize("shares_pools", [False, True])
def test_what_lives_keeps_its_address(pod: str, shares_pools: bool) -> None:
    for has_uid in (False, True):
        sight = Sight(THIS, THERE, pod, has_uid)
        assert judge.judge(sight, shares_pools=shares_pools).kind == LIVES


@pytest.mark.parametrize("netns", NETNS)
@pytest.mark.parametrize("pod", PODS)
def test_boots(netns: str, pod: str) -> None:
    assert judge.judge(Sight(EARLIER, netns, pod)).kind == DEAD
    assert judge.judge(Sight(RESTING, netns, pod)).kind == LIVES


def test_entries_of_the_original_have_no_uid() -> None:
    sight = Sight(THIS, sandbox.UNKNOWN, ABSENT, has_uid=False)
    assert judge.judge(sight).kind == LIVES
    assert judge.judge(sight, shares_pools=True).kind == SUSPECT
    assert judge.judge(sight._replace(pod=NAMESAKE), shares_pools=True).kind == LIVES
    assert judge.judge(sight._replace(pod=UNKNOWN), shares_pools=True).kind == LIVES


@pytest.mark.parametrize(
    ("changes", "pods", "state"),
    [
        ({}, {"default/p1": {"u1"}}, SAME),
        ({}, {"default/p1": {"u0", "u1"}}, SAME),
        ({}, {"default/p1": {"u2"}}, OTHER),
        ({"pod_uid": ""}, {"default/p1": {"u2"}}, NAMESAKE),
        ({}, {"other/p1": {"u1"}}, ABSENT),
        ({"pod_uid": ""}, {"other/p1": {"u1"}}, ABSENT),
        ({"pod_name": ""}, {"other/p1": {"u1"}}, UNKNOWN),
        ({"pod_namespace": ""}, {"other/p1": {"u1"}}, UNKNOWN),
        ({}, None, UNKNOWN),
    ],
)
def test_pods(changes: dict[str, str], pods: dict[str, set[str]] | None, state: str) -> None:
    listed = {key: frozenset(uids) for key, uids in pods.items()} if pods is not None else None
    assert judge.pod_state(LEASE._replace(**changes), listed) == state  # type: ignore[arg-type]


NOW = 1_000_000
MISSED, OVER = Verdict(SUSPECT, "gone"), Verdict(DEAD, "gone")


@pytest.mark.parametrize(
    ("verdict", "created", "before", "rules", "what", "after"),
    [
        (Verdict(LIVES, ""), 1, Strikes(2, 1), Rules(), KEPT, None),
        # three strikes in a row
        (MISSED, 1, None, Rules(), WAITING, Strikes(1, NOW)),
        (MISSED, 1, Strikes(1, 5), Rules(), WAITING, Strikes(2, 5)),
        (MISSED, 1, Strikes(2, 5), Rules(), RELEASED, Strikes(3, 5)),
        (MISSED, 1, None, Rules(strikes=1), RELEASED, Strikes(1, NOW)),
        # grace since the lease was made
        (MISSED, NOW - 299, Strikes(2, 5), Rules(), WAITING, Strikes(3, 5)),
        (MISSED, NOW - 300, Strikes(2, 5), Rules(), RELEASED, Strikes(3, 5)),
        (MISSED, NOW, Strikes(2, 5), Rules(grace=0), RELEASED, Strikes(3, 5)),
        # nobody knows when: since the first strike; also when a clock was wrong
        (MISSED, 0, Strikes(2, NOW - 299), Rules(), WAITING, Strikes(3, NOW - 299)),
        (MISSED, 0, Strikes(2, NOW - 300), Rules(), RELEASED, Strikes(3, NOW - 300)),
        (MISSED, NOW + 9, Strikes(2, NOW - 1), Rules(), WAITING, Strikes(3, NOW - 1)),
        (MISSED, NOW + 9, Strikes(9, NOW - 300), Rules(), RELEASED, Strikes(10, NOW - 300)),
        (MISSED, 0, Strikes(9, NOW + 500), Rules(), WAITING, Strikes(10, NOW)),
        # what is certain needs no strikes, but the grace
        (OVER, 1, None, Rules(), RELEASED, Strikes(1, NOW)),
        (OVER, NOW - 10, None, Rules(), WAITING, Strikes(1, NOW)),
        (OVER, 0, None, Rules(), WAITING, Strikes(1, NOW)),
    ],
)
def test_decisions(
    verdict: Verdict,
    created: int,
    before: Strikes | None,
    rules: Rules,
    what: str,
    after: Strikes | None,
) -> None:
    found = judge.decide(verdict, created, before, rules, NOW)
    assert (found.what, found.strikes) == (what, after)


# what is remembered


def test_strikes_are_remembered(tmp_path: Path) -> None:
    key = strikes.key(("kubernetes", "/a"), LEASE)
    assert strikes.read(str(tmp_path)) == {}
    strikes.write(str(tmp_path), {key: Strikes(2, 77)})
    assert strikes.read(str(tmp_path)) == {key: Strikes(2, 77)}
    for change in ({"created": 1}, {"pod_uid": "u2"}, {"address": 2}, {"network_name": "x"}):
        assert strikes.key(("kubernetes", "/a"), LEASE._replace(**change)) != key
    assert strikes.key(("file",), LEASE) != key


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"\xff", b'{"version": 2, "strikes": []}', b'{"version": 1}',
        b'{"version": 1, "strikes": [{"lease": [], "count": "9", "first": 0}]}',
        b'{"version": 1, "strikes": [{"lease": [], "count": true, "first": 0}]}',
        b'{"version": 1, "strikes": [{"lease": [], "count": -1, "first": 0}]}',
        b'{"version": 1, "strikes": 5}', b"[" * 5000,
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_no_strike(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plait").mkdir()
    (tmp_path / "plait/strikes.json").write_bytes(content)
    assert strikes.read(str(tmp_path)) == {}


# namespaces


def test_namespaces(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert sandbox.state(str(tmp_path / "there")) == THERE
    assert sandbox.state(str(tmp_path / "gone")) == GONE
    assert sandbox.state(str(tmp_path / "not mounted/gone")) == sandbox.UNKNOWN
    assert sandbox.state("") == sandbox.UNKNOWN
    assert sandbox.state("relative") == sandbox.UNKNOWN
    assert sandbox.state("/a\0b") == sandbox.UNKNOWN
    assert sandbox.state("/proc/self/ns/net") == THERE


@pytest.mark.parametrize("sees_all", [False, True])
def test_a_process_may_be_in_another_process_namespace(
    monkeypatch: pytest.MonkeyPatch, sees_all: bool
) -> None:
    monkeypatch.setattr(sandbox, "_sees_all_processes", lambda: sees_all)
    found = sandbox.state("/proc/4194305/ns/net")
    assert found == (GONE if sees_all else sandbox.UNKNOWN)
