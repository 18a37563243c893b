"""The functions of an SR-IOV card as sysfs shows them: physical (PF) and virtual ones (VF).

Functions are named by PCI address, `0000:af:06.0`. Kernel doc: Documentation/PCI/pci-iov-howto.rst.
"""

from __future__ import annotations

import os

from cni.host import pci

_HEX = frozenset("0123456789abcdefABCDEF")


def is_address(text: str) -> bool:
    """Whether the text is a full PCI address, domain included."""
    parts = text.replace(".", ":").split(":")
    shape = [len(part) for part in parts]
    return (
        shape[1:] == [2, 2, 1]
        and shape[0] >= 4
        and text[-2] == "."
        and all(_HEX.issuperset(part) for part in parts)
    )


def physical_function(vf: str) -> str:
    """The PF of a VF; empty for what is no VF (a VF inside a virtual machine has no PF either)."""
    try:
        return os.path.basename(os.readlink(f"{pci.PCI}/{vf}/physfn"))
    except OSError:
        return ""


def virtual_functions(pf: str) -> dict[int, str]:
    """The VFs of a PF by index; they need not be numbered without gaps while a card changes."""
    found = {}
    for name in os.listdir(f"{pci.PCI}/{pf}"):
        index = name.removeprefix("virtfn")
        if index != name and index.isdecimal():
            found[int(index)] = os.path.basename(os.readlink(f"{pci.PCI}/{pf}/{name}"))
    return dict(sorted(found.items()))


def index_of(pf: str, vf: str) -> int | None:
    """The number by which the PF knows the VF."""
    return next((i for i, address in virtual_functions(pf).items() if address == vf), None)


def uplink(pf: str) -> str:
    """The PF's own interface; empty when it has none here.

    With eswitch mode switchdev the representors of its VFs stand beside it (sriov-cni#247).
    """
    names = pci.interfaces(pci.PCI, pf)
    return next((name for name in names if not _is_representor(name)), "")


def _is_representor(interface: str) -> bool:
    """`pf0vf3`, `pf0sf8`, `c1pf0`; the PF's own port is `p0`, `p0s1` or nothing."""
    return "pf" in _read(f"{pci.NET}/{interface}/phys_port_name")


def instance(device: str) -> int:
    """A number that a device made anew at the same address has not; 0 when there is none.

    Of its directory: sysfs numbers them one after another.
    """
    try:
        return os.stat(f"{pci.PCI}/{device}/").st_ino
    except OSError:
        return 0


def numa_node(device: str) -> int | None:
    """None where the platform does not say."""
    node = _read(f"{pci.PCI}/{device}/numa_node")
    return int(node) if node.isdecimal() else None


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:  # a driver without such a thing says so by an error
        return ""


def physical_functions() -> list[str]:
    """All network cards that can have VFs; storage and accelerator cards can too."""
    devices = os.listdir(pci.PCI) if os.path.isdir(pci.PCI) else []
    return [
        device
        for device in sorted(devices)
        if os.path.exists(f"{pci.PCI}/{device}/sriov_totalvfs")
        and _read(f"{pci.PCI}/{device}/class").startswith("0x02")
    ]
