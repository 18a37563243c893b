"""What the original sriov plugin does to a VF and leaves on the disk, by hand; and reads again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.vm.suite.around import allocation_of, of_vf, record_of, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.netns.node import Node, Pod
    from tests.vm.card import Vf

_ON = {True: "on", False: "off"}


def add(machine: Node, vf: Vf, pod: Pod, *, name: str = "net", **keys: Any) -> dict[str, Any]:
    """Its ADD; the record as it wrote it, in its order. The keys are the configuration's."""
    told = of_vf(vf)
    link = machine.link(vf.name) if vf.netdev else {}
    record = {
        "MAC": keys.get("mac", ""),
        "MTU": 1500,
        "Master": vf.pf.name,
        "OrigVfState": {
            "AdminMAC": told["mac"],
            "EffectiveMAC": link.get("address", ""),
            "HostIFName": vf.netdev,
            "LinkState": 0,
            "MTU": link.get("mtu", 0),
            "MaxTxRate": told["max"],
            "MinTxRate": 0,
            "SpoofChk": told["spoofchk"],
            "Trust": told["trust"],
            "Vlan": told["vlan"],
            "VlanProto": 33024,
            "VlanQoS": told["qos"],
        },
        "VFID": vf.index,
        "cniVersion": "1.1.0",
        "deviceID": vf.address,
        "ipam": {},
        "max_tx_rate": keys.get("max_tx_rate"),
        "min_tx_rate": 0 if "max_tx_rate" in keys else None,
        "name": name,
        "runtimeConfig": {},
        "type": "sriov",
        "vlan": keys.get("vlan"),
        "vlanProto": "802.1q" if "vlan" in keys else None,
        "vlanQoS": keys.get("vlanQoS", 0) if "vlan" in keys else None,
    }
    record |= {key: keys[key] for key in ("spoofchk", "trust") if key in keys}
    words = [word for key in ("vlan", "mac", "max_tx_rate", "spoofchk", "trust") if key in keys
             for word in (key, str(keys[key]))]  # fmt: skip
    if words:
        tell(vf, *words)
    if link:
        machine.ip("link", "set", vf.name, "netns", pod.path, "name", "net1")
        pod.ip("link", "set", "net1", "up")
    write(machine, vf, pod, record)
    return record


def write(machine: Node, vf: Vf, pod: Pod, record: dict[str, Any]) -> None:
    for path, content in (
        (record_of(machine, pod), json.dumps(record, separators=(",", ":"))),
        (allocation_of(machine, vf), pod.path),
    ):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600)


# reading, as Go's encoding/json does into the plugin's structures


def _exactly(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is kind  # True is no int in Go


def _or_null(kind: type) -> Callable[[Any], bool]:
    return lambda value: value is None or type(value) is kind


def _unsigned(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**32


STATE: dict[str, Callable[[Any], bool]] = {
    "HostIFName": _exactly(str),
    "SpoofChk": _exactly(bool),
    "Trust": _exactly(bool),
    "AdminMAC": _exactly(str),
    "EffectiveMAC": _exactly(str),
    "Vlan": _exactly(int),
    "VlanQoS": _exactly(int),
    "VlanProto": _exactly(int),
    "MinTxRate": _exactly(int),
    "MaxTxRate": _exactly(int),
    "LinkState": _unsigned,
    "MTU": _exactly(int),
}

RECORD: dict[str, Callable[[Any], bool]] = {
    "cniVersion": _exactly(str),
    "name": _exactly(str),
    "type": _exactly(str),
    "ipam": _exactly(dict),
    "OrigVfState": _exactly(dict),
    "Master": _exactly(str),
    "MAC": _exactly(str),
    "MTU": _or_null(int),
    "vlan": _or_null(int),
    "vlanQoS": _or_null(int),
    "vlanProto": _or_null(str),
    "deviceID": _exactly(str),
    "VFID": _exactly(int),
    "min_tx_rate": _or_null(int),
    "max_tx_rate": _or_null(int),
    "spoofchk": _exactly(str),
    "trust": _exactly(str),
    "link_state": _exactly(str),
    "runtimeConfig": _exactly(dict),
}

#: without these its DEL could not do its work; what is absent else is Go's zero
NEEDED = {"name", "type", "OrigVfState", "Master", "VFID", "deviceID", "vlan", "min_tx_rate"}


def read(text: str) -> dict[str, Any]:
    """The record as the original understands it; fails for what it would misunderstand."""
    fields: dict[str, Any] = json.loads(text)
    fields.pop("x")  # ours, and of a name that is none of its own in any case
    assert NEEDED <= fields.keys() <= RECORD.keys()
    assert fields["OrigVfState"].keys() == STATE.keys()
    for known, values in ((RECORD, fields), (STATE, fields["OrigVfState"])):
        for key, value in values.items():
            assert known[key](value), (key, value)
    return fields
