"""The fixtures that every test here starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipam import settings
from tests.unit.ipam.harness import Host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_flat_file_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "STANDARD_PATHS", ())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "state")


@pytest.fixture
def static(tmp_path: Path) -> Host:
    return Host(tmp_path / "state", "static")
