"""loopback: brings `lo` up in the container."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from cni import configure
from cni.core.errors import CniError, Code
from cni.core.types import Interface, IPConfig, Result
from cni.core.undo import Undo
from cni.host import address, link, netns

if TYPE_CHECKING:
    from cni.core.types import Request
    from cni.host.netns import Sandbox

_LO = "lo"


def add(req: Request) -> Result:
    """Brings lo up; returns prevResult when there is one, else lo and its addresses."""
    with configure.open_sandbox(req) as sandbox, Undo() as undo:
        lo = link.get(sandbox.nl, _LO)
        loopback_addresses(sandbox)  # before it is up: what is refused is not touched
        if not lo.is_up:
            undo.push(link.set_down, sandbox.nl, lo)
            link.set_up(sandbox.nl, lo)
        addresses = loopback_addresses(sandbox)
        undo.keep()
    if req.prev_result is not None:
        return req.prev_result
    return Result(
        interfaces=(Interface(_LO, lo.mac, sandbox=req.netns),),
        ips=tuple(IPConfig(cidr, interface=0) for cidr in addresses),
    )


def delete(req: Request) -> None:
    sandbox = netns.open_if_present(req.netns)
    if sandbox is not None:
        with sandbox:
            link.set_down(sandbox.nl, link.get(sandbox.nl, _LO))


def check(req: Request) -> None:
    with configure.open_sandbox(req) as sandbox:
        if not link.get(sandbox.nl, _LO).is_up:
            raise configure.failed("loopback interface is down")
        loopback_addresses(sandbox)


def gc(req: Request) -> None:
    """Nothing outlives the namespace."""


def status(req: Request) -> None:
    """Always ready."""


def loopback_addresses(sandbox: Sandbox) -> list[str]:
    """The addresses of lo; raises CniError 7 for one that is not a loopback address."""
    found = address.list_addresses(sandbox.nl, link.get(sandbox.nl, _LO))
    for each in found:
        if not ipaddress.ip_interface(each.cidr).is_loopback:
            raise CniError(
                Code.INVALID_CONFIG,
                f'loopback interface found with non-loopback address "{each.cidr}"',
            )
    return [each.cidr for each in found]
