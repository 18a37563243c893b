"""Files are whole or absent, and what a killed writer leaves is found."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def killed_in(step: str, work: Callable[[], None]) -> None:
    """Run `work` in a child that is killed when it comes to that call of os."""
    pid = os.fork()
    if not pid:
        setattr(os, step, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        work()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_killed_writer_leaves_the_old_file(tmp_path: Path, step: str) -> None:
    path = str(tmp_path / "record")
    files.write(path, b"old")
    killed_in(step, lambda: files.write(path, b"new"))
    assert files.read(path) == b"old"
    assert files.names(str(tmp_path)) == ["record"]
    files.write(path, b"newer")
    assert os.listdir(tmp_path) == ["record"]


def test_remove_takes_the_half_written_file_too(tmp_path: Path) -> None:
    path = str(tmp_path / "record")
    killed_in("rename", lambda: files.write(path, b"new"))
    assert os.listdir(tmp_path) == [".record.tmp"]
    files.remove(path)
    files.remove(path)
    assert os.listdir(tmp_path) == []


def test_sweep_removes_what_nobody_writes(tmp_path: Path) -> None:
    killed_in("rename", lambda: files.write(str(tmp_path / "dead"), b"x"))
    (tmp_path / "record").write_bytes(b"y")
    (tmp_path / ".hidden").write_bytes(b"z")
    held = files._open_locked(str(tmp_path / ".living.tmp"))
    files.sweep(str(tmp_path))
    os.close(held)
    assert sorted(os.listdir(tmp_path)) == [".hidden", ".living.tmp", "record"]
    files.sweep(str(tmp_path / "absent"))


def test_directories_are_for_their_owner_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.write(str(tmp_path / "a" / "b" / "record"), b"x")
    finally:
        os.umask(before)
    for each in ("a", "a/b"):
        assert (tmp_path / each).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a/b/record").stat().st_mode & 0o777 == 0o600


def test_a_name_that_no_file_can_have_is_gone(tmp_path: Path) -> None:
    files.remove(str(tmp_path / ("x" * 300)))


def test_a_file_is_written_over(tmp_path: Path) -> None:
    path = str(tmp_path / "progress")
    for data in (b"9", b"10"):
        files.overwrite(path, data)
        assert files.read(path) == data
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        files.overwrite(str(tmp_path / "link"), b"11")
    assert files.read(path) == b"10"
