"""The text of a pod's network-status annotation, byte for byte as the original writes it.

Pure. What the original does where nothing prescribes it:

* of an answer with one interface, which need not be in a sandbox, all addresses are told; of one
  with more, those of interfaces in the sandbox, and without any such interface there is no entry;
* with several interfaces the master's default is the one of the first address that has a gateway
  and an interface, and none is when that one is on the host;
* a route to 0.0.0.0 or :: counts as a default route in any table and with any prefix length, and
  one without a usable gateway is told as "<nil>".

An address that is none would have failed the original's ADD; here it is left out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import log
from cni.core.types import Interface

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cni.core.types import Json, Result

#: the members of device-info in their order; None for a string
_DEVICE: Json = {
    "type": None,
    "version": None,
    "pci": dict.fromkeys(
        ("pci-address", "vhost-net", "rdma-device", "pf-pci-address", "representor-device")
    ),
    "vdpa": dict.fromkeys(
        ("parent-device", "driver", "path", "pci-address", "pf-pci-address", "representor-device")
    ),
    "vhost-user": dict.fromkeys(("mode", "path")),
    "memif": dict.fromkeys(("role", "path", "mode")),
}

#: what Go escapes beyond JSON; none of it occurs outside a string
_GO_ESCAPES = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


class Told(NamedTuple):
    """What is told of one delegate: its name in the status, its answer, its device."""

    name: str  #: "<namespace>/<name>" of the definition, or the network's name
    result: Result
    device_info: Json | None = None


def text(told: Sequence[Told]) -> str:
    """The annotation's value, empty when there is nothing to tell; the first is the master."""
    entries = [
        _marshal(entry)
        for position, each in enumerate(told)
        for entry in _entries(each, is_master=position == 0)
    ]
    return f"[{','.join(entries)}]" if entries else ""


def _entries(told: Told, *, is_master: bool) -> list[Json]:
    result = told.result
    is_alone = len(result.interfaces) == 1
    shown = {i: each for i, each in enumerate(result.interfaces) if is_alone or each.sandbox}
    ips = _ips(result, shown, is_alone=is_alone)
    default = _default(result, shown, is_alone=is_alone) if is_master else None
    repeated: Json = {"dns": _given(result.dns._asdict())}
    if told.device_info is not None:
        repeated["device-info"] = _shaped(told.device_info, _DEVICE)
    if gateways := _gateways(result):
        repeated["gateway"] = gateways
    entries = []
    for index, each in shown.items():
        inside = each if each.sandbox else Interface("")
        own = {
            "interface": inside.name,
            "ips": ips[index],
            "mac": inside.mac,
            "mtu": inside.mtu,
            "default": index == default,
        }
        entries.append({"name": told.name, **_given(own), **repeated})
    return entries


def _ips(result: Result, shown: Iterable[int], *, is_alone: bool) -> dict[int, list[str]]:
    """The addresses by the index of their interface; the last has those that name none."""
    ips: dict[int, list[str]] = {index: [] for index in shown}
    last = max(ips, default=None)
    for ip in result.ips:
        index = last if is_alone or ip.interface is None else ip.interface
        if index not in ips:
            continue
        if address := _address(ip.address):
            ips[index].append(address)
        else:
            log.warning("not an address, left out of the status", address=ip.address[:100])
    return ips


def _default(result: Result, shown: Iterable[int], *, is_alone: bool) -> int:
    """The index of the master's default interface."""
    with_gateway = (x.interface for x in result.ips if x.gateway and x.interface is not None)
    index = -1 if is_alone else next(with_gateway, -1)
    return min(shown, default=-1) if index == -1 else index


def _gateways(result: Result) -> list[str]:
    return [
        _address(each.gw) or "<nil>"
        for each in result.routes
        if not each.dst or _address(each.dst) in ("0.0.0.0", "::")  # noqa: S104
    ]


def _given(members: Json) -> Json:
    return {key: value for key, value in members.items() if value}


def _shaped(given: Json, shape: Json, where: str = "device-info") -> Json:
    """The members that Go's struct has, their names in any case, the last one winning."""
    folded = {key.lower(): value for key, value in given.items()}
    out: Json = {}
    for key, members in shape.items():
        value: Any = folded.get(key)
        if members and isinstance(value, dict):
            out[key] = _shaped(value, members, f"{where}.{key}")
        elif not members and isinstance(value, str):
            if value:
                out[key] = value
        elif value is not None:
            log.warning("of the wrong type, left out of the status", key=f"{where}.{key}")
    return out


def _address(cidr: str) -> str:
    """The address as Go spells it, without its prefix length; empty when it is none."""
    import ipaddress  # 3 ms, for those only who have a status to write

    try:
        address = ipaddress.ip_address(cidr.partition("/")[0])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _marshal(entry: Json) -> str:
    told = json.dumps(entry, ensure_ascii=False, indent=4).translate(_GO_ESCAPES)
    # half a surrogate pair, which Python takes from JSON, is U+FFFD in Go
    return told.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
