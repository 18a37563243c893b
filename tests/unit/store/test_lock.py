"""A lock that is waited for with a bound, on a file that may be removed by who holds it."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cni.core import signals
from cni.core.errors import CniError, Code, Interrupted
from cni.store.lock import locked

if TYPE_CHECKING:
    from pathlib import Path


def hold(path: Path) -> int:
    """A descriptor with the lock, as another call has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def test_it_says_who_is_waited_for(tmp_path: Path) -> None:
    fd = hold(tmp_path / "lock")
    said = pytest.raises(CniError, match="the pool is in use by another call")
    with said as caught, locked(str(tmp_path / "lock"), 0.01, what="the pool"):
        pass
    assert caught.value.code == Code.TRY_AGAIN_LATER
    os.close(fd)


def test_who_waits_opens_the_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll is one flock: some hundred processes wait for the leases of a node that starts."""
    path = tmp_path / "lock"
    fd = hold(path)
    polls, opened, real = 0, 0, os.open

    def count(*arguments: object, **more: object) -> int:
        nonlocal opened
        opened += arguments[0] == str(path)
        return real(*arguments, **more)  # type: ignore[arg-type]

    def sleep(_: float) -> None:
        nonlocal polls
        polls += 1
        if polls == 5:
            os.close(fd)

    monkeypatch.setattr(os, "open", count)
    monkeypatch.setattr(time, "sleep", sleep)
    with locked(str(path)):
        pass
    assert (polls, opened) == (5, 1)


def test_a_file_that_its_holder_has_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited for it locks the file that has its name then, and waits for that one's holder."""
    path = tmp_path / "lock"
    held = [hold(path)]
    steps = 0

    def sleep(_: float) -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            path.unlink()
            held.append(hold(path))
            os.close(held[0])
        elif steps == 3:
            os.close(held[1])

    monkeypatch.setattr(time, "sleep", sleep)
    with locked(str(path)):
        assert steps == 3
        other = os.open(path, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)


def test_a_signal_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = hold(tmp_path / "lock")
    for name, value in (("_noted", ""), ("_over", False), ("_blocked", 0)):
        monkeypatch.setattr(signals, name, value)
    monkeypatch.setattr(time, "sleep", lambda _: signals._note(signal.SIGTERM, None))
    with pytest.raises(Interrupted), locked(str(tmp_path / "lock")):
        pass
    os.close(fd)
    with locked(str(tmp_path / "lock"), 0):  # and it holds nothing
        pass


@pytest.mark.parametrize("remove", [False, True])
def test_one_at_a_time(tmp_path: Path, remove: bool) -> None:
    path = str(tmp_path / "lock")
    inside, most, done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        for _ in range(20):
            with locked(path, remove=remove):
                inside += 1
                most = max(most, inside)
                inside -= 1
                done += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (most, done) == (1, 160)
    assert os.path.exists(path) is not remove
