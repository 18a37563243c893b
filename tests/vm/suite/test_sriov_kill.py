"""sriov when a call is killed: whoever comes next, DEL, GC, or an ADD, finds and repairs it all.

PLAIT_SEED repeats the random moments of an earlier run, PLAIT_KILLS sets how many there are. With
a VF that the kernel drives not every step is tried: see steps.py.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.vm.suite.process import start
from tests.vm.suite.scene import KERNEL, PROGRAM, scene
from tests.vm.suite.steps import SEED, killed, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.node import Node, Pod
    from tests.vm.card import Pf
    from tests.vm.suite.scene import Scene

PATIENCE = 60.0  #: seconds that no call needs
KILLS = int(os.environ.get("PLAIT_KILLS") or 8)
_EARLIEST = 0.3  #: of an ADD's time: before, the interpreter starts


@pytest.fixture(params=[KERNEL, PROGRAM])
def stage(request: pytest.FixtureRequest, cards: list[Pf], machine: Node) -> Iterator[Scene]:
    with scene(machine, cards[0], request.param) as found:
        yield found


@pytest.fixture
def kernel(cards: list[Pf], machine: Node) -> Iterator[Scene]:
    with scene(machine, cards[0], KERNEL) as found:
        yield found


def test_add_killed_after_every_change_then_del(stage: Scene) -> None:
    pod = stage.machine.pod()
    found: list[str] = []
    for number in numbers("kill", every=not stage.is_kernels):
        with killed(number) as steps:
            stage.call("ADD", pod).ok()
        stage.call("DEL", pod).ok()
        found += stage.faults(steps.hit)
        if found or not steps.hit:
            break
    assert not found, "\n".join(found)
    assert not steps.hit and number > 8
    stage.assert_free()


def test_add_killed_after_every_change_and_no_del(stage: Scene) -> None:
    """The pod dies and another wants the VF; the same ADD again; or a GC: by turns."""
    ways = [_another_takes_over, _once_more, _collect]
    stage.assert_free()  # and the VF's own state is known
    found: list[str] = []
    for number in numbers("left", every=not stage.is_kernels):
        pod = stage.machine.pod()
        with killed(number) as steps:
            stage.call("ADD", pod).ok()
        way = ways[(number + stage.is_kernels) % len(ways)]
        way(stage, pod)
        found += stage.faults(f"{steps.hit}, then {way.__name__}")
        if found or not steps.hit:
            break
    assert not found, "\n".join(found)
    assert not steps.hit and number > 8


def _another_takes_over(stage: Scene, dead: Pod) -> None:
    """And finds the VF as it was before the dead one; whose DEL comes late, and harms nobody."""
    stage.destroy(dead)
    another = stage.machine.pod("another")
    stage.call("ADD", another).ok()
    assert stage.snapshot_of(another) == stage.original
    lively = stage.card.snapshot()
    stage.call("DEL", dead).ok()
    assert stage.card.snapshot() == lively
    stage.call("DEL", another).ok()


def _once_more(stage: Scene, pod: Pod) -> None:
    reply = stage.call("ADD", pod)
    if reply.status:
        reply.error(11)  # that ADD was complete
    else:
        assert stage.snapshot_of(pod) == stage.original
    stage.call("DEL", pod).ok()


def _collect(stage: Scene, pod: Pod) -> None:
    stage.collect().ok()
    stage.call("DEL", pod).ok()


def test_del_killed_after_every_change_then_del_or_gc(stage: Scene) -> None:
    pod = stage.machine.pod()
    found: list[str] = []
    for number in numbers("del", every=not stage.is_kernels):
        stage.call("ADD", pod).ok()
        with killed(number) as steps:
            stage.call("DEL", pod).ok()
        (stage.collect() if number % 3 == 0 else stage.call("DEL", pod)).ok()
        found += stage.faults(steps.hit)
        if found or not steps.hit:
            break
    assert not found, "\n".join(found)
    assert not steps.hit and number > 5
    stage.assert_free()


class Execution:
    """Calls of one attachment in processes that meet signals at random moments."""

    def __init__(self, stage: Scene, name: str) -> None:
        self.stage = stage
        self.random = random.Random(f"{SEED} {name}")
        self.found: list[str] = []
        self.ended: list[int] = []
        self.whole = 0.0  #: seconds that the call takes

    def measure(self, pod: Pod) -> None:
        """The time of an ADD; the first one fills the guest's caches."""
        for _ in range(2):
            started = time.monotonic()
            start(self.stage.machine, "ADD", self.stage.conf, pod).finish().ok()
            self.whole = time.monotonic() - started
            self.stage.call("DEL", pod).ok()

    def moments(self, count: int) -> list[float]:
        """Seconds after the start, spread over the call, in any order."""
        shares = [(slot + self.random.random()) / count for slot in range(count)]
        self.random.shuffle(shares)
        return [self.whole * (_EARLIEST + (1.05 - _EARLIEST) * share) for share in shares]

    def interrupt(self, verb: str, pod: Pod, moment: float, number: signal.Signals) -> int:
        process = start(self.stage.machine, verb, self.stage.conf, pod)
        process.feed()
        time.sleep(moment)
        process.signal(number)
        self.ended.append(process.wait(PATIENCE))
        return self.ended[-1]

    def note(self, when: str) -> None:
        self.found += self.stage.faults(f"call {len(self.ended)} ({self.ended[-1]}), {when}")

    def finish(self) -> None:
        assert not self.found, f"PLAIT_SEED={SEED}\n" + "\n".join(self.found)
        assert any(self.ended), self.ended  # the moments met some of the calls


def test_sigkill_at_any_moment_then_del(kernel: Scene) -> None:
    execution = Execution(kernel, "kill")
    pod = kernel.machine.pod()
    execution.measure(pod)
    for index, moment in enumerate(execution.moments(KILLS)):
        execution.interrupt("ADD", pod, moment, signal.SIGKILL)
        if index % 4 == 3:  # the DEL of a runtime that has lost the pod
            kernel.destroy(pod)
            kernel.machine.call("DEL", kernel.conf, pod, "net1", CNI_NETNS="").ok()
            execution.note("the pod dies, DEL")
            pod = kernel.machine.pod()
        else:
            kernel.call("DEL", pod).ok()
            execution.note("DEL")
    execution.finish()
    kernel.assert_free()


def test_sigterm_at_any_moment_undoes_all_or_nothing(kernel: Scene) -> None:
    execution = Execution(kernel, "term")
    pod = kernel.machine.pod()
    execution.measure(pod)
    for moment in execution.moments(max(1, KILLS // 2)):
        status = execution.interrupt("ADD", pod, moment, signal.SIGTERM)
        # before its first line the interpreter has the default: it dies, and has done nothing
        assert status in (0, 1, -signal.SIGTERM)
        if status:
            execution.note("no DEL")
        kernel.call("DEL", pod).ok()
        execution.note("DEL")
    execution.finish()
    kernel.assert_free()


def test_sigkill_of_del_at_any_moment_then_del(kernel: Scene) -> None:
    execution = Execution(kernel, "del")
    pod = kernel.machine.pod()
    execution.measure(pod)
    for moment in execution.moments(max(1, KILLS // 3)):
        kernel.call("ADD", pod).ok()
        execution.interrupt("DEL", pod, moment, signal.SIGKILL)
        kernel.call("DEL", pod).ok()
        execution.note("DEL")
    execution.finish()
    kernel.assert_free()
