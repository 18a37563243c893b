"""The container's network namespace: the only module of multus that talks to the kernel.

The kernel layer costs 30 ms to import, so each function imports it when it has to look.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: the default destination by family
DEFAULTS = {4: "0.0.0.0/0", 6: "::/0"}


def identity(netns: str) -> str:
    """What tells the namespace from a later one of the same path; empty when nobody can say.

    The kernel gives the inode's number out again, often at once: hence its time, which stays while
    it is mounted at the path. One of /proc is mounted nowhere.
    """
    if netns.startswith("/proc/"):
        return ""
    try:
        found = os.stat(netns)
    except (OSError, ValueError):
        return ""
    return f"{found.st_dev}:{found.st_ino}:{found.st_ctime_ns}"


def lasting(netns: str, known: str) -> str:
    """A recorded path while it leads to the namespace of which `identity` said `known`, else empty.

    A process ID is given out again: /proc/<pid>/ns/net may be a stranger's by now, the host's even.
    """
    is_another = bool(known) and identity(netns) != known
    return "" if is_another or netns.startswith("/proc/") else netns


def can_look(netns: str) -> bool:
    """Whether the path is a namespace that we may enter."""
    from cni.host.netns import open_if_present

    sandbox = open_if_present(netns)
    if sandbox is None:
        return False
    with sandbox:
        return True


def present(netns: str, ifnames: Iterable[str]) -> set[str]:
    """Those of the interfaces that exist there; none in a namespace that does not.

    A delegate has its own answer to a missing namespace.
    """
    if not os.path.exists(netns):
        return set()
    from cni.host import link
    from cni.host.netns import open_if_present

    sandbox = open_if_present(netns)
    if sandbox is None:
        return set()
    with sandbox:
        return {name for name in ifnames if link.find(sandbox.nl, name)}


def move_default_routes(netns: str, targets: Mapping[int, tuple[str, str]]) -> None:
    """For each family make (interface, gateway) the only default route of the main table.

    The new one comes first, so that the pod is at no time without one. Raises OSError.
    """
    from cni.host import link, route
    from cni.host.netns import Sandbox

    with Sandbox(netns) as sandbox:
        for family, (ifname, gateway) in targets.items():
            oif = link.get(sandbox.nl, ifname).ifindex
            chosen = route.Route(DEFAULTS[family], oif, gw=gateway)
            try:
                route.replace(sandbox.nl, chosen)
            except FileExistsError:
                pass  # it is there, behind another
            for each in route.list_routes(sandbox.nl):
                if each.dst == chosen.dst and (each.oif, each.gw) != (oif, gateway):
                    route.remove(sandbox.nl, each)
