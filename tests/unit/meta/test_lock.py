"""The lock of a container: exclusive, gone when released, never across containers."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError
from meta.multus import lock

if TYPE_CHECKING:
    from pathlib import Path


def test_exclusive_and_nothing_left(tmp_path: Path) -> None:
    run = str(tmp_path)
    with lock.container(run, "c1"), lock.container(run, "c2"):
        with pytest.raises(CniError) as refused, lock.container(run, "c1", timeout=0.05):
            pass
        assert refused.value.code == 11
    assert os.listdir(tmp_path / "multus") == []


def test_many_at_once_on_one_container(tmp_path: Path) -> None:
    inside, worst, turns = 0, 0, []

    def work() -> None:
        nonlocal inside, worst
        for _ in range(20):
            with lock.container(str(tmp_path), "c1"):
                inside += 1
                worst = max(worst, inside)
                turns.append(1)
                os.sched_yield()
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == 1
    assert len(turns) == 120
