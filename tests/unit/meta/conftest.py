"""The fixture that every test here starts from."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.unit.meta.harness import Node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Node(tmp_path)
    for number, handler in before.items():
        signal.signal(number, handler)
