"""default-route: which attachment the pod's default routes leave by (NPWG 4.1.2.1.9).

Pure. Only a family for which somebody names a gateway is touched; the original strips every
default route of both as soon as the key appears, an empty list included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.errors import invalid
from cni.core.types import Route

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from cni.core.types import Result
    from meta.multus.delegates import Delegate

_MAIN_TABLES = (None, 0, 254)

#: family -> (index of the delegate, its gateway)
Gateways = dict[int, tuple[int, str]]


def wanted(delegates: Sequence[Delegate]) -> Gateways:
    """The gateway of each family; raises CniError 7 for two of one family."""
    found: Gateways = {}
    for index, delegate in enumerate(delegates):
        for gateway in delegate.default_route or ():
            address = _address(gateway)
            if address.version in found:
                raise invalid("multus does not support ECMP for default-route")
            # as the kernel spells it, or its own route would look like another
            found[address.version] = (index, str(address))
    return found


def applied(answers: Sequence[Result], gateways: Gateways) -> list[Result]:
    """The results as they are once the default routes have moved."""
    return [
        result._replace(
            routes=(
                *(each for each in result.routes if _default_family(each) not in gateways),
                *(
                    Route("::/0" if family == 6 else "0.0.0.0/0", gateway)
                    for family, (chosen, gateway) in gateways.items()
                    if chosen == index
                ),
            )
        )
        for index, result in enumerate(answers)
    ]


def _address(text: str) -> IPv4Address | IPv6Address:
    import ipaddress  # 3 ms, for those only who ask for a gateway

    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _default_family(route: Route) -> int:
    """4 or 6 for a default route of the main table, else 0."""
    if route.table not in _MAIN_TABLES or not route.dst.endswith("/0"):
        return 0
    return 6 if ":" in route.dst else 4
