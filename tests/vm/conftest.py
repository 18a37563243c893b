"""The suite is for the guest: outside only the test that boots it is collected.

The guest starts when all tests are known, and works while others run: see tests.vm.run.
"""

from __future__ import annotations

import os

import pytest

from tests.vm.run import Run

collect_ignore = [] if os.environ.get("PLAIT_VM") else ["suite"]
_RUN = pytest.StashKey[Run]()


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = any(item.path.name == "test_vm.py" for item in session.items)
    if wanted and not session.config.option.collectonly:
        session.config.stash[_RUN] = Run()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _RUN in session.config.stash:
        session.config.stash[_RUN].end()


@pytest.fixture
def guest(request: pytest.FixtureRequest) -> Run:
    return request.config.stash[_RUN]
