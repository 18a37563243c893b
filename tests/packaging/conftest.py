"""Fixtures: the frozen plugins.

PLAIT_BIN   their directory, <repository>/build/bin when unset
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def plugins() -> Path:
    """The directory of the frozen plugins."""
    directory = Path(os.environ.get("PLAIT_BIN") or REPOSITORY / "build/bin").absolute()
    if not (directory / "plait").exists():
        pytest.fail(f"no plugins in {directory}: run make build, or set PLAIT_BIN")
    return directory
