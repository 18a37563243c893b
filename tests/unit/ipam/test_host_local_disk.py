"""host-local on a full disk and on one that nobody may write: clear errors, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.host_local import Network, conf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NET = conf("10.0.0.0/24")


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    """On a small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
    try:
        yield Network(disk)
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(net: Network) -> None:
    with open(net.state / "ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


def drain(net: Network) -> None:
    (net.state / "ballast").unlink()


def test_a_full_disk(net: Network) -> None:
    for number in range(5):
        net.add(NET, f"c{number}")
    fill(net)
    text = net.call("ADD", NET, "late").error(5)
    assert "cannot lease an address" in text
    assert "No space left" in text
    assert len(net.leases()) == 5
    assert "No space left" in net.call("STATUS", NET, cniVersion="1.1.0").error(50)
    assert net.add(NET, "c3") == ["10.0.0.5/24"]
    net.delete(NET, "c0")
    nobody: dict[str, Any] = {"cni.dev/valid-attachments": []}
    net.call("GC", NET, cniVersion="1.1.0", **nobody).ok()
    assert not net.leases()
    drain(net)
    net.call("STATUS", NET, cniVersion="1.1.0").ok()
    assert net.add(NET, "next") == ["10.0.0.7/24"]


def test_a_disk_that_was_full_from_the_start(net: Network) -> None:
    fill(net)
    net.call("ADD", NET).error(5)
    drain(net)
    assert net.add(NET) == ["10.0.0.2/24"]


def test_a_disk_that_cannot_be_written(net: Network) -> None:
    result = net.call("ADD", NET).ok()
    remount = ["mount", "-o", "remount,{}", str(net.state)]
    subprocess.run([each.format("ro") for each in remount], check=True)
    try:
        assert "Read-only" in net.call("ADD", NET, "late").error(5)
        assert "Read-only" in net.call("DEL", NET).error(5)
        assert "Read-only" in net.call("STATUS", NET, cniVersion="1.1.0").error(50)
        net.call("CHECK", NET, prevResult=result).ok()
    finally:
        subprocess.run([each.format("rw") for each in remount], check=True)
    net.delete(NET)
    assert not net.leases()
