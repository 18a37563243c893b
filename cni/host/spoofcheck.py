"""Source MAC lock of a bridge port: frames from another MAC address are dropped.

Rules live in `table bridge nat`, named as the original bridge plugin names them, so that either
can remove what the other made.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cni.host import link, nft

if TYPE_CHECKING:
    from cni.host.rtnl import Rtnl

_TABLE = "bridge nat"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_PREFIX = "macspoofchk-"


def reference(container_id: str, ifname: str) -> str:
    """What chains and comments are named after.

    Interface names may hold characters that end an nft word: those are hashed.
    """
    plain = f"{container_id}-{ifname}"
    if _PLAIN.issuperset(plain) and len(plain) < 100:
        return plain
    return hashlib.sha512(plain.encode(errors="surrogateescape")).hexdigest()[:40]


def ensure(port: str, mac: str, ref: str) -> None:
    """Let only frames from `mac` in through the bridge port; applied twice it is the same."""
    chain, mac_chain = f"cni-br-iface-{ref}", f"cni-br-iface-{ref}-mac"
    comment = nft.quoted(_PREFIX + ref)
    head = [
        f"add table {_TABLE}",
        (
            f"add chain {_TABLE} PREROUTING"
            " { type filter hook prerouting priority -300; policy accept; }"
        ),
        f"add chain {_TABLE} {chain}",
        f"add chain {_TABLE} {mac_chain}",
    ]
    tail = [
        f"flush chain {_TABLE} {chain}",
        f"flush chain {_TABLE} {mac_chain}",
        f'add rule {_TABLE} PREROUTING iifname "{port}" jump {chain} comment {comment}',
        f"add rule {_TABLE} {chain} jump {mac_chain} comment {comment}",
        f"add rule {_TABLE} {mac_chain} ether saddr {mac} return comment {comment}",
        f"add rule {_TABLE} {mac_chain} drop comment {comment}",
    ]
    what = f'lock bridge port "{port}" to source MAC {mac}'
    nft.apply_listed(lambda: [*head, *_jumps_gone(ref), *tail], what)


def remove(ref: str) -> None:
    """Remove the lock; gone is fine. All of it at once: GC finds the chains by the jump."""
    nft.apply_listed(lambda: _all_gone(ref), f"remove the source MAC lock {ref}")


def _all_gone(ref: str) -> list[str]:
    jumps = _jumps_gone(ref)
    chains = (f"cni-br-iface-{ref}", f"cni-br-iface-{ref}-mac")
    if not jumps and not any(nft.rules(_TABLE, chain) for chain in chains):
        return []
    verbs = ("add", "flush", "delete")  # add: one that is gone already would stop the rest
    return jumps + [f"{verb} chain {_TABLE} {chain}" for verb in verbs for chain in chains]


def is_set(ref: str) -> bool:
    """Whether the lock is complete: a jump, a chain, and two rules."""
    return bool(_jumps_gone(ref)) and len(nft.rules(_TABLE, f"cni-br-iface-{ref}-mac")) == 2


def remove_dangling(nl: Rtnl) -> None:
    """Remove the locks of ports that are gone; the rules do not tell their network."""
    for rule in nft.rules(_TABLE, "PREROUTING"):
        comment, port = rule.get("comment", ""), _port(rule)
        if comment.startswith(_PREFIX) and port and link.find(nl, port) is None:
            remove(comment.removeprefix(_PREFIX))


def _jumps_gone(ref: str) -> list[str]:
    comment = nft.quoted(_PREFIX + ref).strip('"')
    return [
        f"delete rule {_TABLE} PREROUTING handle {rule['handle']}"
        for rule in nft.rules(_TABLE, "PREROUTING")
        if rule.get("comment") == comment
    ]


def _port(rule: dict[str, object]) -> str:
    expressions = rule.get("expr")
    for each in expressions if isinstance(expressions, list) else []:
        match = each.get("match", {})
        if match.get("left", {}).get("meta", {}).get("key") == "iifname":
            return str(match.get("right", ""))
    return ""
