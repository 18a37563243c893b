"""What a result looks like in each version of the specification, and the golden results.

The full results of one bridge ADD are those that the Go plugins print; what differs from run to
run is replaced by a word before the comparison.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.conformance.kernel import Json

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_HOST_END = re.compile(r"veth[0-9a-f]{8,11}")

Check = "Callable[[object], bool]"


def at_least(version: str, other: str) -> bool:
    return VERSIONS.index(version) >= VERSIONS.index(other)


def _is(*kinds: type) -> Callable[[object], bool]:
    return lambda value: type(value) in kinds


def _cidr(value: object) -> bool:
    return isinstance(value, str) and "/" in value and bool(ipaddress.ip_interface(value))


def _network(value: object) -> bool:
    return isinstance(value, str) and "/" in value and bool(ipaddress.ip_network(value, False))


def _address(value: object) -> bool:
    return isinstance(value, str) and bool(ipaddress.ip_address(value))


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_DNS = {"nameservers": _strings, "domain": _is(str), "search": _strings, "options": _strings}
_ROUTE = {
    "dst": _network,
    "gw": _address,
    **dict.fromkeys(("mtu", "advmss", "priority", "table", "scope"), _is(int)),
}
_INTERFACE = {"name": _is(str), "mac": lambda v: bool(_MAC.fullmatch(v)), "sandbox": _is(str)}
_INTERFACE_1 = {**_INTERFACE, "mtu": _is(int), "socketPath": _is(str), "pciID": _is(str)}
_IP = {"address": _cidr, "gateway": _address, "interface": _is(int)}


def check(result: Json, version: str) -> None:
    """Only keys that the version knows, each of its type; indexes point at something."""
    assert result.get("cniVersion") == version, result
    if not at_least(version, "0.3.0"):
        _object(result, {"cniVersion": _is(str), "ip4": _is(dict), "ip6": _is(dict), "dns": _any})
        assert "ip4" in result or "ip6" in result, result
        for family in ("ip4", "ip6"):
            if family in result:
                keys = {"ip": _cidr, "gateway": _address, "routes": _is(list)}
                _object(result[family], keys, "ip")
                for route in result[family].get("routes", []):
                    _object(route, {"dst": _network, "gw": _address}, "dst")
    else:
        keys = dict.fromkeys(("interfaces", "ips", "routes"), _is(list))
        _object(result, {"cniVersion": _is(str), "dns": _any, **keys})
        modern = at_least(version, "1.0.0")
        for each in result.get("interfaces", []):
            _object(each, _INTERFACE_1 if modern else _INTERFACE, "name")
        for each in result.get("ips", []):
            _object(each, _IP if modern else {**_IP, "version": _is(str)}, "address")
            assert each.get("interface", 0) < max(1, len(result.get("interfaces", []))), result
            if not modern:
                assert each["version"] == ("6" if ":" in each["address"] else "4"), result
        for each in result.get("routes", []):
            _object(each, _ROUTE, "dst")
    # always there before 1.0.0, as Go prints it; absent when empty from then on
    assert ("dns" in result) or at_least(version, "1.0.0"), result
    _object(result.get("dns", {}), _DNS)


def _any(_: object) -> bool:
    return True


def _object(value: Any, keys: Mapping[str, Callable[[Any], bool]], *required: str) -> None:
    assert isinstance(value, dict), value
    assert value.keys() <= keys.keys(), f"{value.keys() - keys.keys()} in {value}"
    assert set(required) <= value.keys(), value
    for key, item in value.items():
        assert keys[key](item), f"{key}: {item!r} in {value}"


def anonymous(result: Any, sandbox: str) -> Any:
    """The result with MAC, HOST-END and SANDBOX in the place of what is new in each run."""
    if isinstance(result, dict):
        return {key: anonymous(value, sandbox) for key, value in result.items()}
    if isinstance(result, list):
        return [anonymous(each, sandbox) for each in result]
    if isinstance(result, str):
        if result == sandbox:
            return "SANDBOX"
        if _MAC.fullmatch(result) and result != "00:00:00:00:00:00":
            return "MAC"
        if _HOST_END.fullmatch(result):
            return "HOST-END"
    return result


def full(
    version: str,
    interfaces: list[Json],
    ips: list[Json],
    routes: list[Json] | None = None,
    dns: Json | None = None,
) -> Json:
    """A golden result of `version`, from its parts in the shape of 1.1.0."""
    if not at_least(version, "0.3.0"):
        return _full_02(version, ips, routes or [], dns)
    modern = at_least(version, "1.0.0")
    out: Json = {"cniVersion": version}
    if not modern:
        interfaces = [{k: each[k] for k in _INTERFACE if k in each} for each in interfaces]
        ips = [{**each, "version": "6" if ":" in each["address"] else "4"} for each in ips]
    for key, value in (("interfaces", interfaces), ("ips", ips), ("routes", routes)):
        if value:
            out[key] = value
    if dns or not modern:
        out["dns"] = dns or {}
    return out


def _full_02(version: str, ips: list[Json], routes: list[Json], dns: Json | None) -> Json:
    out: Json = {"cniVersion": version, "dns": dns or {}}
    for each in reversed(ips):  # the first of a family stays
        is_v6 = ":" in each["address"]
        block = {"ip": each["address"]}
        if "gateway" in each:
            block["gateway"] = each["gateway"]
        own = [
            {k: r[k] for k in ("dst", "gw") if k in r} for r in routes if (":" in r["dst"]) == is_v6
        ]
        out["ip6" if is_v6 else "ip4"] = {**block, "routes": own} if own else block
    return out
