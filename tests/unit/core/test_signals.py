"""Signals are noted wherever they come, and raised where that is safe."""

from __future__ import annotations

import importlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from cni.core import signals
from cni.core.errors import Interrupted
from tests import slim

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_handler_imports_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have come amid an import, of that very module for one."""
    monkeypatch.setattr(signals, "signal", slim.load("signal"))

    def import_module(name: str) -> None:
        raise ImportError(f"partially initialized module {name}")

    signals.install()
    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", import_module)
        with pytest.raises(Interrupted) as raised, signals.waiting():
            os.kill(os.getpid(), getattr(signal, name))
    assert raised.value.signal_name == name


def test_the_first_one_counts() -> None:
    signals.install()
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGINT"):
        signals.check()
    signals.check()
