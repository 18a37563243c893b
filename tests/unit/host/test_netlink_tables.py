"""The committed tables are those of pyroute2's message classes."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from cni.host import messages

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "packaging" / "netlink.py"))


def test_the_committed_tables_are_current(script: dict[str, Any]) -> None:
    committed = (ROOT / "cni" / "host" / "messages.py").read_text()
    assert script["generate"]() == committed, "run: python packaging/netlink.py"


def test_all_that_is_wanted_is_there(script: dict[str, Any]) -> None:
    wanted = {each.__name__: set(names) for each, names in script["WANTED"].items()}
    assert {name: set(table) for name, table in messages.ATTRIBUTES.items()} == wanted
