"""`plait trace`: what calls of plugins on this node spend their time on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cni.core import signals, trace
from cni.core.errors import CniError, Code, Interrupted
from cni.core.spawn import clean
from cni.ctl.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.core.types import Json

tracing = typer.Typer(rich_markup_mode=None)

_PAUSE = 0.1  #: seconds between two looks for records, or tries to get the lock
_TRIES = 5


@tracing.command(
    "trace",
    short_help="What calls of plugins spend their time on.",
    help="Show what calls of this node's plugins spend their time on, each as it ends, until "
    "interrupted or COUNT have been shown. Or start one: plait trace -- /opt/cni/bin/bridge, with "
    "its CNI_* variables and its configuration on standard input.",
)
def show(
    command: Annotated[
        list[str] | None, typer.Argument(help="A plugin to start; its output stays its own.")
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many calls; 0: never.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each call.")] = False,
) -> None:
    if command:
        raise typer.Exit(_run(command, as_json=as_json))
    try:
        for number, record in enumerate(_follow(), 1):
            typer.echo(_shown(record, as_json=as_json))
            if number == count:
                break
    except Interrupted:
        pass  # the way to end it


def _run(command: list[str], *, as_json: bool) -> int:
    """Run one call; the breakdown goes to standard error. Returns the exit status of the call."""
    with tempfile.TemporaryDirectory(prefix="plait-trace.") as directory:
        begun = time.perf_counter()
        try:
            with _watching(directory):
                environ = {**clean(os.environ), "PLAIT_TRACE": directory}
                done = subprocess.run(command, env=environ, check=False)
        except OSError as error:
            raise CniError(Code.IO_FAILURE, f"cannot run {command[0]}", str(error)) from None
        wall = (time.perf_counter() - begun) * 1000
        records = list(_records(directory))
    for record in records:
        record["ms"]["wall clock of the process"] = wall
        sys.stderr.write(_shown(record, as_json=as_json) + "\n")
    if not records:
        sys.stderr.write(f"plait: {command[0]} left no record: is it a plugin of this release?\n")
    return done.returncode


def _follow() -> Iterator[Json]:
    """The records of the node's calls while this runs. Raises CniError 11 when another asks too."""
    directory = trace.directory(os.environ)
    os.makedirs(os.path.dirname(directory), mode=0o700, exist_ok=True)
    with suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    with _watching(directory):
        try:
            while True:
                yield from _records(directory)
                signals.sleep(_PAUSE)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _watching(directory: str) -> Iterator[None]:
    """Calls record themselves meanwhile. Raises CniError 11 when another watches."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(fd, directory)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, directory: str) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            signals.sleep(_PAUSE)  # of a call that looks whether somebody watches
            continue
        if os.path.exists(directory) and os.path.samestat(os.fstat(fd), os.stat(directory)):
            return
        break  # another has ended just now, and taken it away
    raise CniError(Code.TRY_AGAIN_LATER, "another plait trace is running", f"{directory} is locked")


def _records(directory: str) -> Iterator[Json]:
    for name in sorted(os.listdir(directory)):
        if name.endswith(".json"):
            path = os.path.join(directory, name)
            with open(path) as file:
                record: Json = json.load(file)
            os.unlink(path)
            yield record


def _shown(record: Json, *, as_json: bool) -> str:
    """
    bridge ADD c1 eth0: 48.3 ms
        start                       9.1 ms
        imports                    17.0 ms   52 modules
    """
    if as_json:
        return json.dumps(record)
    times: dict[str, Any] = dict(record["ms"])
    wall = times.pop("wall clock of the process", None)
    total = sum(times.values())
    names = (record["plugin"], record["command"], record["container"], record["ifname"])
    head = printable(" ".join(filter(None, names)))
    if record["warm"]:
        head += " (by the agent)"
    lines = [f"{head}: {total:.1f} ms{'' if record['status'] == 0 else ', failed'}"]
    for kind, spent in sorted(times.items(), key=lambda each: -each[1]):
        counted = record["count"].get(kind)
        unit = "modules" if kind == trace.IMPORTS else "times" if counted != 1 else "time"
        lines.append(f"    {kind:24} {spent:8.1f} ms{f'   {counted} {unit}' if counted else ''}")
    if wall is not None:
        lines.append(f"    {'from spawn to exit':24} {wall:8.1f} ms")
    return "\n".join(lines)
