"""`plait vf` on real cards: what it shows is what the kernel says, what it does is done."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pydantic  # noqa: F401  # before cni.core.load puts its stand-in there: typer needs all of it
import pytest

from cni.ctl import app
from cni.host import driver as drives
from cni.host import numvfs as numbers
from tests.netns.confs import static
from tests.vm.card import ip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.node import Node, Pod
    from tests.vm.card import Pf, Vf


class Answer(NamedTuple):
    """What a command wrote, and its exit status."""

    status: int
    out: str
    err: str

    def ok(self) -> list[str]:
        assert (self.status, self.err) == (0, "")
        return self.out.splitlines()

    def error(self) -> str:
        """The one line that says what went wrong."""
        assert self.status == 1
        (line,) = self.err.splitlines()
        assert line.startswith("plait: ")
        return line


class Tool:
    """The tool, called in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Answer:
        self._capsys.readouterr()
        status = app.main(["vf", *arguments])
        return Answer(status, *self._capsys.readouterr())

    def list(self, pf: str) -> dict[str, Any]:
        (found,) = json.loads("\n".join(self("list", "--pf", pf, "--json").ok()))["pfs"]
        assert isinstance(found, dict)
        return found

    def vf(self, vf: Vf) -> dict[str, Any]:
        found = self.list(vf.pf.name)["vfs"][vf.index]
        assert found["address"] == vf.address
        return dict(found)


@pytest.fixture
def plait(
    machine: Node, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Tool:
    monkeypatch.setenv("PLAIT_STATE_DIR", str(machine.state))
    return Tool(capsys)


@pytest.fixture
def card(cards: list[Pf]) -> Iterator[Pf]:
    """One whose VFs a test may make anew, with other drivers and MTUs."""
    yield cards[0]
    ip("link", "set", cards[0].name, "mtu", "1500")
    cards[0].provision()


def sriov(vf: Vf, **keys: Any) -> dict[str, Any]:
    conf = {"cniVersion": "1.0.0", "name": "net", "type": "sriov", "deviceID": vf.address}
    return conf | {"ipam": static("10.4.0.5/24")} | keys


def numvfs(card: Pf) -> int:
    return int((card.path / "sriov_numvfs").read_text())


def identities(card: Pf) -> list[int]:
    """Of the VFs' interfaces; other numbers after they were made anew."""
    return [ip("link", "show", vf.netdev)[0]["ifindex"] for vf in card.vfs]


def drivers(card: Pf) -> list[str]:
    return [vf.driver for vf in card.vfs]


def told(card: Pf) -> list[str]:
    return [info["address"] for info in card.vf_infos()]


def interface_macs(card: Pf) -> list[str]:
    return [ip("link", "show", vf.netdev)[0]["address"] if vf.netdev else "" for vf in card.vfs]


# list


def test_list_is_what_the_kernel_says(plait: Tool, cards: list[Pf]) -> None:
    ip("link", "set", "pf0", "vf", "2", "vlan", "100", "qos", "3")
    ip("link", "set", "pf0", "vf", "4", "trust", "on", "spoofchk", "off")
    try:
        for card in cards:
            shown, link = plait.list(card.address), ip("link", "show", card.name)[0]
            vfs = shown.pop("vfs")
            assert shown == {
                "address": card.address, "interface": card.name, "driver": "igb",
                "numaNode": card.numa_node, "totalVFs": 7, "numVFs": 7, "mtu": link["mtu"],
                "up": True, "operState": link["operstate"].lower(),
            }  # fmt: skip
            for vf, info, entry in zip(card.vfs, card.vf_infos(), vfs, strict=True):
                (vlan,) = info.get("vlan_list", [{"vlan": 0, "qos": 0}])
                assert entry == {
                    "index": vf.index, "address": vf.address, "driver": "igbvf",
                    "interface": vf.name, "numaNode": card.numa_node,
                    "iommuGroup": int(vf.iommu_group), "mtu": 1500, "mac": info["address"],
                    "vlan": {
                        "id": vlan.get("vlan", 0), "qos": vlan.get("qos", 0), "proto": "802.1q",
                    },
                    "spoofchk": info["spoofchk"], "trust": info["trust"],
                    "linkState": info["link_state"], "minTxRate": info["rate"]["min_tx"],
                    "maxTxRate": info["rate"]["max_tx"], "owner": None,
                }  # fmt: skip
        text = plait("list").ok()
        assert text[0] == f"pf0  {cards[0].address}  igb  7 of 7 VFs  NUMA node 0  MTU 1500  up"
        assert len(text) == 2 * (2 + 7) + 1
        assert f"{cards[0].vfs[2].address}  igbvf   pf0v2" in text[4] and "100 qos 3" in text[4]
    finally:
        ip("link", "set", "pf0", "vf", "2", "vlan", "0")
        ip("link", "set", "pf0", "vf", "4", "trust", "off", "spoofchk", "on")


def test_list_names_the_owner(plait: Tool, machine: Node, cards: list[Pf]) -> None:
    vf, pod = cards[1].vfs[3], machine.pod()
    machine.call("ADD", sriov(vf), pod, "net1").ok()
    shown = plait.vf(vf)
    assert shown["interface"] == "" and drives.has_interface(vf.address)
    assert shown["owner"] == {
        "network": "net", "containerID": pod.name, "ifName": "net1", "netns": pod.path,
        "phase": "done",
    }  # fmt: skip
    (line,) = (line for line in plait("list").ok() if vf.address in line)
    assert f"in {pod.path}" in line and f"net/{pod.name}/net1  " in line
    machine.call("DEL", sriov(vf), pod, "net1").ok()
    assert plait.vf(vf)["owner"] is None


# provision


def leftovers(machine: Node, card: Pf) -> list[Path]:
    """What an earlier boot leaves of VFs that come again at the same addresses."""
    state = machine.state / "sriov"
    (state / "pci").mkdir(parents=True, exist_ok=True)
    fields = {"deviceID": card.vfs[1].address, "name": "net", "OrigVfState": {}}
    extra = {"containerID": "c", "ifName": "net1", "netns": "/proc/self/ns/net", "bootID": "0"}
    (state / "c-net1").write_text(json.dumps({**fields, "x": extra}))
    (state / "pci" / card.vfs[1].address).write_text("/proc/self/ns/net")
    (state / "pci" / card.vfs[2].address).write_text("/var/run/netns/gone")
    return [state / "c-net1", *(state / "pci" / vf.address for vf in card.vfs[1:3])]


def test_from_none_to_four_and_again(plait: Tool, machine: Node, card: Pf) -> None:
    assert plait("provision", "pf0", "--num", "0").ok() == ["done: remove all VFs of pf0"]
    assert plait.list("pf0")["vfs"] == []
    ip("link", "set", "pf0", "down")
    left = leftovers(machine, card)
    rehearsed = plait("provision", "pf0", "--num", "4", "--mtu", "2000", "--dry-run").ok()
    assert numvfs(card) == 0
    done = plait("provision", "pf0", "--num", "4", "--mtu", "2000").ok()
    assert done[:3] == [
        "done: bring up pf0", "done: create 4 VFs of pf0", "done: raise the MTU of pf0 to 2000",
    ]  # fmt: skip
    assert len(done) == len(rehearsed) == 3 + 4 * 2
    assert not any(each.exists() for each in left)
    card.vfs = card.vfs[:4]
    assert numvfs(card) == 4 and drivers(card) == ["igbvf"] * 4
    assert told(card) == interface_macs(card)
    assert {ip("link", "show", vf.netdev)[0]["mtu"] for vf in card.vfs} == {2000}
    before = identities(card)
    assert plait("provision", card.address, "--num", "4", "--mtu", "2000").ok() == [
        f"nothing to do: {card.address} is so already"
    ]
    assert plait("provision", "pf0", "--num", "4", "--mtu", "1600", "--vfs", "1,3").ok() == [
        f"done: VF {n} ({card.vfs[n].address}): set MTU 1600" for n in (1, 3)
    ]
    assert identities(card) == before
    assert plait.list("pf0")["mtu"] == 2000  # never lowered


def test_a_vf_in_a_pod_is_in_the_way(plait: Tool, machine: Node, card: Pf) -> None:
    plait("provision", "pf0", "--num", "4").ok()
    vf, pod = card.vfs[1], machine.pod()
    machine.call("ADD", sriov(vf), pod, "net1").ok()
    for extra in ([], ["--dry-run"]):
        error = plait("provision", "pf0", "--num", "7", *extra).error()
        assert f"VF 1 ({vf.address}) belongs to net/{pod.name}/net1, in {pod.path}" in error
        assert "nothing was changed" in error
    assert plait("provision", "pf0", "--num", "4").ok() == ["nothing to do: pf0 is so already"]
    # another VF can be changed meanwhile
    plait("provision", "pf0", "--num", "4", "--vfs", "2", "--mtu", "1400").ok()
    plait("provision", "pf0", "--num", "4", "--vfs", "2", "--mtu", "1500").ok()
    # a card that is reset disturbs every VF
    assert "VF 1" in plait("provision", "pf0", "--num", "4", "--vfs", "2", "--mtu", "2000").error()
    vfio = ("provision", "pf0", "--num", "4", "--vfs", "1", "--driver", "vfio-pci")
    assert "VF 1" in plait(*vfio).error()
    assert numvfs(card) == 4 and "net1" in pod.links()
    plait(*vfio, "--force").ok()
    assert "net1" not in pod.links()
    assert drivers(card)[:4] == ["igbvf", "vfio-pci", "igbvf", "igbvf"]
    plait("provision", "pf0", "--num", "7", "--force").ok()
    assert numvfs(card) == 7 and drivers(card) == ["igbvf"] * 7
    assert {each["owner"] is None for each in plait.list("pf0")["vfs"]} == {True}
    machine.call("DEL", sriov(vf), pod, "net1").ok()


def test_what_the_host_uses_is_in_the_way(plait: Tool, cards: list[Pf]) -> None:
    ip("address", "add", "10.9.0.1/24", "dev", "pf0v5")
    ip("link", "add", "link", "pf0", "name", "uplink", "type", "vlan", "id", "9")
    ip("link", "set", "uplink", "up")
    ip("route", "add", "default", "dev", "uplink")
    ip("link", "add", "link", "pf0v6", "name", "stor", "type", "vlan", "id", "9")
    ip("link", "add", "link", "stor", "name", "upon", "type", "macvlan")
    try:
        error = plait("provision", "pf0", "--num", "2").error()
        assert "pf0 carries a default route of this node" in error
        assert 'pf0 has "uplink" on top' in error and '"pf0v6" has "stor", "upon" on top' in error
        assert '"pf0v5" has the address 10.9.0.1/24' in error
        # what only changes a VF does not disturb the others, nor the PF
        plait("provision", "pf0", "--num", "7", "--vfs", "4", "--mtu", "1400").ok()
    finally:
        ip("link", "delete", "uplink")
        ip("link", "delete", "stor")
        ip("address", "flush", "dev", "pf0v5")
        ip("link", "set", "pf0v4", "mtu", "1500")


def without_probing(plait: Tool, card: Pf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs need no driver of the kernel's, and a VF keeps what it has when there is none."""
    command, vf = ("provision", "pf0", "--num", "7", "--vfs", "5"), card.vfs[5]
    autoprobe = card.path / "sriov_drivers_autoprobe"
    autoprobe.write_text("0")
    try:
        (vf.path / "driver/unbind").write_text(vf.address)
        for mac in ([], ["mac", "00:00:00:00:00:00"]):
            if mac:
                ip("link", "set", "pf0", "vf", "5", *mac)
            done = plait(*command, "--driver", "vfio-pci").ok()
            assert [line.partition("): ")[2] for line in done] == [
                "let the PF keep a MAC address for it", *([] if mac else ["bind vfio-pci"]),
            ]  # fmt: skip
            assert vf.driver == "vfio-pci" and told(card)[5][1] in "26ae"
            assert told(card)[5] != "00:00:00:00:00:00"
        with monkeypatch.context() as patch:
            patch.setattr(numbers, "are_probed", lambda _: True)  # as with no module loaded
            error = plait(*command).error()
        assert "no driver takes it: its module is not loaded (blacklisted?)" in error
        assert "goes on" not in error and vf.driver == "vfio-pci"
        plait(*command).ok()
        assert autoprobe.read_text().strip() == "0" and vf.driver == "igbvf"
    finally:
        autoprobe.write_text("1")


def test_to_programs_and_back(plait: Tool, card: Pf, monkeypatch: pytest.MonkeyPatch) -> None:
    ip("link", "set", "pf0", "vf", "2", "mac", "00:00:00:00:00:00")
    macs = interface_macs(card)
    vfio = ("provision", "pf0", "--num", "7", "--driver", "vfio-pci", "--vfs", "2-3")
    done = plait(*vfio).ok()
    assert [line.partition("): ")[2] for line in done] == [
        "let the PF keep the MAC address of its interface", "bind vfio-pci",
    ] * 2  # fmt: skip
    assert drivers(card) == ["igbvf"] * 2 + ["vfio-pci"] * 2 + ["igbvf"] * 3
    assert [drives.has_interface(vf.address) for vf in card.vfs[1:3]] == [True, False]
    assert told(card)[2:4] == macs[2:4]
    shown = plait.vf(card.vfs[2])
    assert (shown["driver"], shown["interface"], shown["mac"]) == ("vfio-pci", "", macs[2])
    assert plait(*vfio).ok() == ["nothing to do: pf0 is so already"]
    with open(f"/dev/vfio/{card.vfs[3].iommu_group}", "rb"):
        for number in ("7", "2"):
            error = plait("provision", "pf0", "--num", number, "--force").error()
            assert f"VF 3 ({card.vfs[3].address}) is open in " in error
            assert f"({os.getpid()})" in error and "nothing was changed" in error
            assert "VF 2" not in error and "--force" not in error
    plait("provision", "pf0", "--num", "7", "--vfs", "2-3").ok()
    assert drivers(card) == ["igbvf"] * 7
    assert told(card)[2:4] == macs[2:4] == interface_macs(card)[2:4]
    without_probing(plait, card, monkeypatch)


def test_a_step_that_fails_says_how_things_are(plait: Tool, cards: list[Pf]) -> None:
    """igb takes no such MTU."""
    error = plait("provision", "pf0", "--num", "7", "--mtu", "60000").error()
    assert error.startswith("plait: cannot raise the MTU of pf0 to 60000: ")
    assert 'set MTU 60000 of "pf0"; EINVAL' in error
    assert "pf0 has 7 VFs now, 0 of" in error and "goes on" not in error
    assert plait("provision", "pf0", "--num", "7").ok() == ["nothing to do: pf0 is so already"]


@pytest.mark.parametrize(
    ("pf", "number", "said"),
    [
        ("pf0", "8", "pf0 can have 7 VFs at most, not 8"),
        ("nowhere", "1", 'no PF is called "nowhere"; there are: pf0 (0000:21:00.0), pf1 (0000:41'),
        ("pf0v3", "1", '"pf0v3" is VF 3 of pf0, and no PF'),
        ("0000:21:10.0", "1", '"0000:21:10.0" is VF 0 of pf0, and no PF'),
        ("wire0", "1", '"wire0" (virtio'),
        ("0000:00:00.0", "1", '"0000:00:00.0" (0000:00:00.0) has no SR-IOV'),
    ],
)
def test_what_cannot_be(plait: Tool, cards: list[Pf], pf: str, number: str, said: str) -> None:
    assert said in plait("provision", pf, "--num", number).error()
    assert numvfs(cards[0]) == 7


# release


def orphaned(machine: Node, vf: Vf) -> Pod:
    """The VF as a pod leaves it that dies without a DEL."""
    pod = machine.pod()
    machine.call("ADD", sriov(vf, vlan=100, mac="02:00:00:00:00:66"), pod, "net1").ok()
    return pod


def test_release_of_an_orphan(plait: Tool, machine: Node, cards: list[Pf]) -> None:
    vf = cards[1].vfs[2]
    pod = orphaned(machine, vf)
    refused = plait("release", vf.address).error()
    assert f"belongs to net/{pod.name}/net1" in refused and f"{pod.path} lives" in refused
    pod.destroy()
    owner = plait.vf(vf)["owner"]
    assert (owner["phase"], plait.vf(vf)["vlan"]["id"]) == ("stale", 100)
    (done,) = plait("release", vf.address).ok()
    assert done.startswith(f"done: {vf.address} was restored and is free")
    shown = plait.vf(vf)
    assert (shown["owner"], shown["vlan"]["id"], shown["interface"]) == (None, 0, vf.name)
    assert plait("release", vf.name).ok() == [f"nothing to do: nobody has {vf.address}"]
    assert not list(machine.state.glob(f"sriov/{pod.name}*"))


def test_release_by_force(plait: Tool, machine: Node, cards: list[Pf]) -> None:
    vf = cards[1].vfs[2]
    pod = orphaned(machine, vf)
    plait("release", vf.address, "--force").ok()
    assert (vf.netdev, plait.vf(vf)["owner"]) == (vf.name, None)
    assert "net1" not in pod.links()


def test_release_of_a_forgotten_allocation(plait: Tool, machine: Node, cards: list[Pf]) -> None:
    vf = cards[1].vfs[2]
    file = machine.state / "sriov/pci" / vf.address
    file.parent.mkdir(parents=True)
    file.write_text("/var/run/netns/gone")
    assert plait.vf(vf)["owner"]["phase"] == "stale"
    assert plait("release", vf.address).ok() == [
        f"done: {vf.address} is free, it belonged to /var/run/netns/gone (stale)"
    ]
    assert not file.exists()
    assert '"pf1" is no VF' in plait("release", "pf1").error()


def test_the_executable(machine: Node, cards: list[Pf]) -> None:
    here = Path(__file__).parents[3] / "build/bin"
    command = Path(os.environ.get("PLAIT_BIN") or here) / "plait"
    environ = {"PATH": os.environ["PATH"], "PLAIT_STATE_DIR": str(machine.state)}
    done = subprocess.run(
        [command, "vf", "list"], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{cards[1].vfs[6].address}  igbvf   pf1v6 " in done.stdout
