"""What the containers of a bridge share: the bridge, its gateway addresses, forwarding.

Others may depend on it as soon as it is there, so what an ADD made is undone only while no other
container is attached, and under the lock that every attaching ADD takes.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time
from typing import TYPE_CHECKING

from cni.core import signals
from cni.core.errors import invalid
from cni.core.types import Interface
from cni.host import address, link, neighbour, route, sysctl, veth
from cni.host import bridge as linux_bridge
from cni.store.lock import locked

if TYPE_CHECKING:
    from cni.conf import Bridge
    from cni.core.types import IPConfig, Result
    from cni.host.link import Link
    from cni.host.rtnl import Rtnl

_PORT_WAIT = 2.5  #: seconds until a port's carrier must be up
_OURS = link.IFF_UP | link.IFF_PROMISC  #: flags of a bridge that an ADD may set
_GUESTS = ("veth", "tun")  #: kinds of ports behind which a container or a machine may be


class Shared:
    """The shared side of one ADD, and how to take it back."""

    def __init__(self, nl: Rtnl, name: str, lock_path: str) -> None:
        self._nl = nl
        self._name = name
        self._lock_path = lock_path
        self._bridge_made = False
        self._bridge_was: Link | None = None
        self._filtering_on = False
        self._guests_before: set[int] = set()
        self._links_made: list[str] = []
        self._addresses_added: list[tuple[Link, str]] = []
        self._addresses_replaced: list[tuple[Link, str]] = []

    def ensure_bridge(self, conf: Bridge) -> Link:
        """The bridge, up; promiscuous when asked. Call with the lock held."""
        bridge = linux_bridge.require(self._find_or_create(conf))
        self._guests_before = link.port_indices(self._nl, bridge.ifindex)
        if not self._bridge_made:
            if conf.vlan or conf.vlan_trunk:
                self._ensure_filtering(bridge)
            self._bridge_was = bridge
        if conf.promisc_mode:
            link.set_promiscuous(self._nl, bridge)
        if self._bridge_made:
            ignore_router_advertisements(bridge.name)  # we own the routes
        if not bridge.is_up:
            link.set_up(self._nl, bridge)
        return bridge

    def _ensure_filtering(self, bridge: Link) -> None:
        """VLANs separate nothing on a bridge that was made without them, by a network that needs
        none. Containers do not notice when they come; frames that an uplink tagged would be lost.
        """
        if linux_bridge.filters_vlans(self._nl, bridge):
            return
        others = [p.name for p in link.ports(self._nl, bridge.ifindex) if p.kind != "veth"]
        if others:
            raise invalid(
                f'"bridge": "{bridge.name}" has no VLAN filtering, and other ports than containers:'
                f" {' '.join(others)}",
                f"ip link set {bridge.name} type bridge vlan_filtering 1",
            )
        self._filtering_on = True
        linux_bridge.set_vlan_filtering(self._nl, bridge, on=True)

    def _find_or_create(self, conf: Bridge) -> Link:
        """A bridge that exists keeps its MTU."""
        found = link.find(self._nl, conf.bridge)
        if found is not None:
            return found
        self._bridge_made = True  # before the call, as whatever may go wrong follows it
        filtering = bool(conf.vlan) or conf.vlan_trunk is not None
        try:
            linux_bridge.create(self._nl, conf.bridge, mtu=conf.mtu, vlan_filtering=filtering)
        except FileExistsError:
            self._bridge_made = False  # someone outside the lock was faster
        return link.get(self._nl, conf.bridge)

    def ensure_gateways(self, result: Result, conf: Bridge) -> tuple[Interface, ...]:
        """Put the gateways on the bridge, or on its VLAN interface, and enable forwarding.

        Returns the VLAN interface, if there is one, for the result.
        """
        bridge = link.get(self._nl, conf.bridge)
        target = self._ensure_vlan_link(bridge, conf) if conf.vlan else bridge
        wanted = gateway_addresses(result.ips)
        if any(":" in cidr for cidr in wanted) and (self._bridge_made or conf.vlan):
            sysctl.ensure(f"net/ipv6/conf/{target.name}/disable_ipv6", "0")
        with locked(self._lock_path):
            for cidr in wanted:
                self._ensure_address(target, cidr, wanted, force=conf.force_address)
        enable_forwarding(self._nl, {":" in cidr for cidr in wanted})
        return (Interface(target.name, target.mac),) if conf.vlan else ()

    def _ensure_vlan_link(self, bridge: Link, conf: Bridge) -> Link:
        """A veth whose peer is a port in that VLAN: the gateway's foot in it.

        What an ADD that was killed has left half made is finished.
        """
        name = vlan_link_name(bridge.name, conf.vlan)
        with locked(self._lock_path):
            if link.find(self._nl, name) is None:
                self._links_made.append(name)
                mtu = [("IFLA_MTU", conf.mtu)] if conf.mtu else []
                peer = veth.peer([("IFLA_IFNAME", vlan_port_name(name)), *mtu])
                link.create(self._nl, name, "veth", *mtu, data=peer)
            port = link.find(self._nl, vlan_port_name(name))
            if port is not None and not (port.master == bridge.ifindex and port.is_up):
                link.enslave(self._nl, port, bridge, alias=f"{name} gateway")
                native = linux_bridge.Vlan(conf.vlan, native=True)
                linux_bridge.set_vlans(self._nl, port, [native], keep=False)
                link.set_up(self._nl, port)  # last: a port that is up is complete
            made = link.get(self._nl, name)
            if not made.is_up:
                link.set_up(self._nl, made)
            return made

    def _ensure_address(self, target: Link, cidr: str, own: list[str], *, force: bool) -> None:
        """Raises FileExistsError when the link has another address in the way and not `force`."""
        present = address.list_addresses(self._nl, target)
        if ipaddress.ip_interface(cidr) in {ipaddress.ip_interface(x.cidr) for x in present}:
            return  # not ours to take back
        for held in conflicts(present, cidr, own):
            if not force:
                error = FileExistsError(
                    17, f'"{target.name}" already has an IP address different from {cidr}: {held}'
                )
                error.add_note("set bridge address")
                raise error
            self._addresses_replaced.append((target, held))
            address.remove(self._nl, target, held)
        self._addresses_added.append((target, cidr))
        # nobody else has a gateway's address, and the first pod shall not wait a second for it
        address.ensure(self._nl, target, cidr, dad=False)
        # a MAC that was set stays; one that was not follows the port with the lowest
        link.set_mac(self._nl, target, link.get(self._nl, target.name).mac)

    def undo(self) -> None:
        """Take back what this ADD made, unless another container was attached meanwhile: it may
        rely on that. One that was there before relies on what was there before.
        """
        with locked(self._lock_path):
            bridge = link.find(self._nl, self._name)
            others = self._other_ports(bridge) if bridge else []
            if bridge is None or any(self._relies(port) for port in others):
                return
            for name in self._links_made:
                link.remove(self._nl, name)
            if self._bridge_made and not others:
                link.remove(self._nl, self._name)
                return
            for target, cidr in self._addresses_added:
                address.remove(self._nl, target, cidr)
            for target, cidr in self._addresses_replaced:
                address.ensure(self._nl, target, cidr, dad=False)
            self._restore(bridge)

    def _restore(self, bridge: Link) -> None:
        was = self._bridge_was
        if was is None:
            return
        if self._filtering_on:
            linux_bridge.set_vlan_filtering(self._nl, bridge, on=False)
        if (bridge.flags ^ was.flags) & _OURS:
            link.set_flags(self._nl, bridge, was.flags & _OURS, _OURS, "restore the state of")

    def _relies(self, port: Link) -> bool:
        return port.kind in _GUESTS and port.ifindex not in self._guests_before

    def _other_ports(self, bridge: Link) -> list[Link]:
        feet = {vlan_port_name(name) for name in self._links_made}
        return [port for port in link.ports(self._nl, bridge.ifindex) if port.name not in feet]


def gateway_addresses(ips: tuple[IPConfig, ...]) -> list[str]:
    """The gateways with the prefix lengths of their subnets, IPv4 first, each once."""
    cidrs = [f"{ip.gateway}/{ip.address.partition('/')[2]}" for ip in ips if ip.gateway]
    return sorted(dict.fromkeys(cidrs), key=lambda cidr: ":" in cidr)


def conflicts(held: list[address.Address], cidr: str, own: list[str]) -> list[str]:
    """The addresses that stand in the way: any other IPv4 one, an IPv6 one of the same subnet."""
    wanted = ipaddress.ip_interface(cidr)
    ours = {ipaddress.ip_interface(each) for each in own}
    found = []
    for each in held:
        interface = ipaddress.ip_interface(each.cidr)
        if interface in ours or interface.version != wanted.version or not each.is_global:
            continue
        if wanted.version == 4 or interface.network.overlaps(wanted.network):
            found.append(each.cidr)
    return found


def enable_forwarding(nl: Rtnl, families: set[bool]) -> None:
    """Make the host a router, for IPv4 (False) and IPv6 (True).

    A router takes no routes from router advertisements unless told so; a host that got its own
    default that way must not lose it (accept_ra 2, kernel doc ip-sysctl).
    """
    if False in families:
        sysctl.ensure("net/ipv4/ip_forward", "1")
    if True in families and sysctl.read("net/ipv6/conf/all/forwarding") != "1":
        for uplink in route.advertised_links(nl):
            name = link.get_index(nl, uplink).name
            if sysctl.read(f"net/ipv6/conf/{name}/accept_ra") == "1":
                sysctl.write(f"net/ipv6/conf/{name}/accept_ra", "2")
        sysctl.write("net/ipv6/conf/all/forwarding", "1")


def vlan_link_name(bridge: str, vlan: int) -> str:
    return f"{bridge}.{vlan}"


def vlan_port_name(name: str) -> str:
    return f"veth{hashlib.sha512(name.encode()).hexdigest()[:11]}"


def ignore_router_advertisements(ifname: str) -> None:
    sysctl.write_if_present(f"net/ipv6/conf/{ifname}/accept_ra", "0")


def forget_neighbours(nl: Rtnl, target: Link, ips: tuple[IPConfig, ...]) -> None:
    """The addresses have a new owner, with another MAC."""
    for ip in ips:
        neighbour.forget(nl, target, ip.address.partition("/")[0])


def wait_forwarding(nl: Rtnl, port: Link) -> None:
    """Wait until the port forwards: what the container sends before is lost.

    Raises OSError ETIMEDOUT.
    """
    deadline = time.monotonic() + _PORT_WAIT
    pause = 0.001
    while link.get(nl, port.name).operstate != "UP":
        if time.monotonic() > deadline:
            error = TimeoutError(110, f"not up after {_PORT_WAIT:g} s")
            error.add_note(f'wait for bridge port "{port.name}"')
            raise error
        signals.sleep(pause)
        pause = min(pause * 2, 0.1)
