"""Specification versions: which we speak, and results in and out of their older shapes.

One shape (1.1.0) is used inside; the older ones exist only here. Source: the specification's
result types, and the behaviour of libcni where it is silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cni.core.errors import CniError, Code
from cni.core.types import DNS, Interface, IPConfig, Json, Result, Route

if TYPE_CHECKING:
    from collections.abc import Callable

SUPPORTED = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
LATEST = SUPPORTED[-1]

#: the version in which a verb appeared
INTRODUCED = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}


def negotiate(version: object) -> str:
    """The configuration's version; absent and empty mean 0.1.0.

    Raises CniError 1 for a version we do not speak, 6 for one that is not a string.
    """
    if version is None or version == "":
        return "0.1.0"
    if not isinstance(version, str):
        raise CniError(Code.DECODE_FAILURE, f'"cniVersion" must be a string, got {version!r}')
    if version not in SUPPORTED:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            "incompatible CNI versions",
            f'config is "{version}", plugin supports {" ".join(SUPPORTED)}',
        )
    return version


def allows(version: str, command: str) -> bool:
    """Whether a configuration of `version` may be given `command`."""
    return SUPPORTED.index(version) >= SUPPORTED.index(INTRODUCED.get(command, "0.1.0"))


def render(result: Result, version: str) -> Json:
    """The result as the JSON object of `version`.

    Raises CniError 1 when it cannot be told in that version: 0.1.0 and 0.2.0 need an address.
    """
    if version in ("0.1.0", "0.2.0"):
        return _render_02(result, version)
    modern = version in ("1.0.0", "1.1.0")
    out: Json = {"cniVersion": version}
    if result.interfaces:
        out["interfaces"] = [_render_interface(each, version) for each in result.interfaces]
    if result.ips:
        out["ips"] = [_render_ip(each, modern) for each in result.ips]
    if result.routes:
        out["routes"] = [_render_route(each) for each in result.routes]
    dns = _render_dns(result.dns)
    if dns or not modern:
        out["dns"] = dns
    return out


def _render_interface(interface: Interface, version: str) -> Json:
    """The original's mtu is in 1.0.0 too, before the specification had it."""
    out: Json = {"name": interface.name}
    if interface.mac:
        out["mac"] = interface.mac
    if version in ("1.0.0", "1.1.0") and interface.mtu:
        out["mtu"] = interface.mtu
    if interface.sandbox:
        out["sandbox"] = interface.sandbox
    if version == "1.1.0" and interface.socket_path:
        out["socketPath"] = interface.socket_path
    if version == "1.1.0" and interface.pci_id:
        out["pciID"] = interface.pci_id
    return out


def _render_ip(ip: IPConfig, modern: bool) -> Json:
    out: Json = {} if modern else {"version": "6" if ":" in ip.address else "4"}
    if ip.interface is not None:
        out["interface"] = ip.interface
    out["address"] = ip.address
    if ip.gateway:
        out["gateway"] = ip.gateway
    return out


def _render_route(route: Route) -> Json:
    out: Json = {"dst": route.dst}
    for key in ("gw", "mtu", "advmss", "priority"):
        if value := getattr(route, key):
            out[key] = value
    for key in ("table", "scope"):  # 0 is a value here
        if (value := getattr(route, key)) is not None:
            out[key] = value
    return out


def _render_dns(dns: DNS) -> Json:
    out: Json = {}
    for key in ("nameservers", "domain", "search", "options"):
        if value := getattr(dns, key):
            out[key] = value if isinstance(value, str) else list(value)
    return out


def _render_02(result: Result, version: str) -> Json:
    out: Json = {"cniVersion": version}
    for key, is_v6 in (("ip4", False), ("ip6", True)):
        ip = next((each for each in result.ips if (":" in each.address) == is_v6), None)
        if ip is None:
            continue
        block: Json = {"ip": ip.address}
        if ip.gateway:
            block["gateway"] = ip.gateway
        routes = [
            {"dst": route.dst, "gw": route.gw} if route.gw else {"dst": route.dst}
            for route in result.routes
            if (":" in route.dst) == is_v6
        ]
        if routes:
            block["routes"] = routes
        out[key] = block
    if "ip4" not in out and "ip6" not in out:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"cannot tell a result without addresses in CNI {version}",
            "cannot convert: no valid IP addresses",
        )
    out["dns"] = _render_dns(result.dns)
    return out


def parse(value: object, where: str = "result") -> Result:
    """A result of any supported version, from a delegate or as prevResult.

    Raises CniError 6 naming the key whose value has the wrong type, 1 for an unknown version.
    """
    obj = _typed(value, dict, where)
    version = obj.get("cniVersion")
    if version is not None and version != "" and version not in SUPPORTED:
        raise CniError(
            Code.INCOMPATIBLE_VERSION, f"unsupported CNI result version {version!r} in {where}"
        )
    if "ip4" in obj or "ip6" in obj:
        return _parse_02(obj, where)
    return Result(
        interfaces=_parse_list(obj, "interfaces", where, _parse_interface),
        ips=_parse_list(obj, "ips", where, _parse_ip),
        routes=_parse_list(obj, "routes", where, _parse_route),
        dns=parse_dns(obj.get("dns"), f"{where}.dns"),
    )


def _parse_02(obj: Json, where: str) -> Result:
    ips: list[IPConfig] = []
    routes: list[Route] = []
    for key in ("ip4", "ip6"):
        block = _typed(obj.get(key) or {}, dict, f"{where}.{key}")
        if not block:
            continue
        at = f"{where}.{key}"
        ips.append(IPConfig(_get(block, "ip", str, at, ""), _get(block, "gateway", str, at, "")))
        routes += _parse_list(block, "routes", at, _parse_route)
    dns = parse_dns(obj.get("dns"), f"{where}.dns")
    return Result(ips=tuple(ips), routes=tuple(routes), dns=dns)


def _parse_interface(obj: Json, where: str) -> Interface:
    return Interface(
        name=_get(obj, "name", str, where, ""),
        mac=_get(obj, "mac", str, where, ""),
        mtu=_get(obj, "mtu", int, where, 0),
        sandbox=_get(obj, "sandbox", str, where, ""),
        socket_path=_get(obj, "socketPath", str, where, ""),
        pci_id=_get(obj, "pciID", str, where, ""),
    )


def _parse_ip(obj: Json, where: str) -> IPConfig:
    return IPConfig(
        address=_get(obj, "address", str, where, ""),
        gateway=_get(obj, "gateway", str, where, ""),
        interface=_get(obj, "interface", int, where, None),
    )


def _parse_route(obj: Json, where: str) -> Route:
    return Route(
        dst=_get(obj, "dst", str, where, ""),
        gw=_get(obj, "gw", str, where, ""),
        mtu=_get(obj, "mtu", int, where, 0),
        advmss=_get(obj, "advmss", int, where, 0),
        priority=_get(obj, "priority", int, where, 0),
        table=_get(obj, "table", int, where, None),
        scope=_get(obj, "scope", int, where, None),
    )


def parse_dns(value: object, where: str = "dns") -> DNS:
    """The dns object of a result or of a configuration; null and absent are empty."""
    obj = _typed(value if value is not None else {}, dict, where)
    return DNS(
        nameservers=_strings(obj, "nameservers", where),
        domain=_get(obj, "domain", str, where, ""),
        search=_strings(obj, "search", where),
        options=_strings(obj, "options", where),
    )


def _strings(obj: Json, key: str, where: str) -> tuple[str, ...]:
    items = _get(obj, key, list, where, [])
    return tuple(_typed(item, str, f"{where}.{key}[{i}]") for i, item in enumerate(items))


def _parse_list(
    obj: Json, key: str, where: str, parse_item: Callable[[Json, str], Any]
) -> tuple[Any, ...]:
    items = enumerate(_get(obj, key, list, where, []))
    at = f"{where}.{key}"
    return tuple(parse_item(_typed(x, dict, f"{at}[{i}]"), f"{at}[{i}]") for i, x in items)


def _get(obj: Json, key: str, kind: type, where: str, default: Any) -> Any:
    value = obj.get(key)
    return default if value is None else _typed(value, kind, f"{where}.{key}")


def _typed(value: object, kind: type, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise CniError(
            Code.DECODE_FAILURE, f"{where} must be a {kind.__name__}, got {str(value)[:100]!r}"
        )
    return value
