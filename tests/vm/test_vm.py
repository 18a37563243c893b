"""The suite, and what other suites' tests the guest's kernel can do, passes in the guest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.vm.run import ARGS, TIMEOUT

if TYPE_CHECKING:
    from tests.vm.run import Run

#: tests that the guest runs
AT_LEAST = 200


@pytest.mark.timeout(TIMEOUT + 60)
def test_the_suite_passes_in_the_guest(guest: Run, capfd: pytest.CaptureFixture[str]) -> None:
    with capfd.disabled():  # it takes minutes: who waits wants to see something
        print()
        status, report = guest.watch()
    assert status == 0, report
    if not ARGS:
        passed = re.search(r"(\d+) passed", report)
        assert passed and int(passed[1]) >= AT_LEAST, report
        assert "skipped" not in report, report
