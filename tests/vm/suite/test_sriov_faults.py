"""sriov when any step fails: the VF is the host's again, as it was, and nothing is left of the ADD.

The card accepts spoof checking and rates, which it does not enforce; it refuses link state and a
minimum rate, which are therefore never set here.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from cni.host import vf
from cni.sriov import interface
from tests.netns.faults import DOORS as FAULT_DOORS
from tests.vm.suite.scene import KERNEL, PROGRAM, scene
from tests.vm.suite.steps import DOORS, failing, numbers, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.node import Node
    from tests.vm.card import Pf
    from tests.vm.suite.scene import Scene
    from tests.vm.suite.steps import Doors

#: what drivers refuse while a VF resets, as the requests are called
BUSY = (
    *(f"set {name} of VF" for name in ("vlan", "mac", "rate", "spoofchk", "trust")),
    "set MAC address",
    "set MTU",
    'bring up "net1"',
)


def doors(stage: Scene) -> Doors:
    """A call for the kernel takes long; what it does not do alone is tried with the other."""
    return FAULT_DOORS if stage.is_kernels else DOORS


@pytest.fixture(params=[KERNEL, PROGRAM])
def stage(request: pytest.FixtureRequest, cards: list[Pf], machine: Node) -> Iterator[Scene]:
    with scene(machine, cards[0], request.param) as found:
        yield found


@pytest.fixture
def kernel(cards: list[Pf], machine: Node) -> Iterator[Scene]:
    with scene(machine, cards[0], KERNEL) as found:
        yield found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vf, "_PATIENCE", 0.05)
    monkeypatch.setattr(vf, "_PAUSE", 0.001)


def add_failing_at_every_step(stage: Scene, *, after: bool, changes: bool) -> None:
    pod = stage.machine.pod()
    found: list[str] = []
    for number in numbers(f"add {after}", every=not stage.is_kernels):
        with failing(number, after=after, changes=changes, doors=doors(stage)) as steps:
            reply = stage.call("ADD", pod)
        if reply.status == 0:  # some steps may fail without harm
            stage.call("DEL", pod).ok()
        found += stage.faults(steps.hit)
        if found or not steps.hit:
            break
    assert not found, "\n".join(found)
    assert (steps.hit, reply.status) == ("", 0), reply.value
    assert number > 8
    stage.assert_free()


def test_add_when_a_step_fails(stage: Scene) -> None:
    """Before it is done. Of the kernel's VF, see also the requests that are refused for ever."""
    add_failing_at_every_step(stage, after=False, changes=False)


def test_add_when_a_step_is_done_and_fails(stage: Scene) -> None:
    add_failing_at_every_step(stage, after=True, changes=True)


def test_add_when_its_undo_fails_too(stage: Scene) -> None:
    """What could not be undone is still recorded, and the runtime's DEL repairs it."""
    pod = stage.machine.pod()
    with failing(changes=True) as whole:
        stage.call("ADD", pod).ok()
    stage.call("DEL", pod).ok()
    found: list[str] = []
    left = 0
    for number in numbers("undo", whole.calls + 1, every=not stage.is_kernels):
        with failing(whole.calls, number, changes=True) as steps:
            stage.call("ADD", pod).error()
        left += bool(stage.machine._records())
        stage.call("DEL", pod).ok()
        found += stage.faults(steps.hit)
        if found or steps.hits < 2:
            break
    assert not found, "\n".join(found)
    assert steps.hits == 1
    assert left > 2
    stage.assert_free()


def test_del_when_a_step_fails_is_finished_by_the_next(stage: Scene) -> None:
    pod = stage.machine.pod()
    found: list[str] = []
    for number in numbers("del", every=not stage.is_kernels):
        stage.call("ADD", pod).ok()
        with failing(number, doors=doors(stage)) as steps:
            reply = stage.call("DEL", pod)
        if reply.status:
            stage.call("DEL", pod).ok()
        found += stage.faults(f"{steps.hit}; {reply.value}")
        if found or not steps.hit:
            break
    assert not found, "\n".join(found)
    assert (steps.hit, reply.status) == ("", 0), reply.value
    assert number > 8
    stage.assert_free()


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EAGAIN])
def test_a_device_that_resets_is_asked_again(
    kernel: Scene, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ADD, and in DEL, where the VF comes back up under its own name."""
    monkeypatch.setattr(vf, "_PAUSE", 0.001)
    pod = kernel.machine.pod()
    for verb, ups in (("ADD", 'bring up "net1"'), ("DEL", 'bring up "pf0v2"')):
        busy = (*BUSY[:-1], ups)
        with refused(code, busy, times=3) as refusal:
            kernel.call(verb, pod).ok()
        assert min(refusal.met.values()) > 3
        assert len(refusal.met) >= len(BUSY) - 1  # a reset may have set the MAC address already
    kernel.assert_restored("DEL")


def test_a_mac_address_that_is_taken_at_the_last_moment_is_taken(
    kernel: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset may take longer than the driver is given to show what it accepted."""
    pod = kernel.machine.pod()
    with monkeypatch.context() as hurry, refused(errno.EBUSY, ("set MAC address",), times=1):
        hurry.setattr(interface, "_MAC_WAIT", 0)
        kernel.call("ADD", pod).ok()
    kernel.call("DEL", pod).ok()


@pytest.mark.usefixtures("impatient")
def test_a_device_that_resets_for_ever_is_given_up(kernel: Scene) -> None:
    pod = kernel.machine.pod()
    for busy in BUSY:
        with refused(errno.EBUSY, (busy,), but="pf0v2") as refusal:
            reply = kernel.call("ADD", pod).error()
        assert all(asked > 1 for asked in refusal.met.values()), busy
        assert busy in f"{reply['msg']} {reply.get('details')}", reply
        kernel.assert_restored(busy)
