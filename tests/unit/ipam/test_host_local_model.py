"""host-local against a model that looks at every address, over random histories.

Others write into the directory meanwhile, as Go's does or as a crash leaves it, and the index is
taken away or put back as it was: whatever happened before, both must give the same addresses.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.ipam.host_local import Network, conf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.ipam.harness import Json

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

#: for each configuration its sets; a set is its subnets: first, last, gateway
SETS: list[list[list[tuple[str, str, str]]]] = [
    [[("10.0.0.1", "10.0.0.6", "10.0.0.1")]],
    [[("10.0.0.1", "10.0.0.6", "10.0.0.1"), ("10.0.0.9", "10.0.0.14", "10.0.0.9")]],
    [[("10.0.0.3", "10.0.0.5", "10.0.0.1")], [("fd00::1", "fd00::7", "fd00::1")]],
    [[("10.0.0.1", "10.0.0.6", "10.0.0.4")], [("10.0.0.9", "10.0.0.14", "10.0.0.9")]],
]


def _conf(sets: list[list[tuple[str, str, str]]]) -> Json:
    """All subnets are of 8 addresses."""
    out: list[Any] = []
    for subnets in sets:
        out.append([])
        for first, last, gateway in subnets:
            low = ipaddress.ip_address(first)
            network = ipaddress.ip_network(f"{low}/{low.max_prefixlen - 3}", strict=False)
            bounds = {"rangeStart": first, "rangeEnd": last, "gateway": gateway}
            out[-1].append({"subnet": str(network), **bounds})
    return conf(*out)


def _every(subnets: list[tuple[str, str, str]]) -> list[str]:
    """The addresses of a set in order, the gateways too."""
    found: list[str] = []
    for first, last, _ in subnets:
        low = ipaddress.ip_address(first)
        found += [str(low + i) for i in range(int(ipaddress.ip_address(last)) - int(low) + 1)]
    return found


ADDRESSES = sorted({each for sets in SETS for subnets in sets for each in _every(subnets)})

confs = st.integers(0, len(SETS) - 1)
owners = st.tuples(st.sampled_from(["c1", "c2", "c3", "c4"]), st.sampled_from(["eth0", "net1"]))
addresses = st.sampled_from(ADDRESSES)


class Model:
    """Files by name, and the turn of each set."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.last: dict[int, str] = {}

    def add(self, owner: str, number: int, wanted: list[str]) -> list[str] | None:
        """The addresses, or None, and then only the turns have moved."""
        before = dict(self.files)
        held = self.held(owner)
        left = list(dict.fromkeys(wanted))
        asks = []
        for subnets in SETS[number]:
            ask = next((each for each in left if each in _every(subnets)), "")
            if ask:
                left.remove(ask)
            if ask in [gateway for _, _, gateway in subnets]:
                return None
            asks.append(ask)
        if left:
            return None
        given = []
        for i, subnets in enumerate(SETS[number]):
            found = self._one(i, subnets, asks[i], held)
            if found is None:
                self.files = before
                return None
            if found not in held:
                self.files[found] = owner
                self.last[i] = found
            given.append(found)
        return given

    def _one(
        self, number: int, subnets: list[tuple[str, str, str]], ask: str, held: set[str]
    ) -> str | None:
        gateways = {gateway for _, _, gateway in subnets}
        usable = [each for each in _every(subnets) if each not in gateways]
        mine = held & set(usable)
        if ask:
            return ask if ask in mine or ask not in self.files else None
        if mine:
            return next(each for each in usable if each in mine)
        return next((each for each in self._turn(number, subnets) if each not in self.files), None)

    def _turn(self, number: int, subnets: list[tuple[str, str, str]]) -> Iterator[str]:
        every = _every(subnets)
        last = self.last.get(number)
        at = every.index(last) + 1 if last in every else 0
        gateways = {gateway for _, _, gateway in subnets}
        return (each for each in every[at:] + every[:at] if each not in gateways)

    def held(self, owner: str) -> set[str]:
        return {address for address, each in self.files.items() if each == owner}

    def delete(self, container: str, ifname: str) -> None:
        mine = self.held(f"{container}\r\n{ifname}") or self.held(container)
        for address in mine:
            del self.files[address]

    def collect(self, valid: set[tuple[str, str]]) -> None:
        kept = {f"{container}\r\n{ifname}" for container, ifname in valid}
        kept |= {container for container, _ in valid}
        self.files = {k: v for k, v in self.files.items() if v in kept}


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.net = Network(Path(self.directory.name))
        self.model = Model()
        self.old_index = b""
        self.past = 10**18  #: nanoseconds since 1970

    def teardown(self) -> None:
        self.directory.cleanup()

    @rule(owner=owners, number=confs, wanted=st.lists(addresses, max_size=2) | st.just([]))
    def add(self, owner: tuple[str, str], number: int, wanted: list[str]) -> None:
        name = "\r\n".join(owner)
        held = self.model.held(name)
        expected = self.model.add(name, number, wanted)
        reply = self.net.call(
            "ADD", _conf(SETS[number]), owner[0], owner[1], runtimeConfig={"ips": wanted}
        )
        if expected is None:
            assert reply.status == 1, reply
            return
        given = [ip.partition("/")[0] for ip in reply.ips()]
        if given != expected:  # of several that it has in one set, any will do
            assert all(a == b or {a, b} <= held for a, b in zip(given, expected, strict=True))

    @rule(owner=owners)
    def delete(self, owner: tuple[str, str]) -> None:
        self.model.delete(*owner)
        self.net.delete(_conf(SETS[0]), owner[0], ifname=owner[1])

    @rule(valid=st.sets(owners))
    def collect(self, valid: set[tuple[str, str]]) -> None:
        self.model.collect(valid)
        told = [{"containerID": each[0], "ifname": each[1]} for each in valid]
        key: dict[str, Any] = {"cni.dev/valid-attachments": told}
        self.net.call("GC", _conf(SETS[0]), cniVersion="1.1.0", **key).ok()

    @rule(owner=owners, address=addresses, legacy=st.booleans())
    def others_lease(self, owner: tuple[str, str], address: str, legacy: bool) -> None:
        if address not in self.model.files:
            text = owner[0] if legacy else "\r\n".join(owner)
            self.model.files[address] = text
            self.net.write(address, text)

    @rule(address=addresses)
    def others_release(self, address: str) -> None:
        if self.model.files.pop(address, None):
            (self.net.files / address).unlink()

    @rule(address=addresses, text=st.sampled_from(["", "\0\0\0", "\r\n"]))
    def others_crash(self, address: str, text: str) -> None:
        if address not in self.model.files:
            self.net.write(address, text)

    @rule()
    def an_index_is_kept(self) -> None:
        if self.net.index.exists():
            self.old_index = self.net.index.read_bytes()

    @rule()
    def the_old_index_is_back(self) -> None:
        self.net.index.parent.mkdir(parents=True, exist_ok=True)
        self.net.index.write_bytes(self.old_index)

    @rule()
    def the_index_is_gone(self) -> None:
        self.net.index.unlink(missing_ok=True)

    @rule()
    def the_clock_goes_back(self) -> None:
        """What the kernel stamps on the directory may be older than what was there."""
        self.past += 1_000_000
        if self.net.files.exists():
            os.utime(self.net.files, ns=(0, self.past))

    @invariant()
    def the_files_are_those_of_the_model(self) -> None:
        owned = {k: v for k, v in self.net.leases().items() if v.strip("\0\r\n")}
        assert owned == self.model.files


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
