"""Where the time of an ADD goes: the source tree in a plain interpreter, import by import.

A frozen executable cannot be asked, but imports the same modules in the same order.
"""

from __future__ import annotations

import json
import os
import pstats
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from tests.conformance.node import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node

_TOP = 25

#: runs one call under the profiler; the skeleton's own `main` ends the process too early for that
_PROFILED = """
import cProfile, os, sys
from cni.core import skel
profiler = cProfile.Profile()
status = profiler.runcall(
    skel.main, sys.argv[1], os.environ, sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer
)
profiler.dump_stats(sys.argv[2])
sys.exit(status)
"""


class Import(NamedTuple):
    """One module: milliseconds of its own code, and with all that it was the first to import."""

    own: float
    whole: float
    depth: int
    name: str


def show(node: Node, conf: Json) -> None:
    """Print the imports and the functions that an ADD of `conf` spends its time in."""
    pod = node.pod("profiled")
    environ = {**node.environ("ADD", pod), "PYTHONPATH": str(REPOSITORY)}
    stdin = json.dumps(conf).encode()
    delete = {**environ, "CNI_COMMAND": "DEL"}
    plain = ["-m", "cni", conf["type"]]
    for _ in range(2):  # the second one finds compiled files, a bridge and a lease file
        _run(plain, environ, stdin)
        _run(plain, delete, stdin)
    timing = _run(["-X", "importtime", *plain], environ, stdin)
    _run(plain, delete, stdin)
    _show_imports(_parse(timing))

    stats = node.root / "profile"
    _run(["-c", _PROFILED, conf["type"], str(stats)], environ, stdin)
    _run(plain, delete, stdin)
    _show_functions(stats)


def _run(arguments: list[str], environ: dict[str, str], stdin: bytes) -> str:
    """Returns what was written to standard error, where -X importtime writes."""
    done = subprocess.run(
        [sys.executable, *arguments], env=environ, input=stdin, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stdout.decode() + done.stderr.decode())
    return done.stderr.decode()


def _parse(text: str) -> list[Import]:
    found = []
    for line in text.splitlines():
        cells = line.removeprefix("import time:").split("|")
        if len(cells) == 3 and cells[0].strip().isdigit():
            name = cells[2][1:]
            depth = (len(name) - len(name.lstrip())) // 2
            own, whole = int(cells[0]) / 1000, int(cells[1]) / 1000
            found.append(Import(own, whole, depth, name.strip()))
    return found


def _show_imports(imports: list[Import]) -> None:
    packages: dict[str, float] = {}
    for each in imports:
        top = each.name.partition(".")[0]
        packages[top] = packages.get(top, 0) + each.own
    total = sum(each.own for each in imports)
    print(f"\nimports: {len(imports)} modules, {total:.1f} ms (timing them makes them slower)\n")
    print("by package, own code, ms:")
    for name, own in sorted(packages.items(), key=lambda item: -item[1])[:_TOP]:
        print(f"  {own:7.2f}  {name}")
    print("\nby module, ms: own code, with what it imports first")
    for each in sorted(imports, key=lambda each: -each.own)[:_TOP]:
        print(f"  {each.own:7.2f} {each.whole:8.2f}  {each.name}")


def _show_functions(stats: Path) -> None:
    print(f"\nfunctions of one ADD (cProfile), top {_TOP} by own time")
    pstats.Stats(str(stats)).strip_dirs().sort_stats("tottime").print_stats(_TOP)
    print(f"top {_TOP} by time with all that they call")
    pstats.Stats(str(stats)).strip_dirs().sort_stats("cumulative").print_stats(_TOP)
    os.unlink(stats)
