"""Devices on the PCI and auxiliary buses, as sysfs shows them.

/sys shows the interfaces of the namespace it was mounted in: the host's.
"""

from __future__ import annotations

import os

PCI, AUXILIARY = "/sys/bus/pci/devices", "/sys/bus/auxiliary/devices"
VIRTIO = "/sys/bus/virtio/devices"
NET = "/sys/class/net"
_DEVICES = "/sys/devices/"

#: drivers that give a device to a program instead of to the kernel's network stack
USERSPACE_DRIVERS = frozenset({"vfio-pci", "uio_pci_generic", "igb_uio"})

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")


def is_device_id(text: str) -> bool:
    """Whether the text can be a device's name on a bus, and no path."""
    return bool(text) and _PLAIN.issuperset(text) and ".." not in text


def exists(bus: str, device: str) -> bool:
    return os.path.exists(f"{bus}/{device}")


def driver(bus: str, device: str) -> str:
    """The name of the bound driver; empty when there is none."""
    try:
        return os.path.basename(os.readlink(f"{bus}/{device}/driver"))
    except OSError:
        return ""


def bus_address(interface: str) -> str:
    """The name of the interface's device on its bus; empty when it has none, as a virtual one."""
    device = os.path.basename(os.path.realpath(f"{NET}/{interface}/device"))
    return device if any(exists(bus, device) for bus in _buses()) else ""


def is_listed(device: str) -> bool:
    """Whether one of the buses we know has the device; a platform device is on another."""
    return is_device_id(device) and any(exists(bus, device) for bus in _buses())


def is_away(device: str) -> bool:
    """Whether the kernel drives the device and none of its interfaces is here: where are they?"""
    if not is_device_id(device):
        return False
    drivers = {driver(bus, device) for bus in _buses()} - {""}
    here = any(interfaces(bus, device) for bus in _buses())
    return bool(drivers) and USERSPACE_DRIVERS.isdisjoint(drivers) and not here


def interfaces(bus: str, device: str) -> list[str]:
    """The device's network interfaces here; of a virtio device those of its child."""
    root = f"{bus}/{device}"
    found = _names(f"{root}/net")
    for child in _names(root):
        if child.startswith("virtio"):
            found += _names(f"{root}/{child}/net")
    return found


def interface_at(path: str) -> str:
    """The first interface of the device at a path below /sys/devices; empty when it has none.

    Raises ValueError for a path that is not, or leads, elsewhere.
    """
    if not path.startswith(_DEVICES) or not os.path.realpath(path).startswith(_DEVICES):
        raise ValueError(f'kernel device path "{path}" must be absolute and begin with {_DEVICES}')
    return next(iter(_names(f"{path}/net")), "")


def _buses() -> tuple[str, ...]:
    return PCI, AUXILIARY, VIRTIO


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
