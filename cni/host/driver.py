"""Drivers of PCI devices: bind one, wait for its interface, see which program has the device.

Kernel doc: Documentation/ABI/testing/sysfs-bus-pci ("driver_override"), driver-api/vfio.rst.
"""

from __future__ import annotations

import errno
import os
import time

from cni.core import signals, spawn
from cni.host import numvfs, pci, sriov

DRIVERS = "/sys/bus/pci/drivers"
_PROBE = "/sys/bus/pci/drivers_probe"
_NO_IOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
_SBIN = ("/sbin", "/usr/sbin", "/bin", "/usr/bin")
_POLL = 0.05  #: seconds between two looks


def is_userspace(driver: str) -> bool:
    """Whether the driver gives the device to a program; a card may have its own: mlx5_vfio_pci."""
    return driver in pci.USERSPACE_DRIVERS or "vfio" in driver


def iommu_group(device: str) -> int | None:
    """The devices of a group can only be given to one program; None without an IOMMU."""
    try:
        group = os.path.basename(os.readlink(f"{pci.PCI}/{device}/iommu_group"))
    except OSError:
        return None
    return int(group) if group.isdecimal() else None


def require_iommu(card: str) -> None:
    """Raises OSError ENODEV when vfio can give no function of the card to programs."""
    try:
        with open(_NO_IOMMU) as file:
            unsafe = file.read().strip() in ("Y", "1")
    except OSError:
        unsafe = False  # vfio is not loaded
    if iommu_group(card) is None and not unsafe:
        error = OSError(errno.ENODEV, "it is in no IOMMU group: make sure the IOMMU is enabled")
        error.add_note(f"give VFs of {card} to programs")
        raise error


def bind(device: str, wanted: str) -> None:
    """Give the device to that driver, and to no other that matches.

    Nothing happens when it has it. Raises OSError; the device then has no driver.
    """
    if pci.driver(pci.PCI, device) == wanted:
        return
    what = f'bind driver "{wanted}" to {device}'
    _unbind(device)
    override = f"{pci.PCI}/{device}/driver_override"
    _write(override, wanted, what)
    try:
        _write(f"{DRIVERS}/{wanted}/bind", device, what)
    finally:
        _write(override, "\n", what)  # else it would bind again after any later unbinding


def bind_default(device: str, *, again: bool = False) -> None:
    """Give the device to the driver that the kernel chooses, if it has none or a program's.

    With `again` it is taken away from the kernel's first. Raises OSError ENODEV when no driver
    takes it: it has the former one then.
    """
    bound = pci.driver(pci.PCI, device)
    if bound and not is_userspace(bound) and not again:
        return
    what = f"bind the default driver to {device}"
    _unbind(device)
    _write(f"{pci.PCI}/{device}/driver_override", "\n", what)
    with numvfs.probed(sriov.physical_function(device)):
        _write(_PROBE, device, what)
    if not pci.driver(pci.PCI, device):
        reason = "no driver takes it: its module is not loaded (blacklisted?), or it failed"
        error = OSError(errno.ENODEV, reason)
        error.add_note(what)
        if bound:
            try:
                bind(device, bound)
            except OSError:
                pass  # the first error says more
        raise error


def has_interface(device: str) -> bool:
    """Whether it has one in any namespace: of another's, sysfs shows the folder and not what is
    in it.
    """
    root = f"{pci.PCI}/{device}"
    try:
        children = [name for name in os.listdir(root) if name.startswith("virtio")]
    except OSError:
        return False
    return any(os.path.isdir(f"{root}/{each}/net") for each in ("", *children))


def wait_interface(device: str, seconds: float) -> str:
    """The name of the device's interface as soon as it has one; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        names = pci.interfaces(pci.PCI, device)
        if names:
            return names[0]
        if time.monotonic() > deadline:
            error = TimeoutError(errno.ETIMEDOUT, f"none came within {seconds:g} s")
            error.add_note(f"wait for the interface of {device}")
            raise error
        signals.sleep(_POLL)


def is_loaded(driver: str) -> bool:
    return os.path.isdir(f"{DRIVERS}/{driver}")


def load(driver: str) -> None:
    """Have the kernel load the driver's module; nothing happens when the driver is there."""
    if is_loaded(driver):
        return
    said = "there is no modprobe"
    modprobe = spawn.find("modprobe", _SBIN)
    if modprobe:
        done = spawn.run([modprobe, driver], os.environ, timeout=30)
        said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
    if not is_loaded(driver):
        error = OSError(errno.ENODEV, f"the kernel has no such driver ({said or 'not in modules'})")
        error.add_note(f'load driver "{driver}"')
        raise error


def character_devices(device: str) -> list[str]:
    """The paths by which a program uses a device that is bound to a driver for programs."""
    root = f"{pci.PCI}/{device}"
    group = iommu_group(device)
    paths = [] if group is None else [f"/dev/vfio/{group}", f"/dev/vfio/noiommu-{group}"]
    for directory, below in (("vfio-dev", "/dev/vfio/devices"), ("uio", "/dev")):
        try:
            paths += [f"{below}/{name}" for name in sorted(os.listdir(f"{root}/{directory}"))]
        except OSError:
            pass  # of the other driver
    return paths


def programs_with(paths: set[str]) -> list[tuple[str, str]]:
    """The processes that have one of the files open: the path, and `name (process ID)`."""
    found = []
    for process in filter(str.isdecimal, os.listdir("/proc") if paths else ()):
        try:
            opened = {
                _target(f"/proc/{process}/fd/{fd}") for fd in os.listdir(f"/proc/{process}/fd")
            }
            for path in sorted(opened & paths):
                with open(f"/proc/{process}/comm") as file:
                    found.append((path, f"{file.read().strip()} ({process})"))
        except OSError:
            continue  # it has ended meanwhile
    return found


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""  # closed meanwhile


def _unbind(device: str) -> None:
    try:
        _write(f"{pci.PCI}/{device}/driver/unbind", device, f"unbind {device} from its driver")
    except FileNotFoundError:
        pass  # it has none


def _write(path: str, text: str, what: str) -> None:
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(text.encode())
    except OSError as error:
        error.add_note(what)
        raise
