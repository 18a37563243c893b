"""What a whereabouts attachment is to have: from the configuration and the caller's requests.

Nothing is leased here, and nothing written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core import log
from cni.core.errors import CniError, Code, invalid
from cni.core.types import IPConfig
from ipam import bounds, fixed, requested, settings
from ipam.addresses import IP, Interface, parse_cidr, parse_ip
from ipam.bounds import RangeText
from ipam.fixed import Fixed
from ipam.node import node_name
from ipam.stores import Ask, Owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.core.types import DNS, Json, Request, Route
    from ipam.ranges import Range
    from ipam.requested import Requested
    from ipam.settings import Settings

_GATEWAY_FLAGS = frozenset({"isgateway", "isdefaultgateway"})
_YES = frozenset({"1", "1.0", "t", "true", "y", "yes", "on"})  # as the interface plugins read it

_KNOWN_ARGS = requested.ADDRESS_ARGS | {
    "K8S_POD_NAME",
    "K8S_POD_NAMESPACE",
    "K8S_POD_UID",
    "K8S_POD_INFRA_CONTAINER_ID",
}


class Plan(NamedTuple):
    """The addresses to lease and those to pass on, with what goes beside them."""

    owner: Owner
    settings: Settings
    ranges: tuple[Ask, ...]  #: one for each range, in the order of the configuration
    further: tuple[Ask, ...]  #: requests in a range that another request already fills
    fixed: tuple[Fixed, ...]  #: `addresses`, then requests outside every range
    gateways: tuple[IP, ...]  #: CNI_ARGS GATEWAY: for what was asked for, not for what is chosen
    gateway: str
    routes: tuple[Route, ...]
    dns: DNS

    @property
    def asks(self) -> tuple[Ask, ...]:
        return self.ranges + self.further

    @property
    def pools(self) -> list[tuple[str, Range]]:
        """Where its leases are; what a reservation took out of a range may be leased still."""
        return [(each.network_name, each.range) for each in self.ranges]

    def ip(self, ask: Ask, address: int) -> IPConfig:
        """The leased address as the result tells it; a gateway only of its own family."""
        text = ask.range.with_prefix(address)
        own = self.gateway if (":" in self.gateway) == (":" in text) else ""
        asked = "" if ask.wanted is None else fixed.gateway_for(parse_cidr(text), self.gateways)
        return IPConfig(text, asked or own)


def make(req: Request) -> Plan:
    """The plan of one call.

    Raises CniError 7 naming the key and its value, 4 for one in CNI_ARGS.
    """
    if "ipam" not in req.config:
        raise invalid("IPAM config missing 'ipam' key")
    conf = settings.read(req.config["ipam"])
    pairs = requested.pairs(req, _KNOWN_ARGS)
    asked = requested.read(req, pairs)
    owner = _owner(req, pairs, conf)
    gateway = fixed.ip("ipam.gateway", conf.gateway, sloppy=True)
    on_bridge = _is_bridge_gateway(req.config)
    asks = _reserved(_asks(conf, gateway, on_bridge), conf.reservations, owner.holder)
    asks = [_preferring(each, asked.preferred) for each in asks]
    if not owner.pod_name:  # a container ID does not come again: nothing is to wait for it
        asks = [each._replace(sticky=0) for each in asks]
    ranges, further, outside = _place(asks, _wishes(asked))
    given = fixed.addresses(conf.addresses, "invalid CIDR in addresses") + outside
    given = fixed.with_gateways(given, asked.gateways)
    fixed.refuse_several(given, req.cni_version)
    return Plan(
        owner=owner,
        settings=conf,
        ranges=ranges,
        further=further,
        fixed=given,
        gateways=asked.gateways,
        gateway=gateway,
        routes=fixed.routes(conf.routes),
        dns=conf.dns,
    )


def _owner(req: Request, pairs: dict[str, str], conf: Settings) -> Owner:
    return Owner(
        req.attachment,
        pod_namespace=_printable(pairs.get("K8S_POD_NAMESPACE", "")),
        pod_name=_printable(pairs.get("K8S_POD_NAME", "")),
        pod_uid=_printable(pairs.get("K8S_POD_UID", "")),
        node=node_name(req.environ, conf.configuration_path),
        netns=_printable(req.netns),
    )


def _printable(text: str) -> str:
    """A variable's text as the store can keep it: what is no UTF-8 becomes a question mark."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def _is_bridge_gateway(config: Json) -> bool:
    """Whether the interface plugin will hold the gateway's address itself."""
    flags = (value for key, value in config.items() if key.lower() in _GATEWAY_FLAGS)
    return any(str(value).lower() in _YES for value in flags)


def _asks(conf: Settings, gateway: str, on_bridge: bool) -> list[Ask]:
    """One for each range: the top-level one, which has keys of its own, and then ipRanges.

    The address that a bridge will hold is never handed out; without a configured gateway it is
    the network's first, which would be the first pod's too.
    """
    texts = [
        RangeText(f"ipam.ipRanges[{i}]", each.range, each.range_start, each.range_end, each.exclude)
        for i, each in enumerate(conf.ip_ranges)
    ]
    if conf.range:
        top = RangeText(
            "ipam", conf.range, conf.range_start, conf.range_end, conf.exclude, strict=False
        )
        texts.insert(0, top)
    ranges = [bounds.read(text) for text in texts]
    if gateway and (conf.exclude_gateway or on_bridge):
        ip = parse_ip(gateway)
        ranges = [each.without(ip.version, int(ip)) for each in ranges]
    if on_bridge:
        own = parse_ip(gateway).version if gateway else 0
        ranges = [
            each if each.version == own else each.without(each.version, each.base + 1)
            for each in ranges
        ]
    return [
        Ask(
            each,
            conf.network_name,
            conf.enable_overlapping_ranges,
            cooldown=conf.cooldown,
            sticky=conf.sticky,
            strict=conf.strict,
        )
        for each in ranges
    ]


def _reserved(asks: list[Ask], reservations: dict[str, list[str]], holder: str) -> list[Ask]:
    """The asks with the addresses that the configuration has for this pod, and without others'."""
    for pod, texts in reservations.items():
        for i, text in enumerate(texts):
            try:
                ip = parse_ip(text)
            except ValueError as error:
                key = f'"ipam.reservations.{pod}[{i}]"'
                raise invalid(f"{key}: invalid IP address: {text}", str(error)) from None
            for number, ask in enumerate(asks):
                if not ask.range.offers(ip.version, int(ip)):
                    continue
                ask = ask._replace(unreserved=ask.unreserved or ask.range)
                if pod == holder:
                    asks[number] = ask._replace(wanted=int(ip))
                else:
                    asks[number] = ask._replace(range=ask.range.without(ip.version, int(ip)))
    return asks


def _preferring(ask: Ask, text: str) -> Ask:
    """A hint is for the range that it lies in, and nothing is wrong with one for no range."""
    try:
        ip = parse_ip(text.partition("/")[0]) if text else None
    except ValueError:
        log.warning("the preferred address is none", address=text)
        return ask
    if ip is None or not ask.range.offers(ip.version, int(ip)):
        return ask
    return ask._replace(preferred=int(ip))


class _Wish(NamedTuple):
    """One requested address; `code` is that of the errors about it, `where` what they name."""

    where: str
    text: str
    ip: IP
    interface: Interface | None  #: None for a bare address
    code: int = Code.INVALID_CONFIG

    def fault(self, complaint: str) -> CniError:
        return CniError(self.code, f"{self.where}: {complaint}")


def _wishes(asked: Requested) -> list[_Wish]:
    """Every way to ask, once for each address: podman asks by two ways at a time."""
    every = [_wish("CNI_ARGS: IP", text, Code.INVALID_ENVIRONMENT) for text in asked.args]
    for key, texts in (("args.cni.ips", asked.config), ("runtimeConfig.ips", asked.runtime)):
        every += [_wish(f'"{key}[{i}]"', text) for i, text in enumerate(texts)]
    wishes: dict[IP, _Wish] = {}
    for wish in every:
        if wish.ip not in wishes or wishes[wish.ip].interface is None:
            wishes[wish.ip] = wish
    return list(wishes.values())


def _wish(where: str, text: str, code: int = Code.INVALID_CONFIG) -> _Wish:
    try:
        if "/" not in text:
            return _Wish(where, text, parse_ip(text), None, code)
        interface = parse_cidr(text)
        return _Wish(where, text, interface.ip, interface, code)
    except ValueError as error:
        raise CniError(code, f"{where}: invalid CIDR {text}", str(error)) from None


def _place(
    asks: list[Ask], wishes: list[_Wish]
) -> tuple[tuple[Ask, ...], tuple[Ask, ...], tuple[Fixed, ...]]:
    """Give each wish to the first range that offers it and has none yet.

    A second wish in the same range is leased beside the first, so that nobody else gets it; one
    outside every range becomes a fixed address, as with the original.
    """
    further: list[Ask] = []
    outside: list[Fixed] = []
    for wish in wishes:
        wanted = int(wish.ip)
        offering = [i for i, ask in enumerate(asks) if ask.range.offers(wish.ip.version, wanted)]
        open_ = next((i for i in offering if asks[i].wanted is None), None)
        if open_ is not None:
            asks[open_] = asks[open_]._replace(wanted=wanted, unreserved=None)
        elif offering:
            further.append(asks[offering[0]]._replace(wanted=wanted, unreserved=None))
        else:
            outside.append(_outside(wish, [ask.range for ask in asks]))
    return tuple(asks), tuple(further), tuple(outside)


def _outside(wish: _Wish, ranges: Sequence[Range]) -> Fixed:
    address = int(wish.ip)
    for each in ranges:
        if not each.in_network(wish.ip.version, address):
            continue
        if address in (each.base, each.top):
            raise wish.fault(
                f"requested IP address {wish.ip} is the network or the broadcast address of "
                f"range {each.cidr}"
            )
        if each.excluded_to(address) is not None:
            raise wish.fault(f"requested IP address {wish.ip} is excluded from range {each.cidr}")
    if wish.interface is None:
        raise wish.fault(
            f"invalid CIDR {wish.text}: an address outside every range needs a prefix length"
        )
    return Fixed(wish.interface)
