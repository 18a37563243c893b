"""The PF's side of an attachment: the settings that a pod cannot change itself."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import log
from cni.core.attempts import Attempts
from cni.core.errors import invalid
from cni.host import link, pci, sriov, vf
from cni.host.vf import Rate, Settings, Vlan
from cni.sriov import allocation

if TYPE_CHECKING:
    from cni.host.link import Link
    from cni.host.rtnl import Rtnl


class Port(NamedTuple):
    """A VF as its PF knows it."""

    device: str  #: PCI address of the VF
    pf: str  #: PCI address of the PF
    uplink: Link  #: the PF's interface
    vf_index: int


def find_port(nl: Rtnl, device: str) -> Port:
    """Raises CniError 7 for a device that is no VF of a PF with an interface."""
    where = f'"deviceID": "{device}"'
    if not pci.exists(pci.PCI, device):
        raise invalid(f"{where}: no such PCI device")
    pf = sriov.physical_function(device)
    if not pf:
        raise invalid(
            f"{where} is no virtual function of a card of this machine",
            "a PF, and a VF inside a virtual machine, are for host-device",
        )
    index, name = sriov.index_of(pf, device), sriov.uplink(pf)
    if index is None or not name:
        raise invalid(f"{where}: its PF {pf} has no interface on the host")
    return Port(device, pf, link.get(nl, name), index)


def read(nl: Rtnl, port: Port) -> Settings:
    return vf.patiently(vf.read, nl, port.uplink, port.vf_index)


def change(nl: Rtnl, state_dir: str, port: Port, wanted: Settings, present: Settings) -> None:
    """Set what differs. Many a driver refuses even an equal value (sriov-cni#285, #291).

    Raises OSError, its notes naming key and value.
    """
    for name, value in differing(wanted, present).items():
        _put(nl, state_dir, port, name, value)


def restore(nl: Rtnl, state_dir: str, port: Port, before: Settings) -> None:
    """The same, with everything attempted."""
    attempts = Attempts()
    for name, value in differing(before, read(nl, port)).items():
        if name == "rate":
            attempts.run(_restore_rate, nl, state_dir, port, value)
        else:
            attempts.run(_put, nl, state_dir, port, name, value)
    attempts.finish()


def _restore_rate(nl: Rtnl, state_dir: str, port: Port, value: Rate) -> None:
    """Without a link igb and ixgbe refuse any rate, and forget the old one when the link is back:
    a cable that was pulled must not keep the pod.
    """
    try:
        _put(nl, state_dir, port, "rate", value)
    except OSError as error:
        if error.errno != errno.EINVAL or port.uplink.has_carrier:
            raise
        log.warning("rates not restored: the PF has no link", pf=port.uplink.name, reason=error)


def differing(wanted: Settings, present: Settings) -> dict[str, Any]:
    """The wishes that are not fulfilled, in the order in which to set them."""
    held = present._asdict()
    return {name: value for name, value in wanted.known().items() if value != held[name]}


def contradicted(wanted: Settings, present: Settings) -> dict[str, Any]:
    """The wishes of which the PF tells another value; a driver need not tell any."""
    told = present.known()
    return {name: value for name, value in differing(wanted, present).items() if name in told}


def _put(nl: Rtnl, state_dir: str, port: Port, name: str, value: Any) -> None:
    try:
        vf.patiently(_put_once, nl, state_dir, port, name, value)
    except OSError as error:
        state = "up" if port.uplink.is_up else "down"
        driver = pci.driver(pci.PCI, port.pf)
        error.add_note(f"{spell(name, value)} on PF {port.uplink.name} ({driver}, {state})")
        raise


def _put_once(nl: Rtnl, state_dir: str, port: Port, name: str, value: Any) -> None:
    """The PF is locked for the one request: others need not wait for this VF's reset."""
    with allocation.exclusive_pf(state_dir, port.pf):
        vf.put(nl, port.uplink, port.vf_index, name, value)


def spell(name: str, value: Any) -> str:
    """A setting in the configuration's own words."""
    if isinstance(value, Vlan):
        pairs = {"vlan": value.id, "vlanQoS": value.qos, "vlanProto": value.proto}
    elif isinstance(value, Rate):
        pairs = {"min_tx_rate": value.min, "max_tx_rate": value.max}
    else:
        pairs = {name: {True: "on", False: "off"}.get(value, value)}
    return ", ".join(f'"{key}": {_quoted(value)}' for key, value in pairs.items())


def _quoted(value: Any) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'
