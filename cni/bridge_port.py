"""The port of a container on its bridge: the veth pair, whose it is, and its VLANs.

Ownership is told by names: the host end is named after its attachment, and its alias spells the
attachment out. What bears another attachment's alias is left alone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cni import configure
from cni.bridge_gateway import ignore_router_advertisements
from cni.core import log
from cni.core.errors import CniError, Code
from cni.core.types import Attachment
from cni.host import bridge as linux_bridge
from cni.host import link, veth
from cni.store.lock import locked

if TYPE_CHECKING:
    from cni.conf import Bridge
    from cni.core.types import Request
    from cni.host.link import Link
    from cni.host.netns import Sandbox
    from cni.host.rtnl import Rtnl


def host_name(attachment: Attachment) -> str:
    """The host end's name follows from the attachment: a DEL finds it when all else is gone."""
    digest = hashlib.sha512("\0".join(attachment).encode(errors="surrogateescape")).hexdigest()
    return f"veth{digest[:11]}"


def is_host_name(name: str) -> bool:
    """Whether `host_name` can have made it."""
    digits = name.removeprefix("veth")
    return len(name) == 15 and len(digits) == 11 and all(c in "0123456789abcdef" for c in digits)


def alias(attachment: Attachment) -> str:
    """What `ip link` shows beside the host end, and what GC knows it by."""
    return "/".join(attachment).encode()[:254].decode(errors="ignore")  # IFALIASZ, less two


def lock_path(req: Request) -> str:
    """One lock for all bridges: the kernel serialises the few ms under it anyway."""
    return f"{req.run_dir}/bridge.lock"


def refuse_attached(nl: Rtnl, sandbox: Sandbox, req: Request) -> None:
    """Raises CniError 4 when the container is attached already, under whatever name.

    A host end that leads into another namespace was left by a container of the same ID.
    """
    configure.refuse_taken_name(sandbox, req)
    host = link.find(nl, host_name(req.attachment))
    if host is None:
        return
    if host.alias not in ("", alias(req.attachment)):
        raise CniError(
            Code.INVALID_ENVIRONMENT, f'interface "{host.name}" already exists on the host',
            f'it belongs to "{host.alias}"',
        )  # fmt: skip
    inside = link.find_index(sandbox.nl, host.parent)
    if inside is not None and inside.kind == "veth" and inside.parent == host.ifindex:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f'CNI_IFNAME "{req.ifname}" already exists in {req.netns} as "{inside.name}"',
        )
    link.delete(nl, host.ifindex, host.name)


def attach(
    nl: Rtnl, bridge: Link, sandbox: Sandbox, req: Request, conf: Bridge, mac_address: str
) -> tuple[Link, Link]:
    """The veth pair, its host end up as a port of the bridge; returns (host, peer)."""
    host, peer = veth.create(
        nl, host_name(req.attachment), sandbox, req.ifname,
        mtu=conf.mtu, mac=mac_address,
    )  # fmt: skip
    link.enslave(nl, host, bridge, alias=alias(req.attachment))
    linux_bridge.set_port(nl, host, hairpin=conf.hairpin_mode, isolated=conf.port_isolation)
    if vlans := port_vlans(conf):
        linux_bridge.set_vlans(nl, host, vlans, keep=conf.preserve_default_vlan)
    ignore_router_advertisements(host.name)
    link.set_up(nl, host)
    return host, peer


def port_vlans(conf: Bridge) -> list[linux_bridge.Vlan]:
    """The VLANs of the port: `vlan` native, the trunk tagged; a trunk alone keeps VLAN 1 native.

    The native VLAN is left out of the trunk: adding it again would take its untagged flag away.
    """
    trunk: set[int] = set()
    for each in conf.vlan_trunk or ():
        if each.id is not None:
            trunk.add(each.id)
        if each.min_id is not None and each.max_id is not None:
            trunk.update(range(each.min_id, each.max_id + 1))
    if not conf.vlan and not trunk:
        return []
    native = conf.vlan or 1
    tagged = [linux_bridge.Vlan(vid) for vid in sorted(trunk - {native})]
    return [linux_bridge.Vlan(native, native=True), *tagged]


def detach(nl: Rtnl, sandbox: Sandbox, req: Request) -> bool:
    """Delete the container's end, which takes the host's with it.

    False when the interface of that name is not this attachment's: a DEL also comes after an ADD
    that was refused because another network has the name.
    """
    found = link.find(sandbox.nl, req.ifname)
    if found is None:
        return True
    if found.kind != "veth":
        log.warning("interface left alone: not a veth", kind=found.kind)
        return False
    host = link.find_index(nl, found.parent)
    # the original sets no alias, and its pods must be deletable
    if host is not None and host.kind == "veth" and host.alias not in ("", alias(req.attachment)):
        log.warning("interface left alone: another attachment's", alias=host.alias)
        return False
    link.delete(sandbox.nl, found.ifindex, req.ifname)
    return True


def check_port(nl: Rtnl, bridge: Link, peer: Link, conf: Bridge) -> None:
    """The host end is a port of the bridge with the flags and VLANs of the configuration."""
    host = link.find_index(nl, peer.parent)
    if host is None or host.kind != "veth" or host.master != bridge.ifindex:
        raise configure.failed(f"CNI veth created for bridge {bridge.name} was not found")
    if host.hairpin != conf.hairpin_mode or host.isolated != conf.port_isolation:
        raise configure.failed(
            f"hairpin mode or isolation of port {host.name} is not as configured"
        )
    wanted = port_vlans(conf)
    if wanted and not set(wanted) <= set(linux_bridge.get_vlans(nl, host)):
        raise configure.failed(f"VLANs of port {host.name} are not as configured")


def remove_stale_ports(nl: Rtnl, bridge_name: str, req: Request) -> None:
    """Delete the host ends that this network made for attachments the runtime does not have."""
    bridge = link.find(nl, bridge_name)
    # compared as aliases, which are cut: a long container ID must not look like an unknown one
    valid = {alias(Attachment(req.network, *each)) for each in req.valid_attachments or ()}
    for port in link.ports(nl, bridge.ifindex) if bridge else ():
        ours = port.kind == "veth" and port.alias.startswith(f"{req.network}/")
        if ours and port.alias not in valid:
            link.delete(nl, port.ifindex, port.name)


def remove_remnants(nl: Rtnl, lock: str) -> None:
    """Delete the veth pairs of ADDs that were killed between making one and attaching it.

    Under the lock no living ADD is in between.
    """
    with locked(lock):
        for each in link.list_links(nl):
            if (
                each.kind == "veth"
                and not each.alias
                and not each.master
                and is_host_name(each.name)
            ):
                link.delete(nl, each.ifindex, each.name)
