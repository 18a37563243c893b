"""Devices by their place in sysfs: names only, no paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni.host import pci

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text", ["0000:01:00.0", "10000:e1:00.0", "mlx5_core.sf.4", "virtio0"])
def test_device_ids(text: str) -> None:
    assert pci.is_device_id(text)


@pytest.mark.parametrize(
    "text", ["", "..", "../x", "a/b", "0000:01:00.0\n", "a b", "a..b", "é", "a\0"]
)
def test_no_device_ids(text: str) -> None:
    assert not pci.is_device_id(text)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/sys/devices", "sys/devices/x", "/sys/class/net/lo", "/sys/devices/../../etc",
     "/sys/devices/virtual/net/lo/subsystem/.."],
)  # fmt: skip
def test_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(ValueError, match="must be absolute and begin with /sys/devices/"):
        pci.interface_at(path)


def test_interfaces_of_a_device(tmp_path: Path) -> None:
    """A virtio device has them one level below."""
    (tmp_path / "card" / "net" / "eth1").mkdir(parents=True)
    (tmp_path / "card" / "net" / "eth0").mkdir()
    (tmp_path / "guest" / "virtio3" / "net" / "eth7").mkdir(parents=True)
    (tmp_path / "bare").mkdir()
    bus = str(tmp_path)
    assert pci.interfaces(bus, "card") == ["eth0", "eth1"]
    assert pci.interfaces(bus, "guest") == ["eth7"]
    assert pci.interfaces(bus, "bare") == pci.interfaces(bus, "none") == []


def test_driver(tmp_path: Path) -> None:
    (tmp_path / "card").mkdir()
    assert pci.driver(str(tmp_path), "card") == ""
    (tmp_path / "card" / "driver").symlink_to("../../bus/pci/drivers/vfio-pci")
    assert pci.driver(str(tmp_path), "card") in pci.USERSPACE_DRIVERS
