"""What a VF was before an attachment, and what the attachment asked for.

As JSON in the original's format, so that either can delete what the other added. What it does not
know stands under the key `x`, which it ignores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.names import ifname_fault
from cni.host import sriov
from cni.host.vf import LINK_STATES, VLAN_PROTOCOLS, Rate, Settings, Vlan

if TYPE_CHECKING:
    from cni.core.types import Json

ADDING, DONE, ORPHAN = "adding", "done", "orphan"
_VLAN_MAX, _QOS_MAX = 4095, 7


class Record(NamedTuple):
    """A VF and its attachment; of the original's records only the file's name tells the latter."""

    network: str
    key: str  #: the name of the file
    device: str  #: PCI address
    container_id: str = ""
    ifname: str = ""
    phase: str = DONE  #: orphan: the attachment is deleted, the VF has not come back
    pf: str = ""  #: name of the PF's interface
    vf_index: int = 0  #: the number of the VF on its PF
    wanted: Settings = Settings()
    before: Settings = Settings()
    host_name: str = ""  #: empty for a VF that belongs to a program (DPDK)
    host_mac: str = ""
    host_mtu: int = 0  #: bytes
    host_flags: int = 0
    host_alias: str = ""
    host_altnames: tuple[str, ...] | None = None  #: None: not known
    instance: int = 0  #: see cni.host.sriov.instance; 0: not known
    netns: str = ""
    netns_id: int = 0  #: see Sandbox.id
    boot: str = ""  #: the kernel's boot_id: a VF does not survive it
    written: int = 0  #: ns since 1970, by the file system

    @property
    def owner(self) -> str:
        """For people."""
        return f"{self.network}/{self.container_id}/{self.ifname}" if self.ifname else self.key

    @property
    def restored(self) -> Settings:
        """What goes back on the PF: what the attachment asked for, and the MAC address, which some
        drivers change with the interface's.
        """
        return self.before.only(frozenset({*self.wanted.known(), "mac"}))


_SWITCH = {True: "on", False: "off", None: ""}


def encode(record: Record, cni_version: str, ipam_type: str) -> Json:
    wanted, before = record.wanted, record.before
    fields: Json = {
        "cniVersion": cni_version,
        "name": record.network,
        "type": "sriov",
        "deviceID": record.device,
        "Master": record.pf,
        "VFID": record.vf_index,
        "MAC": wanted.mac or "",
        "MTU": record.host_mtu,
        "vlan": wanted.vlan.id if wanted.vlan else None,
        "vlanQoS": wanted.vlan.qos if wanted.vlan else None,
        "vlanProto": wanted.vlan.proto if wanted.vlan else None,
        "min_tx_rate": wanted.rate.min if wanted.rate else None,
        "max_tx_rate": wanted.rate.max if wanted.rate else None,
        "spoofchk": _SWITCH[wanted.spoofchk],
        "trust": _SWITCH[wanted.trust],
        "link_state": wanted.link_state or "",
        "runtimeConfig": {},
        "OrigVfState": _encode_state(record, before),
        "x": {
            "phase": record.phase,
            "containerID": record.container_id,
            "ifName": record.ifname,
            "instance": record.instance,
            "netns": record.netns,
            "netnsID": record.netns_id,
            "bootID": record.boot,
            "flags": record.host_flags,
            "alias": record.host_alias,
            "altNames": list(record.host_altnames or ()),
            "known": sorted(before.known()),
        },
    }
    if ipam_type:
        fields["ipam"] = {"type": ipam_type}
    return {key: value for key, value in fields.items() if value != ""}


def _encode_state(record: Record, before: Settings) -> Json:
    vlan, rate = before.vlan or Vlan(0), before.rate or Rate(0, 0)
    return {
        "HostIFName": record.host_name,
        "EffectiveMAC": record.host_mac,
        "MTU": record.host_mtu,
        "AdminMAC": before.mac or "",
        "Vlan": vlan.id,
        "VlanQoS": vlan.qos,
        "VlanProto": VLAN_PROTOCOLS[vlan.proto],
        "MinTxRate": rate.min,
        "MaxTxRate": rate.max,
        "SpoofChk": bool(before.spoofchk),
        "Trust": bool(before.trust),
        "LinkState": LINK_STATES.index(before.link_state or "auto"),
    }


def decode(key: str, fields: Json) -> Record:
    """Raises ValueError, TypeError, KeyError, AttributeError or IndexError for what is none."""
    state, extra = fields["OrigVfState"], fields.get("x") or {}
    wanted, before = _decode_wanted(fields), _decode_before(state)
    if "known" in extra:
        before = before.only(frozenset(extra["known"]))
    return Record(
        network=_text(fields, "name"),
        key=key,
        device=_device(fields),
        container_id=_text(extra, "containerID"),
        ifname=_text(extra, "ifName"),
        phase=_text(extra, "phase") or DONE,
        pf=_text(fields, "Master"),
        vf_index=_number(fields, "VFID"),
        wanted=wanted,
        before=before,
        host_name=_ifname(state),
        host_mac=_mac(state, "EffectiveMAC"),
        host_mtu=_number(state, "MTU", 2**31 - 1),
        host_flags=_number(extra, "flags"),
        host_alias=_text(extra, "alias"),
        host_altnames=_altnames(extra),
        instance=_number(extra, "instance", 2**64 - 1),
        netns=_text(extra, "netns"),
        netns_id=_number(extra, "netnsID", 2**64 - 1),
        boot=_text(extra, "bootID"),
    )


def _decode_wanted(fields: Json) -> Settings:
    vlan, rate = None, None
    if fields.get("vlan") is not None:
        proto = _text(fields, "vlanProto").lower()
        vlan = Vlan(
            _number(fields, "vlan", _VLAN_MAX),
            _number(fields, "vlanQoS", _QOS_MAX),
            proto if proto in VLAN_PROTOCOLS else "802.1q",
        )
    if fields.get("min_tx_rate") is not None or fields.get("max_tx_rate") is not None:
        rate = Rate(_number(fields, "min_tx_rate"), _number(fields, "max_tx_rate"))
    switches = {
        name: _text(fields, name) == "on" for name in ("spoofchk", "trust") if fields.get(name)
    }
    return Settings(vlan=vlan, rate=rate, link_state=_text(fields, "link_state") or None,
                    mac=_mac(fields, "MAC") or None, **switches)  # fmt: skip


def _decode_before(state: Json) -> Settings:
    ad = _number(state, "VlanProto") == VLAN_PROTOCOLS["802.1ad"]
    proto = "802.1ad" if ad else "802.1q"
    return Settings(
        vlan=Vlan(_number(state, "Vlan", _VLAN_MAX), _number(state, "VlanQoS", _QOS_MAX), proto),
        mac=_mac(state, "AdminMAC") or None,
        rate=Rate(_number(state, "MinTxRate"), _number(state, "MaxTxRate")),
        spoofchk=bool(state.get("SpoofChk")),
        trust=bool(state.get("Trust")),
        link_state=LINK_STATES[_number(state, "LinkState")],
    )


def _text(fields: Json, key: str) -> str:
    """What can be a path or a name for the kernel."""
    value: Any = fields.get(key) or ""
    if not isinstance(value, str) or "\0" in value:
        raise TypeError(key)
    value.encode()
    return value


def _number(fields: Json, key: str, limit: int = 2**32 - 1) -> int:
    value: Any = fields.get(key) or 0
    if not isinstance(value, int) or not 0 <= value <= limit:
        raise TypeError(key)
    return value


def _altnames(extra: Json) -> tuple[str, ...] | None:
    if "altNames" not in extra:
        return None
    return tuple(_text({"name": each}, "name") for each in extra["altNames"])


def _device(fields: Json) -> str:
    device = _text(fields, "deviceID").lower()
    if not sriov.is_address(device):  # it becomes part of paths
        raise ValueError(device)
    return device


def _ifname(state: Json) -> str:
    name = _text(state, "HostIFName")
    if name and ifname_fault(name):
        raise ValueError(name)
    return name


def _mac(fields: Json, key: str) -> str:
    mac = _text(fields, key).lower()
    if mac and [len(bytes.fromhex(part)) for part in mac.split(":")] != [1] * 6:
        raise ValueError(mac)
    return mac
