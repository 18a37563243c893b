"""What a call pays for at start: the plugins import nothing heavy until they need it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"sqlite3", "_sqlite3", "dataclasses", "pydantic", "netaddr", "logging", "asyncio", "typer"}


def test_importing_the_plugins_is_cheap() -> None:
    code = "import sys, ipam.host_local, ipam.static, ipam.whereabouts; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="."
    )
    assert HEAVY.isdisjoint(done.stdout.split())
