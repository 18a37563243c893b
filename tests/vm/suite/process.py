"""Executables under test, as a runtime starts them: those of PLAIT_BIN, else of build/bin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance.node import OURS
from tests.netns.node import Process
from tests.vm.card import wait_for

if TYPE_CHECKING:
    from tests.netns.node import Node, Pod, Reply

_READ_STDIN = "0 0x0 "  #: /proc/<pid>/syscall: the kernel's read, of descriptor 0


class Call(Process):
    """A call that runs."""

    def await_stdin(self) -> None:
        """Until it has started and wants its configuration: then several can go off at once."""
        syscall = Path(f"/proc/{self.pid}/syscall")
        wait_for("it reads its input", lambda: syscall.read_text().startswith(_READ_STDIN))

    def wait(self, seconds: float) -> int:
        """How it ended; what it said is of no interest."""
        self._popen.communicate(timeout=seconds)
        return self._popen.returncode


def start(machine: Node, verb: str, conf: dict[str, Any], pod: Pod) -> Call:
    environ = machine.environ(verb, pod, "net1")
    return Call([str(OURS / conf["type"])], environ, json.dumps(conf).encode())


def at_once(machine: Node, *calls: tuple[str, dict[str, Any], Pod]) -> list[Reply]:
    """Runs them side by side; returns what each said, in their order."""
    running = [start(machine, *each) for each in calls]
    for each in running:
        each.await_stdin()
    for each in running:
        each.feed()
    return [each.finish() for each in running]
