"""Lines for people, in a file that does not grow for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni.core import log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "log"
    log.configure("warning", stderr=True)
    log._file = ""


def test_a_full_file_becomes_an_older_one(file: Path) -> None:
    log.configure("info", str(file), stderr=False, max_size=200, backups=2)
    for number in range(12):
        log.info("something happened", number=number)
    names = sorted(each.name for each in file.parent.iterdir())
    assert names in (["log", "log.1", "log.2"], ["log.1", "log.2"])
    kept = "".join((file.parent / name).read_text() for name in ("log.2", "log.1"))
    assert "number=10" in kept or "number=11" in kept
    assert "number=0\n" not in kept
    assert all((file.parent / name).stat().st_size < 400 for name in names)


def test_without_a_limit_it_grows(file: Path) -> None:
    log.configure("info", str(file), stderr=False)
    for _ in range(50):
        log.info("something happened")
    assert [each.name for each in file.parent.iterdir()] == ["log"]


def test_without_backups_it_begins_anew(file: Path) -> None:
    log.configure("info", str(file), stderr=False, max_size=200)
    for _ in range(50):
        log.info("something happened")
    assert [each.name for each in file.parent.iterdir()] in ([], ["log"])


def test_a_delegate_without_a_file_leaves_the_limits(file: Path) -> None:
    """It runs in the process of multus, whose file it writes to."""
    log.configure("info", str(file), stderr=False, max_size=200, backups=1)
    log.configure("", "", stderr=False)
    for _ in range(50):
        log.info("something happened")
    assert sorted(each.name for each in file.parent.iterdir()) in (["log", "log.1"], ["log.1"])


def test_a_file_of_its_own_has_limits_of_its_own(file: Path) -> None:
    log.configure("info", str(file.with_name("other")), stderr=False, max_size=200, backups=1)
    log.configure("info", str(file), stderr=False)
    for _ in range(50):
        log.info("something happened")
    assert [each.name for each in file.parent.iterdir()] == ["log"]
