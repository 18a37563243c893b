"""Which leases and holds a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ipam.addresses import IP, parse_ip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.ctl.leases.source import Source
    from ipam.stores import Hold, Lease


class Found(NamedTuple):
    """Both by address."""

    leases: list[Lease]
    holds: list[Hold]

    @property
    def both(self) -> list[Lease | Hold]:
        return [*self.leases, *self.holds]


class Selection(NamedTuple):
    """All that is set must fit; what is empty fits all."""

    network: str = ""  #: the network's name or its network_name
    pod: str = ""  #: namespace/name
    address: IP | None = None
    node: str = ""
    container: str = ""

    def of(self, leases: Iterable[Lease], holds: Iterable[Hold], source: Source) -> Found:
        """A hold does not know its network: it is of one that leases from the same pool."""
        every = list(leases)
        pools = {
            (each.network_name, each.cidr)
            for each in every
            if each.attachment.network == self.network
        } | {
            (each.network_name, each.range.cidr)
            for section in source.sections
            if section.network == self.network
            for each in section.pools
        }
        return Found(
            [each for each in every if self._has_lease(each)],
            [each for each in holds if self._has_hold(each, pools)],
        )

    def _has_lease(self, lease: Lease) -> bool:
        return (
            self.network in ("", lease.attachment.network, lease.network_name)
            and self.pod in ("", f"{lease.pod_namespace}/{lease.pod_name}")
            and self.node in ("", lease.node)
            and self.container in ("", lease.attachment.container_id)
            and self._is_at(lease.version, lease.address)
        )

    def _has_hold(self, hold: Hold, pools: set[tuple[str, str]]) -> bool:
        of_network = self.network in ("", hold.network_name)
        return (
            not self.node  # a hold is of no node
            and (of_network or (hold.network_name, hold.cidr) in pools)
            and self.pod in ("", hold.holder)
            and self.container in ("", hold.holder)
            and self._is_at(hold.version, hold.address)
        )

    def _is_at(self, version: int, address: int) -> bool:
        at = self.address
        return at is None or (at.version, int(at)) == (version, address)


def pod(text: str) -> str:
    """`namespace/name`, as leases have it. Raises ValueError for anything else."""
    namespace, slash, name = text.partition("/")
    if text and not (namespace and slash and name and "/" not in name):
        raise ValueError(f'"{text}" is not NAMESPACE/NAME')
    return text


def address(text: str) -> IP | None:
    """Raises ValueError for what is no address."""
    return parse_ip(text) if text else None
