"""Whether what a pod asks of a network is heard and done; the original attaches in silence.

NPWG 4.1.2.1 has an attachment fail whose wish no plugin declares to heed. By default there is a
warning only, as pods live that relied on less: `unmetRequests: fail` makes it an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.core.types import Result
    from meta.multus.delegates import Delegate

#: wishes that need a plugin which declares the capability
_CAPABILITIES = ("ips", "mac", "portMappings", "bandwidth", "infinibandGUID")


def check_heard(delegates: Iterable[Delegate], *, is_strict: bool) -> None:
    """Before the ADD: is there a plugin that declares the capability?

    When strict, raises CniError 7.
    """
    for each in delegates:
        for wish in _CAPABILITIES:
            if wish in each.runtime_config and not each.network.declares(wish):
                fault = "no plugin of the network declares the capability"
                _report(each, f"{wish}: {fault}", is_strict=is_strict)


def check_met(delegate: Delegate, result: Result, *, is_strict: bool) -> None:
    """After the ADD: has the pod the addresses that it asked for?

    When strict, raises CniError 7.
    """
    has = {ip.address.partition("/")[0] for ip in result.ips}
    for wish in delegate.requests.get("ipRequest", ()):
        if not any(_is_same_address(wish.partition("/")[0], each) for each in has):
            fault = f"asked for {wish}, has {' '.join(sorted(has)) or 'no address'}"
            _report(delegate, f"ips: {fault}", is_strict=is_strict)
    if mac := delegate.requests.get("macRequest", ""):
        macs = {each.mac.lower() for each in result.interfaces if each.sandbox and each.mac}
        if macs and mac.lower().replace("-", ":") not in macs:
            fault = f"asked for {mac}, has {' '.join(sorted(macs))}"
            _report(delegate, f"mac: {fault}", is_strict=is_strict)


def _is_same_address(one: str, other: str) -> bool:
    if one == other:
        return True
    from ipaddress import ip_address

    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return False


def _report(delegate: Delegate, fault: str, *, is_strict: bool) -> None:
    if is_strict:
        raise invalid(f'network "{delegate.name}": {fault}', '"unmetRequests" is "fail"')
    log.warning("a request may be ignored", network=delegate.name, reason=fault)
