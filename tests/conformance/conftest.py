"""The fixture that every test here starts from. PLAIT_BIN names another directory of plugins."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import AGENT, GO, OURS, Agent, Node, fresh_node, types

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def taken() -> Iterator[None]:
    """An agent that takes no call would be none."""
    yield
    if AGENT and not Agent.calls:
        pytest.fail("no call was handed to an agent")


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """What is missing here is an error of the machine, and no reason to pass."""
    if os.geteuid() != 0:
        pytest.fail("tests/conformance make namespaces: run them as root")
    if not types():
        pytest.fail(f"no plugins in {OURS}: run `make build`, or set PLAIT_BIN")
    missing = [name for name in ("ip", "bridge", "nft", "nsenter", "unshare") if not _has(name)]
    if not (GO / "host-local").exists():
        missing.append("containernetworking-plugins")
    if missing:
        pytest.fail(f"missing: {', '.join(missing)}")


def _has(command: str) -> bool:
    return shutil.which(command) is not None


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A host of its own for the test."""
    with fresh_node(tmp_path) as fresh:
        yield fresh
