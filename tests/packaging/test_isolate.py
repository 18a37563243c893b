"""tests/isolate: what a command sees of the host, and what it can leave there."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

ISOLATE = str(REPOSITORY / "tests/isolate")
CNI = ("/etc/cni", "/opt/cni", "/var/lib/cni")


def run(script: str, levels: int = 1) -> subprocess.CompletedProcess[str]:
    command = [*[ISOLATE] * levels, "/bin/sh", "-c", script]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_only_lo_is_there_and_up(levels: int) -> None:
    done = run("ls /sys/class/net && cat /sys/class/net/lo/operstate && ping -qc1 ::1", levels)
    assert done.stderr == ""
    assert done.stdout.startswith("lo\nunknown\n")
    assert done.returncode == 0


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_exit_status_is_passed_on(levels: int, status: int) -> None:
    assert run(f"exit {status}", levels).returncode == status


@pytest.mark.parametrize("levels", [1, 3])
def test_control_groups_are_still_there(levels: int) -> None:
    groups = sorted(path.name for path in Path("/sys/fs/cgroup").iterdir() if path.is_dir())
    assert run("cd /sys/fs/cgroup && ls -d */", levels).stdout.replace("/", "").split() == groups


@pytest.mark.parametrize("levels", [1, 3])
def test_nothing_reaches_the_directories_of_cni(levels: int) -> None:
    def on_host() -> dict[str, list[str]]:
        return {name: os.listdir(name) for name in (*CNI, "/run") if os.path.isdir(name)}

    before = on_host()
    made = " && ".join(f"ls {name} && touch {name}/made" for name in CNI)
    done = run(f"{made} && ip netns add made && touch /run/made", levels)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert on_host() == before


def test_what_it_leaves_running_ends_with_it(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    # holds the fifo open for writing as long as it lives
    leaver = f"setsid sh -c 'exec 3>{ready}; sleep 1000' >/dev/null 2>&1 </dev/null & sleep 0.5"
    with subprocess.Popen([ISOLATE, "/bin/sh", "-c", leaver]) as process:
        with ready.open() as end:
            assert end.read() == ""  # returns when the last writer has gone
        assert process.wait() == 0


def test_a_signal_to_the_group_ends_the_command(tmp_path: Path) -> None:
    """As a terminal, timeout(1) and a CI runner send it; unshare itself takes none but SIGKILL."""
    _ends_when(lambda process: os.killpg(process.pid, signal.SIGTERM), tmp_path)


def test_killing_it_kills_all(tmp_path: Path) -> None:
    _ends_when(subprocess.Popen.kill, tmp_path)


def _ends_when(killed: Callable[[subprocess.Popen[bytes]], None], tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [ISOLATE, "/bin/sh", "-c", f"exec 3>{fifo}; sleep 1000"]
    with subprocess.Popen(command, start_new_session=True) as process:
        with fifo.open() as end:
            killed(process)
            assert end.read() == ""
        assert process.wait() != 0


def test_standard_input_is_the_callers() -> None:
    done = subprocess.run([ISOLATE, "cat"], input=b"text", capture_output=True, timeout=60)
    assert done.stdout == b"text"


def test_without_a_command() -> None:
    assert subprocess.run([ISOLATE], capture_output=True).returncode == 2
