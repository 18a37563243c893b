"""What an address costs when many are taken: ours beside Go's host-local, one ADD and one DEL.

Whole processes of the executables, and ours of the source tree in this process, where neither a
start nor an import is counted: the store, the protocol around it, and the fsyncs.
"""

from __future__ import annotations

import io
import ipaddress
import json
import time
from typing import TYPE_CHECKING, NamedTuple

from cni.core import skel
from cni.core.types import Attachment
from ipam.bounds import RangeText, read
from ipam.stores import Ask, Owner
from ipam.stores.file import FileStore
from tests.bench import clock
from tests.bench.clock import Sample
from tests.conformance.node import GO, OURS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conformance.kernel import Json

VERBS = ("ADD", "DEL")
_CIDR, _CIDR6 = "10.0.0.0/8", "fd00::/64"
_CONTAINERS = 250  #: of the leases that are there before: each has as many interfaces as it takes


class Filled(NamedTuple):
    """A range, and how many of its addresses are leased."""

    leases: int
    cidr: str = _CIDR

    def __str__(self) -> str:
        of_six = " of a /64" if self.cidr == _CIDR6 else ""
        return f"{self.leases:,} leases{of_six}"


FEW = (Filled(0), Filled(10_000))
ALL = (Filled(0), Filled(1_000), Filled(10_000), Filled(100_000), Filled(10_000, _CIDR6))


class Whereabouts:
    """Our store with leases."""

    def __init__(self, directory: Path, filled: Filled) -> None:
        self.environ = {"PLAIT_STATE_DIR": str(directory), "CNI_PATH": "/nonexistent"}
        self.conf: Json = {"type": "whereabouts", "range": filled.cidr}
        store, pool = FileStore(str(directory)), read(RangeText("bench", filled.cidr))
        for container in range(_CONTAINERS if filled.leases else 0):
            owner = Owner(Attachment("bench", f"other{container}", "eth0"))
            store.lease(owner, [Ask(pool)] * (filled.leases // _CONTAINERS))


class HostLocal:
    """A directory of one file for each address, as Go's would have written them."""

    def __init__(self, directory: Path, filled: Filled) -> None:
        self.environ = {"CNI_PATH": "/nonexistent"}
        ranges = [[{"subnet": filled.cidr}]]
        self.conf: Json = {"type": "host-local", "ranges": ranges, "dataDir": str(directory)}
        network = directory / "bench"
        network.mkdir(parents=True)
        first = ipaddress.ip_network(filled.cidr).network_address + 2
        for number in range(filled.leases):
            (network / str(first + number)).write_text(f"other{number}\r\neth0")
        # it goes on from here, and need not try what is taken
        (network / "last_reserved_ip.0").write_text(str(first + filled.leases))


def measure(
    directory: Path, cases: tuple[Filled, ...], rounds: int
) -> dict[str, dict[str, dict[str, list[Sample]]]]:
    """Samples by subject, case, verb."""

    subjects: dict[str, Callable[[Filled, Path], Callable[[str], Sample]]] = {
        "whereabouts, in process": lambda case, at: _in_process(Whereabouts(at, case)),
        "whereabouts, whole process": lambda case, at: _whole(
            OURS / "whereabouts", Whereabouts(at, case)
        ),
        "host-local, in process": lambda case, at: _in_process(HostLocal(at, case)),
        "host-local, whole process": lambda case, at: _whole(
            OURS / "host-local", HostLocal(at, case)
        ),
        "Go host-local, whole process": lambda case, at: _whole(
            GO / "host-local", HostLocal(at, case)
        ),
    }
    found: dict[str, dict[str, dict[str, list[Sample]]]] = {name: {} for name in subjects}
    for index, case in enumerate(cases):
        ready = {
            name: prepare(case, directory / f"{index}-{number}")
            for number, (name, prepare) in enumerate(subjects.items())
        }
        for name in subjects:
            found[name][str(case)] = {verb: [] for verb in VERBS}
        for number in range(-2, rounds):
            for name, call in ready.items():
                for verb in VERBS:
                    sample = call(verb)
                    if number >= 0:
                        found[name][str(case)][verb].append(sample)
    return found


def _call(verb: str, environ: dict[str, str], ipam: Json) -> tuple[dict[str, str], bytes]:
    attachment = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": "bench",
        "CNI_NETNS": "/nonexistent/netns",
        "CNI_IFNAME": "eth0",
    }
    conf = {"cniVersion": "1.0.0", "name": "bench", "type": ipam["type"], "ipam": ipam}
    return {**environ, **attachment}, json.dumps(conf).encode()


def _whole(executable: Path, store: Whereabouts | HostLocal) -> Callable[[str], Sample]:
    def call(verb: str) -> Sample:
        environ, stdin = _call(verb, store.environ, store.conf)
        return clock.run([executable], environ, stdin)

    return call


def _in_process(store: Whereabouts | HostLocal) -> Callable[[str], Sample]:
    def call(verb: str) -> Sample:
        environ, stdin = _call(verb, store.environ, store.conf)
        stdout = io.BytesIO()
        started, cpu = time.perf_counter(), time.process_time()
        status = skel.main(store.conf["type"], environ, io.BytesIO(stdin), stdout, io.BytesIO())
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        if status:
            raise RuntimeError(stdout.getvalue().decode())
        return Sample(wall * 1000, cpu * 1000)

    return call
