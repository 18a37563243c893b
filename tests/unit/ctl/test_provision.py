"""How a plan is gone through: its locks, its refusals, what it says of a failure."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError
from cni.ctl.vf import inventory, uses
from cni.ctl.vf import provision as provisioning
from cni.ctl.vf.plan import NO_MAC, VFIO, Step, Verb, Wish
from cni.ctl.vf.provision import World, provision, rehearse
from cni.host import driver, vf
from cni.host.vf import Settings
from cni.sriov import allocation
from tests.unit.ctl import cards

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cni.ctl.vf.inventory import Pf

CARD = cards.pf().address


class Node:
    """A node with one card; its steps only change the picture of it."""

    def __init__(self, state: Path, patch: pytest.MonkeyPatch) -> None:
        self.card: Pf = cards.pf(cards.vf(0), cards.vf(1))
        self.done: list[Verb] = []
        self.said: list[str] = []
        self.world = World(None, str(state), self.said.append)  # type: ignore[arg-type]
        patch.setattr(inventory, "read", lambda *_: self.card)
        patch.setattr(uses, "add_to", lambda _, card: card)
        self.actions: dict[Verb, Callable[[], object]] = {Verb.CREATE: self.create}
        for verb in Verb:
            patch.setitem(provisioning._ACTIONS, verb, self.act)

    def act(self, world: World, card: Pf, step: Step) -> None:
        self.actions.get(step.verb, lambda: None)()
        self.done.append(step.verb)

    def create(self) -> None:
        self.card = cards.pf(*map(cards.vf, range(4)))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def test_one_at_a_time(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "_LOCK_WAIT", 0.0)

    def another() -> None:
        with pytest.raises(CniError, match="is in use by another call"):
            provision(node.world, CARD, Wish(4))

    node.actions[Verb.REMOVE] = another
    provision(node.world, CARD, Wish(4))
    assert node.done[:2] == [Verb.REMOVE, Verb.CREATE]


def test_nothing_is_said_to_be_unchanged_that_is_not(node: Node) -> None:
    node.card = cards.pf(cards.vf(0, owner=cards.OWNER))
    with pytest.raises(CniError, match="nothing was changed") as first:
        provision(node.world, CARD, Wish(4))
    assert "--force" in first.value.msg and first.value.details.startswith("VF 0 ")
    assert node.done == []

    def taken() -> None:
        node.card = cards.pf(cards.vf(0), cards.away(1, owner=cards.OWNER))

    node.card, node.actions[Verb.CREATE] = cards.pf(), taken
    with pytest.raises(CniError, match="its VFs are new and not set up") as second:
        provision(node.world, CARD, Wish(2, mtu=9000))
    assert node.done == [Verb.CREATE] and second.value.details.startswith("VF 1 ")


def test_force_does_not_help_against_a_program(node: Node) -> None:
    node.card = cards.pf(cards.for_programs(0, programs=("testpmd (7)",)))
    for call in (provision, rehearse):
        with pytest.raises(CniError, match="end the program first") as caught:
            call(node.world, CARD, Wish(0), force=True)
        assert caught.value.details == "VF 0 (0000:21:10.0) is open in testpmd (7)"
        assert "nothing was changed" in caught.value.msg and "--force" not in caught.value.msg
    assert node.done == []


def test_new_vfs_have_no_past(node: Node, tmp_path: Path) -> None:
    """An ADD that was faster than we keeps what it has written."""
    node.card = cards.pf()
    (tmp_path / "sriov/pci").mkdir(parents=True)
    for number, boot in enumerate(("earlier", "")):
        device = cards.vf(number).address
        extra = {"netns": "/proc/self/ns/net", "containerID": "c", "ifName": "i", "bootID": boot}
        fields: dict[str, Any] = {"deviceID": device, "name": "n", "OrigVfState": {}, "x": extra}
        (tmp_path / f"sriov/c-{number}").write_text(json.dumps(fields))
        (tmp_path / "sriov/pci" / device).write_text("/proc/self/ns/net")

    def create() -> None:
        node.card = cards.pf(cards.vf(0), cards.away(1, owner=cards.OWNER))

    node.actions[Verb.CREATE] = create
    provision(node.world, CARD, Wish(2))
    assert not (tmp_path / "sriov/c-0").exists() and (tmp_path / "sriov/c-1").exists()
    assert allocation.all_held(str(tmp_path)) == [cards.vf(1).address]


def test_vfio_is_asked_for_before_anything(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(driver, "load", loaded.append)
    monkeypatch.setattr(driver, "is_loaded", lambda _: False)
    monkeypatch.setattr(driver, "_NO_IOMMU", "/nowhere")
    monkeypatch.setattr(driver, "iommu_group", lambda _: None)
    for call in (rehearse, provision):
        with pytest.raises(OSError, match="make sure the IOMMU is enabled"):
            call(node.world, CARD, Wish(4, VFIO))
    assert (node.done, node.said, loaded) == ([], [], [VFIO])
    monkeypatch.setattr(driver, "iommu_group", lambda _: 3)
    rehearse(node.world, CARD, Wish(4, VFIO))
    assert node.said[:2] == ["would load the module of vfio-pci", "would remove all VFs of pf0"]
    node.card = cards.pf(cards.for_programs(0))
    provision(node.world, CARD, Wish(1, VFIO))  # it is so already
    assert (node.done, loaded) == ([], [VFIO])


@pytest.mark.parametrize(
    ("failure", "goes_on"),
    [
        (TimeoutError(errno.ETIMEDOUT, "none came within 10 s"), True),
        (OSError(errno.EBUSY, "busy"), False),
        (OSError(errno.EINVAL, "invalid"), False),
    ],
)
def test_a_failure_says_whether_to_try_again(node: Node, failure: OSError, goes_on: bool) -> None:
    """A driver that brings no interface in time is a failure each time."""

    def fail() -> None:
        raise failure

    node.card = cards.pf(cards.late(0))
    node.actions[Verb.DEFAULT_DRIVER] = fail
    for _ in range(2):
        with pytest.raises(CniError) as caught:
            provision(node.world, CARD, Wish(1))
        assert ("the same command again goes on" in str(caught.value)) == goes_on
        assert "0 of 2 steps are done" in caught.value.details


@pytest.mark.parametrize("shown", [None, NO_MAC, "02:00:00:00:00:05"])
def test_a_mac_for_a_vf_that_has_no_interface(
    node: Node, monkeypatch: pytest.MonkeyPatch, shown: str | None
) -> None:
    """The card is busy once; its lock is free between two attempts."""
    macs: list[str] = []

    def put(*arguments: Any) -> None:
        macs.append(arguments[-1])
        if len(macs) == 1:
            raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(vf, "put", put)
    monkeypatch.setattr(provisioning, "_uplink", lambda *_: None)
    card = cards.pf(cards.for_programs(0, settings=Settings(mac=shown)))
    provisioning._any_mac(node.world, card, Step(Verb.ANY_MAC, 0))
    first, second = macs
    assert first == second and (first == shown or int(first[:2], 16) & 3 == 2)
