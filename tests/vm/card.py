"""The guest's cards, for its tests: a PF, its VFs, and all that can be seen of them.

A VF's interface is named after it, `pf0v3`, and has a MAC address that tells it: what a machine has
udev and its configuration for. The kernel alone calls it ethN, with another address at each start.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BUS = Path("/sys/bus/pci")
VFS = 7  #: that an igb card has
PATIENCE = 90.0  #: seconds that nothing here needs


class Vf:
    """A virtual function of a card."""

    def __init__(self, pf: Pf, index: int) -> None:
        self.pf = pf
        self.index = index
        self.name = f"{pf.name}v{index}"  #: of its interface, when it is on the host
        self.mac = f"02:00:00:0{pf.index}:00:0{index}"
        self.path = (pf.path / f"virtfn{index}").resolve()
        self.address = self.path.name  #: on the PCI bus, 0000:21:10.0

    def __repr__(self) -> str:
        return f"Vf({self.name} {self.address})"

    @property
    def driver(self) -> str:
        link = self.path / "driver"
        return link.resolve().name if link.exists() else ""

    @property
    def netdev(self) -> str:
        """Its interface in the namespace of /sys, under any name; empty when it is not there."""
        return next((each.name for each in (self.path / "net").glob("*")), "")

    @property
    def iommu_group(self) -> str:
        return (self.path / "iommu_group").resolve().name

    @property
    def info(self) -> dict[str, Any]:
        """What the card has been told about it: address, vlan_list, spoofchk, trust, rate, ..."""
        return self.pf.vf_infos()[self.index]

    def bind(self, driver: str) -> None:
        """To `vfio-pci`, or to `igbvf`, where it has its interface, named, before this returns."""
        if self.driver:
            (self.path / "driver/unbind").write_text(self.address)
        # a newline for none: its own driver
        (self.path / "driver_override").write_text(f"{'' if driver == 'igbvf' else driver}\n")
        (BUS / "drivers_probe").write_text(self.address)
        wait_for(f"{driver} has {self}", lambda: self.driver == driver)
        if driver == "igbvf":
            self.settle()

    def settle(self) -> None:
        """Waits for its interface, and gives it its name and its address.

        An address that the card was told to give it stays.
        """
        wait_for(f"interface of {self}", lambda: self.netdev)
        if self.netdev != self.name:
            ip("link", "set", self.netdev, "name", self.name)
        try:
            ip("link", "set", self.name, "address", self.mac)
        except AssertionError as refusal:
            assert "Cannot assign requested address" in str(refusal)


class Pf:
    """A card, or its physical function. `wire` is an interface at the other end of its cable."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = f"pf{index}"
        self.wire = f"wire{index}"
        self.path = Path(f"/sys/class/net/{self.name}/device").resolve()
        self.address = self.path.name
        self.numa_node = int((self.path / "numa_node").read_text())
        self.vfs: list[Vf] = []  #: none before `provision`

    def __repr__(self) -> str:
        return f"Pf({self.name} {self.address})"

    def provision(self, number: int = VFS) -> None:
        """The card up, with so many VFs, made anew and with their interfaces.

        Up first: a VF that starts with the card down gets no address, and no carrier.
        """
        wait_for(f"interface of {self}", self._netdevs)
        found = self._netdevs()[0]
        if found != self.name:
            ip("link", "set", found, "name", self.name)
        ip("link", "set", self.name, "mtu", "1500", "alias", "", "up")
        self.wait_for_carrier()
        (self.path / "sriov_numvfs").write_text("0")
        (self.path / "sriov_numvfs").write_text(str(number))
        self.vfs = [Vf(self, index) for index in range(number)]
        for each in self.vfs:
            each.settle()
        # a change of the number resets the card, and until it is back it refuses rates
        self.wait_for_carrier()
        wait_for(f"addresses of the VFs of {self}", self._knows_addresses)

    def _netdevs(self) -> list[str]:
        return [each.name for each in (self.path / "net").glob("*")]

    def _knows_addresses(self) -> bool:
        """The card may have forgotten, in its reset, what a VF told it; then the VF repeats it."""
        infos = self.vf_infos()
        forgotten = [vf for vf in self.vfs if infos[vf.index]["address"] != vf.mac]
        for vf in forgotten:
            ip("link", "set", vf.name, "address", f"02:00:00:0f:00:0{vf.index}")
            ip("link", "set", vf.name, "address", vf.mac)  # an equal one would not reach the card
        return not forgotten

    def wait_for_carrier(self) -> None:
        carrier = Path(f"/sys/class/net/{self.name}/carrier")
        wait_for(f"carrier of {self}", lambda: carrier.read_text() == "1\n")

    def vf_infos(self) -> list[dict[str, Any]]:
        return list(ip("link", "show", self.name)[0].get("vfinfo_list", []))

    def snapshot(self) -> list[str]:
        """All that can be seen of the card and its VFs, some lines for each."""
        return self._seen({each["ifname"]: each for each in ip("address")})

    def _seen(self, links: dict[str, Any]) -> list[str]:
        seen = [f"{self.name} {_facts(links[self.name])}"]
        for vf in self.vfs:
            where = f"{vf.netdev} {_facts(links[vf.netdev])}" if vf.netdev else "no interface here"
            seen.append(f"{self.name} vf {vf.index}: driver {vf.driver or 'none'}, {where}")
        infos = links[self.name].get("vfinfo_list", [])
        seen += [f"{self.name} vf {each.pop('vf')}: told {json.dumps(each)}" for each in infos]
        return seen


def snapshot(pfs: list[Pf]) -> list[str]:
    """The same of several cards."""
    links = {each["ifname"]: each for each in ip("address")}
    return [line for pf in pfs for line in pf._seen(links)]


def _facts(link: dict[str, Any]) -> str:
    keys = ("address", "mtu", "ifalias", "altnames", "promiscuity", "allmulti", "master")
    shown: dict[str, Any] = {key: link[key] for key in keys if key in link}
    shown["up"] = "UP" in link["flags"]
    held = [each for each in link["addr_info"] if each["scope"] != "link"]
    shown["addresses"] = [f"{each['local']}/{each['prefixlen']}" for each in held]
    return json.dumps(shown)


def ip(*argv: str) -> Any:
    done = subprocess.run(["ip", "-j", "-d", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(argv)}: {done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else []


def wait_for(what: str, happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)
