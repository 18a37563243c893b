"""Addresses that the caller of one ADD asks for: CNI_ARGS, `args.cni.ips`, `runtimeConfig.ips`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core import args
from cni.core.errors import CniError, Code
from cni.core.load import load
from ipam.addresses import IP, parse_ip

if TYPE_CHECKING:
    from cni.core.types import Json, Request

#: CNI_ARGS that an IPAM plugin knows beside the pod's own
ADDRESS_ARGS = frozenset({"IP", "GATEWAY"})


class Requested(NamedTuple):
    """What was asked for, as text, by the way it came, and the gateways for it."""

    args: tuple[str, ...]  #: CNI_ARGS IP
    config: tuple[str, ...]  #: args.cni.ips
    runtime: tuple[str, ...]  #: runtimeConfig.ips (capability "ips")
    gateways: tuple[IP, ...]  #: CNI_ARGS GATEWAY
    preferred: str = ""  #: args.cni.preferred-ip, which multus sets from the pod's annotation


def read(req: Request, pairs: dict[str, str]) -> Requested:
    """The requests of one call; `pairs` are its CNI_ARGS.

    Raises CniError 4 for a gateway that is no address, 7 for lists that are none of strings.
    """
    caller = req.config.get("args") or {}
    asked = load("ipam.conf:CallerArgs", caller, "args").cni if caller else None
    return Requested(
        args=_items(pairs.get("IP", "")),
        config=asked.ips if asked else (),
        runtime=_runtime_ips(req.runtime_config()),
        gateways=tuple(_gateway(text) for text in _items(pairs.get("GATEWAY", ""))),
        preferred=asked.preferred_ip if asked else "",
    )


def pairs(req: Request, known: frozenset[str]) -> dict[str, str]:
    """CNI_ARGS, of which `known` are acceptable. Raises CniError 4."""
    return args.parse_known(req.args, known)


def _runtime_ips(runtime_config: Json) -> tuple[str, ...]:
    if not runtime_config:
        return ()
    ips: tuple[str, ...] = load("ipam.conf:CallerIps", runtime_config, "runtimeConfig").ips
    return ips


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",")) if text else ()


def _gateway(text: str) -> IP:
    try:
        return parse_ip(text)
    except ValueError as error:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f"CNI_ARGS: GATEWAY: invalid gateway address: {text}",
            str(error),
        ) from None
