"""Network namespaces: make them, enter them, see what is in them as iproute2 and nft tell it."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def new_namespace() -> Iterator[int]:
    """This thread, and what it starts, in a new namespace while the body runs; yields it open."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        new = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield new
        finally:
            os.close(new)
    finally:
        if _libc.setns(own, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns back")
        os.close(own)


def run(*argv: str, stdin: str = "") -> str:
    """A command that must succeed; returns what it printed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class Netns:
    """A namespace by its path; without one, that of this thread."""

    def __init__(self, path: str = "") -> None:
        self.path = path

    def run(self, *argv: str) -> str:
        return run(*(("nsenter", f"--net={self.path}") if self.path else ()), *argv)

    def ip(self, *argv: str) -> Any:
        shown = self.run("ip", "-j", "-d", *argv)
        return json.loads(shown) if shown.strip() else []

    def links(self) -> dict[str, Json]:
        """All interfaces with their addresses, by name."""
        # ip prints empty objects for what its filters leave out
        return {each["ifname"]: each for each in self.ip("address") if each}

    def addresses(self, ifname: str) -> list[str]:
        """The global addresses of an interface, with their prefix lengths."""
        found = self.links()[ifname]["addr_info"]
        return [f"{a['local']}/{a['prefixlen']}" for a in found if a["scope"] == "global"]

    def default_gateways(self, family: str = "-4") -> list[str]:
        return [each.get("gateway", "") for each in self.ip(family, "route", "show", "default")]

    def vlans(self, ifname: str) -> dict[int, str]:
        """VID -> flags of a bridge port."""
        shown = json.loads(self.run("bridge", "-j", "vlan", "show", "dev", ifname) or "[]")
        return {
            vid: " ".join(each.get("flags", []))
            for port in shown
            for each in port["vlans"]
            for vid in range(each["vlan"], each.get("vlanEnd", each["vlan"]) + 1)
        }

    def rules(self) -> list[str]:
        """What plugins left in nftables: rules that bear a comment, chains of an attachment.

        Tables and base chains stay for the next container, and say nothing of the last.
        """
        lines = [line.strip() for line in self.run("nft", "list", "ruleset").splitlines()]
        return [line for line in lines if ' comment "' in line or _is_of_attachment(line)]


def _is_of_attachment(line: str) -> bool:
    name = line.removeprefix("chain ").lower()
    # those of portmap that all containers share
    return name != line.lower() and name.startswith("cni-") and "-hostport-" not in name
