"""Boots the guest once and runs the suite in it, and the examples that need its kernel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


@pytest.mark.timeout(900)
def test_the_suite_passes_in_the_guest(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the guest reads the machine's files as root")
    options = "-q -p no:cacheprovider -p no:hypothesispytest tests/uml/suite"
    suite = [sys.executable, "-m", "pytest", *options.split()]
    boot = [str(HERE / "boot"), str(tmp_path), "env", "PYTHONDONTWRITEBYTECODE=1"]
    done = subprocess.run(
        [*boot, *suite], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    report = tmp_path / "output"
    text = report.read_text() if report.exists() else done.stderr
    assert done.returncode == 0, text
    passed = re.search(r"(\d+) passed", text)
    assert passed and int(passed[1]) > 0, text
    print(text)
