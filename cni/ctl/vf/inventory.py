"""The SR-IOV cards of this node and their VFs: the facts of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import invalid
from cni.ctl.vf import owners
from cni.host import driver, link, numvfs, pci, sriov, vf

if TYPE_CHECKING:
    from cni.ctl.vf.owners import Owner
    from cni.host.link import Link
    from cni.host.rtnl import Rtnl

_RENAMES = 5  #: how often an interface may be renamed (by udev) while it is looked for


class Vf(NamedTuple):
    """A virtual function. `interface` is empty when it has none, or has it in another namespace."""

    number: int  #: by which the PF knows it
    address: str
    driver: str = ""
    interface: str = ""
    mac: str = ""  #: of the interface; `settings.mac` is what the PF has for it
    mtu: int = 0  #: bytes; 0 without an interface here
    numa_node: int | None = None
    iommu_group: int | None = None
    settings: vf.Settings = vf.Settings()
    owner: Owner | None = None
    has_interface: bool = True  #: here or in another namespace; only asked of a kernel's VF
    uses: tuple[str, ...] = ()  #: what the host does with it, for people; see uses.py
    programs: tuple[str, ...] = ()  #: the processes that have it open, for people

    @property
    def is_for_programs(self) -> bool:
        return driver.is_userspace(self.driver)

    @property
    def is_away(self) -> bool:
        """Whether the kernel drives it and its interface is in another namespace."""
        return self._is_without_interface and self.has_interface

    @property
    def is_late(self) -> bool:
        """Whether the kernel drives it and it has no interface anywhere, yet."""
        return self._is_without_interface and not self.has_interface

    @property
    def _is_without_interface(self) -> bool:
        return bool(self.driver) and not self.is_for_programs and not self.interface

    def __str__(self) -> str:
        return f"VF {self.number} ({self.address})"


class Pf(NamedTuple):
    """A physical function; `present` of its `total` VFs exist."""

    address: str
    interface: str = ""
    driver: str = ""
    numa_node: int | None = None
    total: int = 0
    present: int = 0
    is_probed: bool = True  #: whether the kernel binds its driver to new VFs
    mtu: int = 0  #: bytes
    is_up: bool = False
    state: str = ""  #: the kernel's operational state: up, down, lowerlayerdown
    vfs: tuple[Vf, ...] = ()
    uses: tuple[str, ...] = ()  #: as of a VF

    @property
    def name(self) -> str:
        return self.interface or self.address


def read_all(nl: Rtnl, state_dir: str) -> list[Pf]:
    known = owners.all_owners(state_dir)
    return [_read(nl, pf, known) for pf in sriov.physical_functions()]


def read(nl: Rtnl, state_dir: str, pf: str) -> Pf:
    """One card, by its PCI address."""
    return _read(nl, pf, owners.all_owners(state_dir))


def find(nl: Rtnl, name: str) -> str:
    """The PCI address of the PF with that interface, or that address, with or without domain.

    Raises CniError that says what it is instead, or what PFs there are.
    """
    cards = sriov.physical_functions()
    device = _device(nl, name)
    if device in cards:
        return device
    pf = sriov.physical_function(device) if device else ""
    if pf:
        index, uplink = sriov.index_of(pf, device), sriov.uplink(pf) or pf
        raise invalid(f'"{name}" is VF {index} of {uplink}, and no PF')
    if device and (not sriov.is_address(device) or pci.exists(pci.PCI, device)):
        raise invalid(f'"{name}" ({device}) has no SR-IOV')
    there = ", ".join(f"{sriov.uplink(card) or '-'} ({card})" for card in cards)
    raise invalid(f'no PF is called "{name}"', f"there are: {there}" if cards else "there are none")


def find_vf(nl: Rtnl, name: str) -> str:
    """The PCI address of a VF by its interface's name or its address; raises CniError."""
    device = _device(nl, name)
    if not device or not pci.exists(pci.PCI, device):
        raise invalid(f'no device of this node is called "{name}"')
    if not sriov.physical_function(device):
        raise invalid(f'"{name}" is no VF')
    return device


def _device(nl: Rtnl, name: str) -> str:
    """The bus address of an interface, or what is a PCI address already; else empty."""
    for spelt in (name.lower(), f"0000:{name.lower()}"):
        if sriov.is_address(spelt):
            return spelt
    found = link.find(nl, name) if name else None
    return pci.bus_address(found.name) if found else ""


def _read(nl: Rtnl, pf: str, known: dict[str, Owner]) -> Pf:
    name = sriov.uplink(pf)
    uplink = link.find(nl, name) if name else None
    settings = vf.read_all(nl, uplink) if uplink else {}
    return Pf(
        address=pf,
        interface=uplink.name if uplink else "",
        driver=pci.driver(pci.PCI, pf),
        numa_node=sriov.numa_node(pf),
        total=numvfs.total(pf),
        present=numvfs.current(pf),
        is_probed=numvfs.are_probed(pf),
        mtu=uplink.mtu if uplink else 0,
        is_up=uplink.is_up if uplink else False,
        state=uplink.operstate.lower() if uplink else "",
        vfs=tuple(
            _read_vf(nl, index, device, settings.get(index, vf.Settings()), known.get(device))
            for index, device in sriov.virtual_functions(pf).items()
        ),
    )


def interface(nl: Rtnl, device: str) -> Link | None:
    """The device's own; None when it has none here."""
    for _ in range(_RENAMES):
        names = pci.interfaces(pci.PCI, device)
        found = link.find(nl, names[0]) if names else None
        if found or not names:
            return found
    return None


def _read_vf(nl: Rtnl, index: int, device: str, settings: vf.Settings, owner: Owner | None) -> Vf:
    somewhere = driver.has_interface(device)  # first: what comes in between is not away
    own = interface(nl, device)
    return Vf(
        number=index,
        address=device,
        driver=pci.driver(pci.PCI, device),
        interface=own.name if own else "",
        mac=own.mac if own else "",
        mtu=own.mtu if own else 0,
        numa_node=sriov.numa_node(device),
        iommu_group=driver.iommu_group(device),
        settings=settings,
        owner=owner,
        has_interface=somewhere or own is not None,
    )
