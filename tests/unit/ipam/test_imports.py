"""What a call pays for at start: the plugins import nothing heavy until they need it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"sqlite3", "_sqlite3", "dataclasses", "pydantic", "netaddr", "logging", "asyncio", "typer"}
CLUSTER = {"http.client", "email", "random", "urllib.parse"}


def imported(modules: str) -> set[str]:
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="."
    )
    return set(done.stdout.split())


def test_importing_the_plugins_is_cheap() -> None:
    assert HEAVY.isdisjoint(imported("ipam.host_local, ipam.static, ipam.whereabouts"))


def test_importing_the_stores_of_the_cluster_is_cheap() -> None:
    assert (HEAVY | CLUSTER).isdisjoint(imported("ipam.stores.etcd, ipam.stores.kubernetes"))
