"""static: the addresses that the configuration or the caller spells out, and nothing else.

Keeps no records: two attachments with one address are not noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code, invalid
from cni.core.load import load
from cni.core.types import Result
from ipam import fixed, requested
from ipam.fixed import Fixed

if TYPE_CHECKING:
    from cni.core.types import Request
    from ipam.conf import Static as Conf


def add(req: Request) -> Result:
    """The addresses, routes and dns of the configuration.

    Raises CniError 7 for a value that is none, 4 for one in CNI_ARGS.
    """
    conf = _conf(req)
    return Result(
        ips=tuple(each.as_result() for each in _addresses(req, conf)),
        routes=fixed.routes(conf.routes),
        dns=fixed.dns(conf.dns),
    )


def check(req: Request) -> None:
    """Every configured address must be in the previous result, with its gateway.

    Raises CniError 102 naming the address. The original does not miss an absent address.
    """
    prev_result = fixed.require_prev_result(req.prev_result)
    for each in _addresses(req, _conf(req)):
        found = fixed.find(prev_result, str(each.interface))
        if each.gateway and found.gateway != each.gateway:
            raise CniError(
                Code.CHECK_FAILED,
                f"static: Failed to match addr {each.interface} on interface {req.ifname}",
                f'gateway in prevResult is "{found.gateway}", configured is "{each.gateway}"',
            )


def delete(req: Request) -> None:
    """Nothing was recorded, nothing is released."""


def gc(req: Request) -> None:
    """Nothing was recorded, nothing is released."""


def status(req: Request) -> None:
    """Raises CniError 7 for a configuration that no ADD could use."""
    conf = _conf(req)
    _addresses(req, conf)
    fixed.routes(conf.routes)


def _conf(req: Request) -> Conf:
    if "ipam" not in req.config:
        raise invalid("IPAM config missing 'ipam' key")
    conf: Conf = load("ipam.conf:Static", req.config["ipam"], "ipam")
    return conf


def _addresses(req: Request, conf: Conf) -> tuple[Fixed, ...]:
    """Configured ones and CNI_ARGS' together, unless the caller's lists replace them all."""
    asked = requested.read(req, requested.pairs(req, requested.ADDRESS_ARGS))
    if asked.runtime:
        chosen = _listed("runtimeConfig.ips", asked.runtime)
    elif asked.config:
        chosen = _listed("args.cni.ips", asked.config)
    else:
        complaint = "the 'address' field is expected to be in CIDR notation, got:"
        chosen = fixed.addresses(conf.addresses, complaint) + _from_args(asked.args)
    chosen = fixed.with_gateways(chosen, asked.gateways)
    fixed.refuse_several(chosen, req.cni_version)
    return chosen


def _listed(key: str, texts: tuple[str, ...]) -> tuple[Fixed, ...]:
    complaint = "an entry in the 'ips' field is NOT in CIDR notation, got:"
    return tuple(
        Fixed(fixed.interface(f'"{key}[{i}]"', text, complaint)) for i, text in enumerate(texts)
    )


def _from_args(texts: tuple[str, ...]) -> tuple[Fixed, ...]:
    complaint = "the 'ip' field is expected to be in CIDR notation, got:"
    return tuple(
        Fixed(fixed.interface("CNI_ARGS: IP", text, complaint, Code.INVALID_ENVIRONMENT))
        for text in texts
    )
