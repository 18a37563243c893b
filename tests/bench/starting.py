"""What an executable costs before it does anything."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from tests.bench import clock
from tests.conformance.node import GO, OURS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.clock import Sample

_VERSION = {"CNI_COMMAND": "VERSION"}


def measure(rounds: int) -> dict[str, list[Sample]]:
    """Samples by what was started, in the order of the table."""
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    bare = [python, "-I", "-S", "-c", "pass"]
    subjects: dict[str, Callable[[], Sample]] = {
        "python3 -I -S -c pass": lambda: clock.run(bare, {}),
        "Go bridge, VERSION": lambda: clock.run([GO / "bridge"], _VERSION),
        "Plait, VERSION": lambda: clock.run([OURS / "bridge"], _VERSION),
    }
    # packaging/boot.py, the first code of ours that runs, opens it at once
    modules = OURS / ".plait" / "modules"
    if modules.exists():
        subjects["Plait, to the first line of its own code"] = lambda: clock.until_opened(
            modules, [OURS / "bridge"], _VERSION
        )
    samples: dict[str, list[Sample]] = {name: [] for name in subjects}
    for number in range(-2, rounds):
        for name, take in subjects.items():
            sample = take()
            if number >= 0:
                samples[name].append(sample)
    return samples
