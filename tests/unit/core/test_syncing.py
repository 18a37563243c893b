"""Syncs beside the work: begun, awaited, failed."""

from __future__ import annotations

import _thread
import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest

from cni.core import syncing

if TYPE_CHECKING:
    from pathlib import Path

BOUND = 30  #: seconds


def test_work_goes_on_and_wait_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    may_end, fdatasync = threading.Event(), os.fdatasync
    order = []

    def slow(fd: int) -> None:
        assert may_end.wait(BOUND)
        fdatasync(fd)
        order.append(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(os, "fdatasync", slow)
    monkeypatch.setattr(syncing, "sync_directory", order.append)
    syncing.begin(str(tmp_path / "file"), directory=str(tmp_path))
    assert order == []
    may_end.set()
    syncing.wait()
    assert order == [str(tmp_path / "file"), str(tmp_path)]
    syncing.wait()


def test_a_failure_is_told_once_and_when_all_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    def fail(fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        ended.append(path)
        if path.endswith("bad"):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    paths = [str(tmp_path / name) for name in ("good", "bad", "better")]
    for path in paths:
        open(path, "w").close()
        syncing.begin(path)
    with pytest.raises(OSError, match="Input/output error") as caught:
        syncing.wait()
    assert caught.value.filename == str(tmp_path / "bad")
    assert sorted(ended) == sorted(paths)
    syncing.wait()


def test_where_no_thread_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    synced: list[int] = []

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    syncing.begin(str(tmp_path / "file"))
    assert len(synced) == 1
    syncing.wait()


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    """SQLite removes its log when what it held has been synced elsewhere."""
    syncing.begin(str(tmp_path / "gone"))
    syncing.wait()
