"""The agent's second process: how it begins, and how it ends when it cannot go on."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from cni.agent import keeping
from cni.kube import keeper
from cni.kube.keeper import Keeper

if TYPE_CHECKING:
    from pathlib import Path


def test_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left open."""

    def fork() -> int:
        raise OSError(errno.EAGAIN, "no more")

    monkeypatch.setattr(os, "fork", fork)
    with keeper.listen(str(tmp_path / "connections")) as listener:
        before = os.listdir("/proc/self/fd")
        with pytest.raises(OSError, match="no more"):
            keeping.fork(listener)
        assert os.listdir("/proc/self/fd") == before


def test_a_process_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def serve(*_: object) -> None:
        raise LookupError("a bug of ours")

    monkeypatch.setattr(Keeper, "serve", serve)
    with keeper.listen(str(tmp_path / "connections")) as listener:
        made = keeping.fork(listener)
    _, status = os.waitpid(made.pid, 0)
    os.close(made.alive)
    assert os.waitstatus_to_exitcode(status) == 1
    assert "LookupError: a bug of ours" in capfd.readouterr().err
