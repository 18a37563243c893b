"""Cards for the tests, without hardware."""

from __future__ import annotations

from typing import Any

from cni.ctl.vf.inventory import Pf, Vf
from cni.ctl.vf.owners import Owner
from cni.host.vf import Rate, Settings, Vlan

OWNER = Owner("net", "c1", "net1", "/run/netns/a", "done", lives=True)


def vf(number: int, **changes: Any) -> Vf:
    """A VF of the kernel whose MAC address the PF keeps."""
    mac = f"02:00:00:00:00:0{number}"
    told = Settings(Vlan(0), mac, Rate(0, 0), spoofchk=True, trust=False, link_state="auto")
    usual = Vf(
        number, f"0000:21:10.{number}", "igbvf", f"eth{number}", mac, 1500,
        numa_node=0, iommu_group=30 + number, settings=told,
    )  # fmt: skip
    return usual._replace(**changes)


def for_programs(number: int, driver: str = "vfio-pci", **changes: Any) -> Vf:
    return vf(number, driver=driver, interface="", mac="", mtu=0, **changes)


def away(number: int, **changes: Any) -> Vf:
    """In a namespace that is not ours."""
    return vf(number, interface="", mac="", mtu=0, **changes)


def late(number: int, **changes: Any) -> Vf:
    """Of a driver that has not brought an interface."""
    return away(number, has_interface=False, **changes)


def pf(*vfs: Vf, **changes: Any) -> Pf:
    usual = Pf(
        "0000:21:00.0", "pf0", "igb", numa_node=0, total=7, present=len(vfs), mtu=1500,
        is_up=True, state="up", vfs=vfs,
    )  # fmt: skip
    return usual._replace(**changes)
