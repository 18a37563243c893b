"""Undo and attempts: every step gets its turn, and the cause comes out."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from cni.core import signals
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Interrupted
from cni.core.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_reverse_order(done: list[str]) -> None:
    with pytest.raises(ValueError, match="the cause"), Undo() as undo:
        for each in "abc":
            undo.push(done.append, each)
        raise ValueError("the cause")
    assert done == ["c", "b", "a"]


def test_nothing_without_an_error_or_when_kept(done: list[str]) -> None:
    with Undo() as undo:
        undo.push(done.append, "a")
        undo.keep()
    with pytest.raises(ValueError, match="later"), Undo() as undo:
        undo.push(done.append, "b")
        undo.keep()
        undo.push(done.append, "c")
        raise ValueError("later")
    assert done == ["c"]


def test_forgotten_keep_undoes(done: list[str]) -> None:
    with Undo() as undo:
        undo.push(done.append, "a")
    assert done == ["a"]


def test_step_that_fails_hides_neither_the_cause_nor_the_rest(
    done: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError(5, "the undo's own")

    with pytest.raises(ValueError, match="the cause"), Undo() as undo:
        undo.push(done.append, "a")
        undo.push(fail)
        undo.push(done.append, "b")
        raise ValueError("the cause")
    assert done == ["b", "a"]
    logged = capfd.readouterr().err
    assert "undo failed" in logged
    assert "the undo's own" in logged
    assert "the cause" in logged


def test_signal_unwinds(done: list[str]) -> None:
    signals.install()
    with pytest.raises(Interrupted, match="SIGTERM"), Undo() as undo:
        undo.push(done.append, "a")
        os.kill(os.getpid(), signal.SIGTERM)
        undo.push(done.append, "b")
        done.append("never")
    assert done == ["b", "a"]


def test_signal_before_the_end_unwinds(done: list[str]) -> None:
    signals.install()
    with pytest.raises(Interrupted, match="SIGTERM"), Undo() as undo:
        undo.push(done.append, "a")
        os.kill(os.getpid(), signal.SIGTERM)
        undo.keep()
    assert done == ["a"]


def test_signal_ends_a_wait(done: list[str]) -> None:
    signals.install()
    with pytest.raises(Interrupted, match="SIGTERM"), Undo() as undo:
        undo.push(done.append, "a")
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        signals.sleep(30)
    assert done == ["a"]


def test_signal_that_came_before_ends_a_wait_at_once(done: list[str]) -> None:
    signals.install()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted):
        signals.sleep(30)
    signals.sleep(0)  # the second wait is of the undoing


def test_second_signal_does_not_break_the_undo(done: list[str]) -> None:
    signals.install()
    with pytest.raises(Interrupted, match="SIGINT"), Undo() as undo:
        undo.push(done.append, "a")
        undo.push(os.kill, os.getpid(), signal.SIGTERM)
        undo.push(signals.sleep, 0)
        undo.push(done.append, "b")
        os.kill(os.getpid(), signal.SIGINT)
        signals.check()
    assert done == ["b", "a"]


def test_signal_during_an_undo_does_not_hide_the_cause(done: list[str]) -> None:
    """The runtime gets the reason why the ADD failed, not that it lost patience meanwhile."""
    signals.install()
    with pytest.raises(ValueError, match="the cause"), Undo() as undo:
        undo.push(done.append, "a")
        undo.push(signals.sleep, 0)
        undo.push(os.kill, os.getpid(), signal.SIGTERM)
        raise ValueError("the cause")
    signals.check()
    assert done == ["a"]


def test_signal_after_the_work_is_done_changes_nothing(done: list[str]) -> None:
    """What is kept is told: an error now would leave all of it to nobody."""
    signals.install()
    with Undo() as undo:
        undo.push(done.append, "a")
        undo.keep()
        os.kill(os.getpid(), signal.SIGTERM)
        signals.check()
    os.kill(os.getpid(), signal.SIGINT)
    signals.check()
    assert done == []


def test_signal_between_two_delegates_unwinds_the_outer(done: list[str]) -> None:
    """The inner one is done, the whole is not."""
    signals.install()
    with pytest.raises(Interrupted), Undo() as outer:
        outer.push(done.append, "outer")
        with Undo() as inner:
            inner.push(done.append, "inner")
            inner.keep()
        os.kill(os.getpid(), signal.SIGTERM)
        outer.keep()
    assert done == ["outer"]


def test_blocked_signal_arrives_at_the_next_chance(done: list[str]) -> None:
    signals.install()
    with signals.blocked():
        os.kill(os.getpid(), signal.SIGTERM)
        with signals.blocked():
            signals.sleep(0)
        signals.check()
        done.append("a")
    with pytest.raises(Interrupted):
        signals.check()
    assert done == ["a"]


# attempts


def fail(text: str) -> None:
    raise CniError(11, text, "why")


def test_attempts_go_on(done: list[str]) -> None:
    attempts = Attempts()
    assert attempts.run(done.append, "a")
    assert not attempts.run(fail, "first")
    assert attempts.run(done.append, "b")
    attempts.run(os.rmdir, "/nonexistent")
    assert attempts.value(str.upper, "c") == "C"
    assert attempts.value(fail, "third") is None
    assert done == ["a", "b"]
    with pytest.raises(CniError) as raised:
        attempts.finish()
    assert raised.value.code == 11
    for words in ("first; why", "/nonexistent", "third; why"):
        assert words in raised.value.msg


def test_one_error_comes_out_as_it_is() -> None:
    attempts = Attempts()
    attempts.run(fail, "only")
    with pytest.raises(CniError) as raised:
        attempts.finish()
    assert (raised.value.code, raised.value.msg, raised.value.details) == (11, "only", "why")


def test_no_error() -> None:
    Attempts().finish()


def test_signal_ends_the_attempts(done: list[str]) -> None:
    signals.install()
    attempts = Attempts()
    with pytest.raises(Interrupted):
        attempts.run(os.kill, os.getpid(), signal.SIGTERM)
        attempts.run(done.append, "never")
    assert done == []
