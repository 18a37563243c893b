"""What surrounds an attachment: the VF before it, the files about it, the pod's own doing."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cni.host.rtnl import Rtnl
from tests.vm.card import ip, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.netns.node import Node, Pod
    from tests.vm.card import Vf

POD_MAC = "60:00:00:00:00:d0"  #: that a pod gives its VF itself


def of_vf(vf: Vf) -> dict[str, Any]:
    """What the card was told about the VF, flat."""
    info = vf.info
    vlan = info.get("vlan_list", [{}])[0]
    return {
        "vlan": vlan.get("vlan", 0),
        "qos": vlan.get("qos", 0),
        "mac": info["address"],
        "max": info["rate"]["max_tx"],
        "spoofchk": info["spoofchk"],
        "trust": info["trust"],
    }


def record_of(machine: Node, pod: Pod, ifname: str = "net1") -> Path:
    return machine.state / "sriov" / f"{pod.name}-{ifname}"


def allocation_of(machine: Node, vf: Vf) -> Path:
    return machine.state / "sriov/pci" / vf.address


def traces(machine: Node) -> list[str]:
    """The files of all attachments, locks aside, and their leases."""
    found = (machine.state / "sriov").rglob("*")
    names = [each.name for each in found if each.is_file() and not each.name.endswith(".lock")]
    return sorted(names) + [" ".join(each) for each in machine.leases()]


@contextmanager
def unusual(vf: Vf, *altnames: str) -> Iterator[None]:
    """Of the VF nothing is as the kernel makes it, on the card and on the host."""
    tell(vf, "vlan", "7", "qos", "2", "max_tx_rate", "300", "spoofchk", "off", "trust", "on")
    changes = ("mtu", "1400", "alias", "rack 7", "promisc", "on", "allmulticast", "on", "up")
    ip("link", "set", vf.name, *changes)
    properties = [word for name in altnames for word in ("altname", name)]
    if altnames:
        ip("link", "property", "add", "dev", vf.name, *properties)
    try:
        yield
    finally:
        if altnames:
            ip("link", "property", "del", "dev", vf.name, *properties)
        plain(vf.name)
        tell(vf, "vlan", "0", "max_tx_rate", "0", "spoofchk", "on", "trust", "off")


def plain(name: str) -> None:
    """The VF's interface as the driver makes it, its name and its address aside."""
    changes = ("mtu", "1500", "alias", "", "promisc", "off", "allmulticast", "off", "down")
    ip("link", "set", name, *changes)


def tell(vf: Vf, *words: str) -> None:
    """Something to the card about the VF."""
    ip("link", "set", vf.pf.name, "vf", str(vf.index), *words)


def untell_mac(vf: Vf) -> None:
    """An address that the card was told, by an earlier test, binds the VF; this frees it."""
    tell(vf, "mac", "00:00:00:00:00:00")
    for each in (POD_MAC, vf.mac):
        ip("link", "set", vf.name, "address", each)


def inside(pod: Pod, vf: Vf) -> str:
    """The name of the VF's interface in the pod; empty when it is not there."""
    held = (each["ifname"] for each in pod.ip("link") if each.get("parentdev") == vf.address)
    return next(held, "")


def fetch(pod: Pod, vf: Vf) -> None:
    """Take the VF's interface out of the pod, by hand."""
    name = inside(pod, vf)
    pod.ip("link", "set", name, "down")
    pod.ip("link", "set", name, "name", vf.name)
    pod.ip("link", "set", vf.name, "netns", "1")
    plain(vf.name)


def die(pod: Pod, vf: Vf) -> None:
    """The pod ends without DEL, and the kernel has given back the VF's interface."""
    pod.destroy()
    if vf.driver == "igbvf":
        wait_for(f"return of {vf}", lambda: vf.netdev)


def ipam_script(machine: Node, *, on_add: str = "", on_del: str = "") -> dict[str, Any]:
    """An `ipam` section whose plugin, a foreign one, runs these lines of shell."""
    directory = machine.root / "bin"
    directory.mkdir(exist_ok=True)
    machine.bin_path = str(directory)
    result = '{"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/24"}]}'
    plugin = directory / "scripted"
    plugin.write_text(f"""#!/bin/sh
        case $CNI_COMMAND in
        ADD) {on_add or ":"}
        echo '{result}';;
        DEL) {on_del or ":"};;
        esac
    """)
    plugin.chmod(0o755)
    return {"type": "scripted"}


@contextmanager
def refused(what: str) -> Iterator[None]:
    """The kernel refuses requests for this."""
    request = Rtnl.request

    def refusing(*args: Any, **kwargs: Any) -> Any:
        if kwargs["what"].startswith(what):
            raise OSError(errno.EIO, "made to fail by the test")
        return request(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rtnl, "request", refusing)
        yield
