"""A full disk: no address is promised, and every address can be given back."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.harness import Host, whereabouts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NET = whereabouts("10.0.0.0/24")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> None:
    with open(disk / "ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


def test_addresses_are_released(small_disk: Path) -> None:
    host = Host(small_disk)
    for number in range(5):
        host.add(NET, f"c{number}")
    fill(small_disk)
    assert "cannot lease an address" in host.call("ADD", NET, "late").error(5)
    for number in range(5):
        host.delete(NET, f"c{number}")
    (small_disk / "ballast").unlink()
    assert host.add(NET, "next") == ["10.0.0.1/24"]


def test_leases_are_collected(small_disk: Path) -> None:
    host = Host(small_disk)
    host.add(NET, "dead")
    fill(small_disk)
    nobody: dict[str, Any] = {"cni.dev/valid-attachments": []}
    host.call("GC", NET, cniVersion="1.1.0", **nobody).ok()
    (small_disk / "ballast").unlink()
    assert host.add(NET, "next") == ["10.0.0.1/24"]
