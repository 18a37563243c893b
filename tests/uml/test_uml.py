"""Boots the guest once and runs the suite in it, and the example that needs its kernel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PASSED_ON = ("HOME", "XDG_CACHE_HOME", "PLAIT_BIN", "PLAIT_CNITOOL")
EXAMPLES = [
    f"tests/conformance/test_examples.py::test_example[{runtime}-vlan-trunk/10-vlan-trunk.conflist]"
    for runtime in ("cnitool", "own")
]


@pytest.mark.timeout(900)
def test_the_suite_passes_in_the_guest(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the guest reads the machine's files as root")
    options = "-q -p no:cacheprovider -p no:hypothesispytest"
    what = ["tests/uml/suite", *EXAMPLES]
    suite = [sys.executable, "-m", "pytest", *options.split(), *what]
    passed_on = [f"{name}={os.environ[name]}" for name in PASSED_ON if name in os.environ]
    boot = [str(HERE / "boot"), str(tmp_path), "env", "PYTHONDONTWRITEBYTECODE=1", *passed_on]
    done = subprocess.run(
        [*boot, *suite], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    report = tmp_path / "output"
    text = report.read_text() if report.exists() else done.stderr
    assert done.returncode == 0, text
    passed = re.search(r"(\d+) passed", text)
    assert passed and int(passed[1]) > len(EXAMPLES) and "skipped" not in text, text
    print(text)
