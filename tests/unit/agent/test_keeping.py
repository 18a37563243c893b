"""The agent's second process: how it begins, and how it ends when it cannot go on."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from cni.agent import keeping
from cni.agent.start import listen
from cni.kube.keeper import Keeper

if TYPE_CHECKING:
    from pathlib import Path


def test_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left open."""

    def fork() -> int:
        raise OSError(errno.EAGAIN, "no more")

    ends: list[int] = []
    pipe2 = os.pipe2

    def pipe(flags: int) -> tuple[int, int]:
        ends.extend(made := pipe2(flags))
        return made

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(os, "pipe2", pipe)
    with listen(str(tmp_path / "connections")) as listener:
        with pytest.raises(OSError, match="no more"):
            keeping.fork(listener)
        for each in ends:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(each)
    assert len(ends) == 2


def test_a_process_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def serve(*_: object) -> None:
        raise LookupError("a bug of ours")

    monkeypatch.setattr(Keeper, "serve", serve)
    with listen(str(tmp_path / "connections")) as listener:
        made = keeping.fork(listener)
    _, status = os.waitpid(made.pid, 0)
    os.close(made.alive)
    assert os.waitstatus_to_exitcode(status) == 1
    assert "LookupError: a bug of ours" in capfd.readouterr().err
