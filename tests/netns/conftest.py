"""The fixture that every test here starts from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.netns.node import Node, fresh_node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A host of its own for the test."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    with fresh_node(tmp_path) as fresh:
        yield fresh
