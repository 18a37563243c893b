"""Drivers and numbers of VFs, written into a folder that looks like sysfs."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from cni.ctl.vf import inventory
from cni.host import driver, link, numvfs, pci, sriov
from cni.host.link import Link
from cni.host.vf import Settings

if TYPE_CHECKING:
    from pathlib import Path

CARD, DEVICE = "0000:21:00.0", "0000:21:10.0"


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a card, and a device of driver igbvf in IOMMU group 33."""
    monkeypatch.setattr(pci, "PCI", str(tmp_path / "devices"))
    monkeypatch.setattr(driver, "DRIVERS", str(tmp_path / "drivers"))
    monkeypatch.setattr(driver, "_PROBE", str(tmp_path / "drivers_probe"))
    for name in ("igbvf", "vfio-pci"):
        (tmp_path / "drivers" / name).mkdir(parents=True)
        for file in ("bind", "unbind"):
            (tmp_path / "drivers" / name / file).touch()
    (tmp_path / "drivers_probe").touch()
    device = tmp_path / "devices" / DEVICE
    device.mkdir(parents=True)
    (device / "driver_override").touch()
    (device / "driver").symlink_to("../../drivers/igbvf")
    (device / "iommu_group").symlink_to("../../kernel/iommu_groups/33")
    card = tmp_path / "devices" / CARD
    card.mkdir()
    for name, text in (("class", "0x020000"), ("sriov_totalvfs", "7"), ("sriov_numvfs", "5")):
        (card / name).write_text(f"{text}\n")
    return tmp_path


def test_binding_takes_it_away_from_the_other_first(bus: Path) -> None:
    driver.bind(DEVICE, "vfio-pci")
    assert (bus / "drivers/igbvf/unbind").read_text() == DEVICE
    assert (bus / "drivers/vfio-pci/bind").read_text() == DEVICE
    assert (bus / "devices" / DEVICE / "driver_override").read_text() == "\n"


def test_binding_what_is_bound(bus: Path) -> None:
    driver.bind(DEVICE, "igbvf")
    driver.bind_default(DEVICE)
    assert (bus / "drivers/igbvf/unbind").read_text() == ""


def test_vfio_needs_an_iommu(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.require_iommu(DEVICE)
    monkeypatch.setattr(driver, "_NO_IOMMU", str(bus / "unsafe"))
    assert driver.iommu_group(CARD) is None
    for mode in ("", "N\n"):
        if mode:
            (bus / "unsafe").write_text(mode)
        with pytest.raises(OSError, match="make sure the IOMMU is enabled") as caught:
            driver.require_iommu(CARD)
        assert caught.value.errno == errno.ENODEV
        assert caught.value.__notes__ == [f"give VFs of {CARD} to programs"]
    (bus / "unsafe").write_text("Y\n")
    driver.require_iommu(CARD)


def test_back_to_the_kernel(bus: Path) -> None:
    (bus / "devices" / DEVICE / "driver").unlink()
    (bus / "devices" / DEVICE / "driver").symlink_to("../../drivers/vfio-pci")
    driver.bind_default(DEVICE)
    assert (bus / "drivers/vfio-pci/unbind").read_text() == DEVICE
    assert (bus / "drivers_probe").read_text() == DEVICE


def test_a_device_that_nobody_wants(bus: Path) -> None:
    (bus / "devices" / DEVICE / "driver").unlink()
    with pytest.raises(OSError, match="no driver takes it") as caught:
        driver.bind_default(DEVICE)
    assert caught.value.errno == errno.ENODEV


def test_what_no_driver_takes_keeps_its_former_one(
    bus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = bus / "devices" / DEVICE / "driver"
    bound.unlink()
    bound.symlink_to("../../drivers/vfio-pci")
    monkeypatch.setattr(driver, "_unbind", lambda _: bound.unlink(missing_ok=True))
    with pytest.raises(OSError, match="its module is not loaded"):
        driver.bind_default(DEVICE)
    assert (bus / "drivers/vfio-pci/bind").read_text() == DEVICE
    assert (bus / "devices" / DEVICE / "driver_override").read_text() == "\n"


def test_a_card_that_is_not_probed_is_for_a_moment(bus: Path) -> None:
    switch = bus / "devices" / CARD / "sriov_drivers_autoprobe"
    switch.write_text("0")
    with numvfs.probed(CARD):
        assert switch.read_text() == "1"
    assert switch.read_text() == "0"
    with numvfs.probed(""):
        pass


def test_an_interface_anywhere(bus: Path) -> None:
    """Of another namespace's the folder is there, and nothing in it."""
    assert not driver.has_interface(DEVICE)
    (bus / "devices" / DEVICE / "net").mkdir()
    assert driver.has_interface(DEVICE)
    (bus / "devices" / CARD / "virtio3/net").mkdir(parents=True)
    assert driver.has_interface(CARD)
    assert not driver.has_interface("0000:99:00.0")


def test_an_interface_that_is_renamed_meanwhile(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bus / "devices" / DEVICE / "net/eth9").mkdir(parents=True)
    answers = [None, Link(3, "eth9")]
    monkeypatch.setattr(link, "find", lambda *_: answers.pop(0))
    assert inventory.interface(None, DEVICE) == Link(3, "eth9")  # type: ignore[arg-type]


def test_an_interface_that_comes_meanwhile_is_not_away(
    bus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_early(device: str) -> bool:
        (bus / "devices" / device / "net/eth9").mkdir(parents=True)
        return False

    monkeypatch.setattr(driver, "has_interface", too_early)
    monkeypatch.setattr(link, "find", lambda *_: Link(3, "eth9"))
    found = inventory._read_vf(None, 0, DEVICE, Settings(), None)  # type: ignore[arg-type]
    assert found.interface == "eth9" and not found.is_away and not found.is_late


def test_a_driver_that_no_module_has(bus: Path) -> None:
    driver.load("vfio-pci")
    with pytest.raises(OSError, match="the kernel has no such driver"):
        driver.load("no-such-driver")


def test_wait_for_an_interface(bus: Path) -> None:
    with pytest.raises(TimeoutError) as caught:
        driver.wait_interface(DEVICE, 0)
    assert caught.value.__notes__ == [f"wait for the interface of {DEVICE}"]
    (bus / "devices" / DEVICE / "net/eth9").mkdir(parents=True)
    assert driver.wait_interface(DEVICE, 0) == "eth9"


def test_programs_with_a_device(bus: Path) -> None:
    assert driver.character_devices(DEVICE) == ["/dev/vfio/33", "/dev/vfio/noiommu-33"]
    (bus / "devices" / DEVICE / "vfio-dev/vfio4").mkdir(parents=True)
    (bus / "devices" / DEVICE / "uio/uio2").mkdir(parents=True)
    assert driver.character_devices(DEVICE)[2:] == ["/dev/vfio/devices/vfio4", "/dev/uio2"]
    held = bus / "33"
    held.touch()
    assert driver.programs_with({str(held)}) == []
    with held.open():
        ((path, program),) = driver.programs_with({str(held), "/nowhere"})
    assert path == str(held) and program.endswith(f" ({os.getpid()})")


def test_numbers(bus: Path) -> None:
    """The VFs are counted: to read their number can hang."""
    assert sriov.physical_functions() == [CARD]
    assert (numvfs.total(CARD), numvfs.current(CARD), numvfs.are_probed(CARD)) == (7, 0, True)
    assert (numvfs.total(DEVICE), numvfs.current(DEVICE)) == (0, 0)
    (bus / "devices" / CARD / "class").write_text("0x010802\n")  # storage
    assert sriov.physical_functions() == []


def test_the_number_is_waited_for(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numvfs, "_CHANGE_WAIT", 0.2)
    with pytest.raises(TimeoutError, match="0 are there after") as caught:
        numvfs.change(CARD, 1)
    assert caught.value.__notes__ == [f"set sriov_numvfs of {CARD} to 1"]
    (bus / "devices" / CARD / "virtfn0").symlink_to(f"../{DEVICE}")
    (bus / "devices" / DEVICE / "physfn").symlink_to(f"../{CARD}")
    numvfs.change(CARD, 1)
    assert numvfs.current(CARD) == 1


def test_a_refused_number(bus: Path) -> None:
    (bus / "devices" / CARD / "sriov_numvfs").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        numvfs.change(CARD, 1)
    assert caught.value.__notes__ == [f"set sriov_numvfs of {CARD} to 1"]
