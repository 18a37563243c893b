"""What an executable costs before it does anything."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from tests.bench import clock, warm
from tests.conformance.node import GO, OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.bench.clock import Sample
    from tests.bench.warm import Warm
    from tests.conformance.node import Node

_VERSION = {"CNI_COMMAND": "VERSION"}


def measure(node: Node, rounds: int) -> dict[str, list[Sample]]:
    """Samples by what was started, in the order of the table."""
    with warm.agent(node) as agent:
        return _measure(node.environ("VERSION"), agent, rounds)


def _measure(environ: Mapping[str, str], agent: Warm, rounds: int) -> dict[str, list[Sample]]:
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    bare = [python, "-I", "-S", "-c", "pass"]
    subjects: dict[str, Callable[[], Sample]] = {
        "python3 -I -S -c pass": lambda: clock.run(bare, {}),
        "Go bridge, VERSION": lambda: clock.run([GO / "bridge"], _VERSION),
        "Plait, VERSION": lambda: warm.cold([OURS / "bridge"], environ),
        "Plait, VERSION, through the agent": lambda: agent.run([OURS / "bridge"], environ),
    }
    # packaging/boot.py, the first code of ours that runs, opens it at once
    modules = OURS / ".plait" / "modules"
    if modules.exists():
        subjects["Plait, to the first line of its own code"] = lambda: clock.until_opened(
            modules, [OURS / "bridge"], {**environ, **warm.COLD}
        )
    samples: dict[str, list[Sample]] = {name: [] for name in subjects}
    for number in range(-2, rounds):
        for name, take in subjects.items():
            sample = take()
            if number >= 0:
                samples[name].append(sample)
    return samples
