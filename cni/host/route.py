"""Routes. `dst` is in CIDR notation, "0.0.0.0/0" and "::/0" are the defaults."""

from __future__ import annotations

import _socket as socket
import errno
import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from cni.host.codecs import ROUTE, Message
from cni.host.rtnl import NLM_F_CREATE, NLM_F_REPLACE, RTM_DELROUTE, RTM_GETROUTE, RTM_NEWROUTE

if TYPE_CHECKING:
    from cni.host.rtnl import Rtnl

MAIN_TABLE = 254
_PROTO_BOOT, _PROTO_RA = 3, 9
_TYPE_UNICAST = 1
SCOPE_UNIVERSE, SCOPE_LINK = 0, 253
_RTM_F_CLONED = 0x200


class Route(NamedTuple):
    """A route out of link `oif`; mtu and advmss in bytes, 0 unset; `priority` is the metric."""

    dst: str
    oif: int
    gw: str = ""
    src: str = ""
    priority: int = 0
    table: int = MAIN_TABLE
    scope: int | None = None
    mtu: int = 0
    advmss: int = 0

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.dst

    @property
    def is_default(self) -> bool:
        return self.dst in ("0.0.0.0/0", "::/0")

    def __str__(self) -> str:
        via = f" via {self.gw}" if self.gw else ""
        table = f" table {self.table}" if self.table != MAIN_TABLE else ""
        return f"{self.dst}{via}{table}"


def add(nl: Rtnl, route: Route) -> None:
    """Add the route; raises FileExistsError when there is the same one.

    A second default through another interface is added to the first: IPv4 prefers the newest,
    IPv6 makes a multipath of them.
    """
    nl.request(_message(route), RTM_NEWROUTE, NLM_F_CREATE, what=f"add route {route}")


def replace(nl: Rtnl, route: Route) -> None:
    """Add the route in the place of one with the same destination and metric."""
    nl.request(
        _message(route), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, what=f"replace route {route}"
    )


def remove(nl: Rtnl, route: Route) -> None:
    """Remove the route; gone is fine."""
    try:
        nl.request(_message(route), RTM_DELROUTE, what=f"remove route {route}")
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.ENODEV):
            raise


def list_routes(nl: Rtnl, *, oif: int = 0, table: int = MAIN_TABLE) -> list[Route]:
    """The unicast routes of a table (0: of all), of both families; `oif` 0 means every link.

    A multipath route appears once for each of its hops.
    """
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        message = Message(ROUTE)
        message["family"] = family
        if table:
            message["attrs"] = [("RTA_TABLE", table)]
        for each in _dump(nl, message):
            # a kernel without IPv6 answers with what it has
            if each["family"] != family or each["flags"] & _RTM_F_CLONED:
                continue
            if each["type"] != _TYPE_UNICAST:
                continue
            found += [
                route
                for route in _parse(each, family)
                if table in (0, route.table) and oif in (0, route.oif)
            ]
    return found


def advertised_links(nl: Rtnl) -> set[int]:
    """The links out of which an IPv6 route leads that a router advertised."""
    message = Message(ROUTE)
    message["family"] = socket.AF_INET6
    found = (each for each in _dump(nl, message) if each["proto"] == _PROTO_RA)
    return {hop.oif for each in found for hop in _parse(each, socket.AF_INET6)}


def _dump(nl: Rtnl, message: Message) -> list[Message]:
    """An IPv6 table does not exist before its first route."""
    try:
        return nl.dump(message, RTM_GETROUTE, what="list routes")
    except FileNotFoundError:
        return []


def _parse(message: Message, family: int) -> list[Route]:
    values = message["attrs"]
    dst = values.get("RTA_DST") or ("0.0.0.0" if family == socket.AF_INET else "::")  # noqa: S104
    metrics = values.get("RTA_METRICS", {})
    route = Route(
        dst=f"{dst}/{message['dst_len']}",
        oif=values.get("RTA_OIF", 0),
        gw=values.get("RTA_GATEWAY", ""),
        src=values.get("RTA_PREFSRC", ""),
        priority=values.get("RTA_PRIORITY", 0),
        table=values.get("RTA_TABLE", message["table"]),
        scope=message["scope"],
        mtu=metrics.get("RTAX_MTU", 0),
        advmss=metrics.get("RTAX_ADVMSS", 0),
    )
    hops = values.get("RTA_MULTIPATH") or []
    if not hops:
        return [route]
    return [route._replace(oif=oif, gw=gw) for oif, gw in hops]


def _message(route: Route) -> Message:
    network = ipaddress.ip_network(route.dst, strict=False)
    message = Message(ROUTE)
    message["family"] = socket.AF_INET if network.version == 4 else socket.AF_INET6
    message["dst_len"] = network.prefixlen
    message["table"] = min(route.table, 255)
    message["proto"] = _PROTO_BOOT
    message["type"] = _TYPE_UNICAST
    scope = route.scope
    if scope is None:
        scope = SCOPE_UNIVERSE if route.gw or route.is_ipv6 else SCOPE_LINK
    message["scope"] = scope
    attributes: list[tuple[str, object]] = [("RTA_TABLE", route.table), ("RTA_OIF", route.oif)]
    if network.prefixlen:
        attributes.append(("RTA_DST", str(network.network_address)))
    if route.gw:
        attributes.append(("RTA_GATEWAY", route.gw))
    if route.src:
        attributes.append(("RTA_PREFSRC", route.src))
    if route.priority:
        attributes.append(("RTA_PRIORITY", route.priority))
    metrics = [
        (name, value)
        for name, value in (("RTAX_MTU", route.mtu), ("RTAX_ADVMSS", route.advmss))
        if value
    ]
    if metrics:
        attributes.append(("RTA_METRICS", metrics))
    message["attrs"] = attributes
    return message
