"""The administrative settings of virtual functions, which their physical function (PF) holds.

Kernel: include/uapi/linux/if_link.h, "SR-IOV"; rates in Mbit/s, 0 being unlimited.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from cni.core import signals
from cni.host.codecs import LINK, VF, Message
from cni.host.rtnl import RTM_GETLINK, RTM_NEWLINK, Rtnl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni.host.link import Link

P = ParamSpec("P")
T = TypeVar("T")

VLAN_PROTOCOLS = {"802.1q": 0x8100, "802.1ad": 0x88A8}
LINK_STATES = ("auto", "enable", "disable")  #: in the order of the kernel's numbers

_IFLA_EXT_MASK = 1 | 8  #: with VFs, without statistics, which can exceed what one answer holds
_UNKNOWN = 0xFFFFFFFF  #: what the kernel shows where the driver does not say
_PATIENCE, _PAUSE = 5.0, 0.1  #: seconds: how long a device may be busy, and between two tries


class Vlan(NamedTuple):
    """0 is no VLAN; qos is the priority (PCP)."""

    id: int
    qos: int = 0
    proto: str = "802.1q"


class Rate(NamedTuple):
    min: int
    max: int


class Settings(NamedTuple):
    """In the order in which they are set. None: as a wish, leave alone; as a fact, unknown."""

    vlan: Vlan | None = None
    mac: str | None = None
    rate: Rate | None = None
    spoofchk: bool | None = None
    trust: bool | None = None
    link_state: str | None = None

    def known(self) -> dict[str, Any]:
        return {key: value for key, value in self._asdict().items() if value is not None}

    def only(self, names: frozenset[str]) -> Settings:
        return Settings(**{key: value for key, value in self.known().items() if key in names})


def read(nl: Rtnl, pf: Link, index: int) -> Settings:
    """What the PF holds for that VF.

    Raises OSError EAGAIN when it does not tell: there is no such VF, or it is being reset.
    """
    for number, entry in _entries(nl, pf, expected=index):
        if number == index:
            return _parse(entry)
    error = OSError(errno.EAGAIN, f'"{pf.name}" tells nothing about VF {index}')
    error.add_note(f'read VF {index} of "{pf.name}"')
    raise error


def read_all(nl: Rtnl, pf: Link) -> dict[int, Settings]:
    """What the PF holds for each of its VFs, by index."""
    return {number: _parse(entry) for number, entry in _entries(nl, pf)}


def put(nl: Rtnl, pf: Link, index: int, name: str, value: Any) -> None:
    """Set one setting, named as in `Settings`. A request for each: a refusal names its culprit.

    Raises OSError with the kernel's errno: EOPNOTSUPP where the driver cannot, EBUSY or EAGAIN
    while a VF resets (see `patiently`).
    """
    message = Message(LINK)
    message["index"] = pf.ifindex
    entry = ("IFLA_VF_INFO", [_ATTRIBUTES[name](index, value)])
    message["attrs"] = [("IFLA_VFINFO_LIST", [entry])]
    nl.request(message, RTM_NEWLINK, what=f'set {name} of VF {index} of "{pf.name}"')


def patiently(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a step, again and again for some seconds while the device is busy resetting.

    sriov-cni#213: i40e and ice answer EBUSY or EAGAIN meanwhile.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return step(*args, **kwargs)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EAGAIN) or time.monotonic() > deadline:
                raise
        signals.sleep(_PAUSE)


def _vlan(index: int, value: Vlan) -> tuple[str, Any]:
    # the older form implies 802.1Q, and every driver knows it
    if value.proto == "802.1q":
        return "IFLA_VF_VLAN", {"vf": index, "vlan": value.id, "qos": value.qos}
    proto = VLAN_PROTOCOLS[value.proto]
    info = {"vf": index, "vlan": value.id, "qos": value.qos, "proto": proto}
    return "IFLA_VF_VLAN_LIST", [("IFLA_VF_VLAN_INFO", info)]


_ATTRIBUTES: dict[str, Callable[[int, Any], tuple[str, Any]]] = {
    "vlan": _vlan,
    "mac": lambda vf, mac: ("IFLA_VF_MAC", {"vf": vf, "mac": mac}),
    "rate": lambda vf, rate: (
        "IFLA_VF_RATE",
        {"vf": vf, "min_tx_rate": rate.min, "max_tx_rate": rate.max},
    ),
    "spoofchk": lambda vf, on: ("IFLA_VF_SPOOFCHK", {"vf": vf, "spoofchk": int(on)}),
    "trust": lambda vf, on: ("IFLA_VF_TRUST", {"vf": vf, "trust": int(on)}),
    "link_state": lambda vf, state: (
        "IFLA_VF_LINK_STATE",
        {"vf": vf, "link_state": LINK_STATES.index(state)},
    ),
}


def _entries(
    nl: Rtnl, pf: Link, expected: int | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The entries of the PF's list with their indices, the one at the expected place first.

    They are decoded when looked at, and a card may have 256.
    """
    message = Message(LINK)
    message["index"] = pf.ifindex
    message["attrs"] = [("IFLA_EXT_MASK", _IFLA_EXT_MASK)]
    answer = nl.request(message, RTM_GETLINK, what=f'read the VFs of "{pf.name}"')[0]
    listed = [entry for _, entry in answer["attrs"].get("IFLA_VFINFO_LIST", ())]
    if expected is not None and expected < len(listed):
        listed.insert(0, listed.pop(expected))
    for each in listed:
        entry = VF.decode(each)
        yield entry["IFLA_VF_MAC"]["vf"], entry


def _parse(held: dict[str, Any]) -> Settings:
    flags = {
        name: None if held[key][name] == _UNKNOWN else bool(held[key][name])
        for key, name in (("IFLA_VF_SPOOFCHK", "spoofchk"), ("IFLA_VF_TRUST", "trust"))
        if key in held
    }
    rate, state = held.get("IFLA_VF_RATE"), held.get("IFLA_VF_LINK_STATE")
    return Settings(
        vlan=_parse_vlan(held),
        mac=held["IFLA_VF_MAC"]["mac"],
        rate=Rate(rate["min_tx_rate"], rate["max_tx_rate"]) if rate else None,
        link_state=LINK_STATES[state["link_state"]] if state else None,
        **flags,
    )


def _parse_vlan(held: dict[str, Any]) -> Vlan | None:
    if "IFLA_VF_VLAN" not in held:
        return None
    plain = held["IFLA_VF_VLAN"]
    listed = held.get("IFLA_VF_VLAN_LIST")
    info = listed[0][1] if listed else {}
    proto = "802.1ad" if info.get("proto") == VLAN_PROTOCOLS["802.1ad"] else "802.1q"
    return Vlan(plain["vlan"], plain["qos"], proto)
