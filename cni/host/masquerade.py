"""Masquerading of what a container sends out of its subnet, with nftables or iptables.

Tables, chains and comments are those of the original plugins, so that either side can remove
what the other made. An owner is (network, container, interface).
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import log, spawn
from cni.host import nft

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

BACKENDS = ("nftables", "iptables")

_TABLE = "inet cni_plugins_masquerade"
_TABLE_COMMENT = "Masquerading for plugins from github.com/containernetworking/plugins"
_CHAIN_COMMENT = (
    "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet"
)
_COMMANDS = {"ip": "iptables", "ip6": "ip6tables"}


class Owner(NamedTuple):
    """Whose traffic it is."""

    network: str
    container: str
    ifname: str


def ensure(owner: Owner, addresses: Iterable[str], backend: str) -> None:
    """Masquerade what leaves `addresses` (CIDR) for other subnets; twice is the same as once.

    Without a backend it is nftables, or iptables where that cannot be used. Raises OSError with
    the words of nft or iptables.
    """
    if backend == "iptables":
        _ensure_iptables(owner, addresses)
        return
    try:
        _ensure_nft(owner, addresses)
    except OSError as error:
        if backend or error.errno not in nft.UNUSABLE or nft.find_tool("iptables") is None:
            raise
        log.info("iptables takes the place of nftables", reason=error)
        _ensure_iptables(owner, addresses)


def remove(owner: Owner, others: Collection[str] = ()) -> None:
    """Remove the owner's rules of both backends; gone is fine.

    The interfaces of a container share an iptables chain: `others` are the addresses (CIDR) that
    its other interfaces have, and whose rules stay.
    """
    _remove_nft(lambda comment: comment.startswith(_hashes(owner)))
    for family in _COMMANDS:
        if _iptables_has(family, _chain(owner)):
            _remove_iptables(family, owner, others)


def keep_only(network: str, valid: Collection[tuple[str, str]]) -> None:
    """Remove the network's rules whose (container, interface) is not in `valid`."""
    kept = {_hashes(Owner(network, container, ifname)) for container, ifname in valid}
    prefix = _hash(network)
    _remove_nft(lambda comment: comment.startswith(prefix) and comment[:33] not in kept)
    containers = {container for container, _ in valid}
    for family in _COMMANDS:
        if not _iptables_has(family):
            continue
        for container in _iptables_containers(family, network) - containers:
            _remove_iptables(family, Owner(network, container, ""), ())


def is_set(owner: Owner, addresses: Collection[str], backend: str) -> bool:
    """Whether there is a rule for each of the addresses; without a backend, in any of the two."""
    if backend != "iptables":
        found = [r for r in _nft_rules() if r.get("comment", "").startswith(_hashes(owner))]
        if len(found) == len(addresses):
            return True
    if backend == "nftables" or not (backend or _iptables_has_chain(owner)):
        return False
    present = {each: set(_iptables_rules(each)) for each in set(map(_command, addresses))}
    return all(
        present[_command(each)].issuperset([_jump(owner, each), *_body(owner, each)])
        for each in addresses
    )


def unavailable(backend: str) -> str:
    """Why the backend, or without one both, cannot be used; empty when it can."""
    reasons = []
    for each in (backend,) if backend else BACKENDS:
        try:
            if each == "iptables":
                _iptables_rules("iptables")
            else:
                nft.probe()
        except OSError as error:
            reasons.append(f"{each}: {error.strerror}")
        else:
            return ""
    return ", ".join(reasons)


# nftables


def _hash(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest()[:16]


def _hashes(owner: Owner) -> str:
    return f"{_hash(owner.network)}-{_hash(f'{owner.ifname}:{owner.container}')}"


def _ensure_nft(owner: Owner, addresses: Iterable[str]) -> None:
    network, container, ifname = owner
    comment = nft.quoted(f"{_hashes(owner)}, net: {network}, if: {ifname}, id: {container}")
    interfaces = [ipaddress.ip_interface(each) for each in addresses]
    made = [
        f'add table {_TABLE} {{ comment "{_TABLE_COMMENT}"; }}',
        f'add chain {_TABLE} masq_checks {{ comment "{_CHAIN_COMMENT}"; }}',
        f"add chain {_TABLE} postrouting {{ type nat hook postrouting priority 100; }}",
        f"flush chain {_TABLE} postrouting",
        f"add rule {_TABLE} postrouting ip daddr == 224.0.0.0/4 return",
        f"add rule {_TABLE} postrouting ip6 daddr == ff00::/8 return",
        f"add rule {_TABLE} postrouting goto masq_checks",
    ]
    for each in interfaces:
        family = "ip" if each.version == 4 else "ip6"
        made.append(
            f"add rule {_TABLE} masq_checks {family} saddr == {each.ip}"
            f" {family} daddr != {each.network} masquerade comment {comment}"
        )
    what = f"masquerade {' '.join(map(str, interfaces))}"
    older = _hashes(owner)
    nft.apply_listed(lambda: [*_nft_gone(lambda text: text.startswith(older)), *made], what)


def _remove_nft(matches: Callable[[str], bool]) -> None:
    nft.apply_listed(lambda: _nft_gone(matches), "remove masquerading")


def _nft_gone(matches: Callable[[str], bool]) -> list[str]:
    return [
        f"delete rule {_TABLE} masq_checks handle {rule['handle']}"
        for rule in _nft_rules()
        if matches(rule.get("comment", ""))
    ]


def _nft_rules() -> list[dict[str, str]]:
    return nft.rules(_TABLE, "masq_checks")


# iptables


def _chain(owner: Owner) -> str:
    digest = hashlib.sha512(f"{owner.network}{owner.container}".encode()).hexdigest()
    return f"CNI-{digest[:24]}"


def _command(address: str) -> str:
    return "ip6tables" if ":" in address else "iptables"


def _comment(owner: Owner) -> str:
    text = f'name: "{owner.network}" id: "{owner.container}"'
    return '"' + (text if len(text) <= 255 else text[:252] + "...").replace('"', '\\"') + '"'


def _jump(owner: Owner, address: str) -> str:
    interface = ipaddress.ip_interface(address)
    host = f"{interface.ip}/{interface.max_prefixlen}"
    comment = f"-m comment --comment {_comment(owner)}"
    return f"-A POSTROUTING -s {host} {comment} -j {_chain(owner)}"


def _body(owner: Owner, address: str) -> list[str]:
    interface = ipaddress.ip_interface(address)
    multicast = "224.0.0.0/4" if interface.version == 4 else "ff00::/8"
    comment = f"-m comment --comment {_comment(owner)}"
    return [
        f"-A {_chain(owner)} -d {interface.network} {comment} -j ACCEPT",
        f"-A {_chain(owner)} ! -d {multicast} {comment} -j MASQUERADE",
    ]


def _ensure_iptables(owner: Owner, addresses: Iterable[str]) -> None:
    for command in ("iptables", "ip6tables"):
        own = [each for each in addresses if _command(each) == command]
        if not own:
            continue
        present = _iptables_rules(command)
        wanted = [line for each in own for line in (*_body(owner, each), _jump(owner, each))]
        # the masquerade must stay behind every accepted subnet of the chain
        old = [line for line in present if line.startswith(f"-A {_chain(owner)} ")]
        body = dict.fromkeys(line for line in (*old, *wanted) if f"-A {_chain(owner)} " in line)
        jumps = [line for line in wanted if "-A POSTROUTING " in line and line not in present]
        ordered = sorted(body, key=lambda line: line.endswith("MASQUERADE"))
        _restore(command, [f":{_chain(owner)} - [0:0]", *ordered, *jumps])


def _remove_iptables(family: str, owner: Owner, others: Collection[str]) -> None:
    chain = _chain(owner)
    present = _removable_rules(family)
    jumps = [line for line in present if line.endswith(f" -j {chain}")]
    kept = {_jump(owner, each) for each in others}
    gone = [line for line in jumps if line not in kept]
    lines = [line.replace("-A", "-D", 1) for line in gone]
    if len(gone) == len(jumps):
        lines += [f"-F {chain}", f"-X {chain}"]
    if f"-N {chain}" in present:
        _restore(_COMMANDS[family], lines)


def _removable_rules(family: str) -> list[str]:
    """The rules that iptables knows: none in a table that it cannot read, as it made none there.

    It was asked because of a legacy table, which is of another iptables then.
    """
    try:
        return _iptables_rules(_COMMANDS[family])
    except OSError as error:
        if not (_has_legacy_table(family) and "incompatible" in (error.strerror or "")):
            raise
        log.warning("iptables cannot read the nat table", reason=error)
        return []


def _iptables_containers(family: str, network: str) -> set[str]:
    """The containers that have a chain for this network, read from the comments."""
    marker = f'--comment "name: \\"{network}\\" id: \\"'
    return {
        line.split(marker, 1)[1].split('\\"', 1)[0]
        for line in _removable_rules(family)
        if line.startswith("-A POSTROUTING ") and marker in line
    }


def _iptables_has_chain(owner: Owner) -> bool:
    return any(_iptables_has(family, _chain(owner)) for family in _COMMANDS)


def _iptables_has(family: str, chain: str = "") -> bool:
    """Whether the nat table may hold `chain`, or without one any chain of CNI's.

    iptables itself, which is slow, is not started for it.
    """
    if nft.find_tool(_COMMANDS[family]) is None:
        return False  # who made any of the rules has it
    if _has_legacy_table(family):
        return True
    try:
        rules = nft.known_rules(f"{family} nat", chain or "POSTROUTING")
    except OSError as error:
        if error.errno in nft.UNUSABLE:  # iptables itself may be able to
            return True
        raise
    return bool(rules) if chain else any(map(_jumps_to_cni, rules))


def _has_legacy_table(family: str) -> bool:
    """Whether some legacy iptables, be it in a container, has made a nat table."""
    try:
        with open(f"/proc/net/{family}_tables_names") as names:
            return "nat\n" in names.readlines()
    except OSError:
        return False  # no legacy iptables in this kernel


def _jumps_to_cni(rule: dict[str, Any]) -> bool:
    return any(
        str(each["jump"].get("target", "")).startswith("CNI-")
        for each in rule.get("expr", ())
        if isinstance(each.get("jump"), dict)
    )


def _iptables_rules(command: str) -> list[str]:
    return _iptables([command, "--wait", "60", "-t", "nat", "-S"], b"").splitlines()


def _restore(command: str, lines: list[str]) -> None:
    """One transaction, as one process; `--wait` bounds what a stuck lock can cost, in seconds."""
    text = "\n".join(["*nat", *lines, "COMMIT", ""])
    _iptables([f"{command}-restore", "--noflush", "--wait", "60"], text.encode())


def _iptables(argv: list[str], stdin: bytes) -> str:
    executable = nft.find_tool(argv[0])
    if executable is None:
        error = OSError(errno.ENOENT, "executable not found")
        error.add_note(f"run {argv[0]}")
        raise error
    done = spawn.run([executable, *argv[1:]], os.environ, stdin, timeout=70)
    if done.status:
        complaint = done.stderr.decode(errors="replace").strip()[:500]
        error = OSError(errno.EINVAL, complaint or f"exit status {done.status}")
        error.add_note(f"run {' '.join(argv)}")
        raise error
    return done.stdout.decode(errors="replace")
