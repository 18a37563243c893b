"""bridge and whereabouts over the stores that nodes share: one ADD and DEL, and twenty at once.

The API server is that of the tests, the etcd Debian's, each in a process of its own on this machine
and without a disk. What the original takes was measured on another one, with a real API server.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from cni.core.types import Attachment
from cni.kube import access
from cni.kube.client import Client
from ipam.bounds import RangeText, read
from ipam.stores import Ask, Owner
from ipam.stores.etcd import EtcdStore
from ipam.stores.etcd_gateway import EtcdSettings
from ipam.stores.etcd_gateway import Limits as EtcdLimits
from ipam.stores.journal import Journal
from ipam.stores.kubernetes import KubernetesStore
from tests.bench import burst, cluster
from tests.bench.clock import Sample
from tests.bench.cluster import Link
from tests.unit.ipam.etcd_server import CACHE, EtcdServer
from tests.unit.ipam.pools import NAMESPACE, POOLS, RESERVATIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.burst import Burst
    from tests.conformance.kernel import Json
    from tests.conformance.node import Node

VERBS = ("ADD", "DEL")
AT_ONCE = 20
MANY = 2_000  #: entries of a pool object
MANY_KEYS = 10_000  #: leases in etcd
ORPHANS = 5
_PARTS = 20  #: asks of one call that fills etcd
_API = "whereabouts.cni.cncf.io/v1alpha1"


class Row(NamedTuple):
    """One call at a time, or all at once: then each sample is one of them."""

    work: str
    verb: str
    samples: list[Sample]
    wall: float = 0.0  #: milliseconds until the last has ended; 0: one at a time
    calls: str = ""  #: of the server, for one or for all at once
    original: str = ""


def kubernetes(node: Node, rounds: int) -> list[Row]:
    """Whole processes, on one node, at pools of a test API server."""
    with cluster._server(node) as kubeconfig, Link(kubeconfig) as link:
        side = _Kubernetes(node, kubeconfig, link)
        rows = []
        for number, count, original in (
            (1, 0, ("43.1", "53.9")),
            (2, MANY, ("411.6", "442.6")),
        ):
            side.fill(number, count)
            rows += side.single(f"kubernetes, pool of {count:,}", number, rounds, original)
        rows += side.orphans(3, rounds)
        for number, count, original in (
            (4, 0, ("1027, max 2196", "998, max 2966")),
            (2, MANY, ("5663, max 12105", "4690, max 12504")),
        ):
            work = f"kubernetes, {AT_ONCE} at once, pool of {count:,}"
            rows += side.crowd(work, number, original)
        work = f"kubernetes, {AT_ONCE} at once, pool of 0, the store alone"
        rows.append(Row(work, "ADD", *_forked_crowd(kubeconfig, node.root), side.count()))
        return rows


def etcd(node: Node, rounds: int) -> list[Row]:
    """Whole processes; none where there is no etcd."""
    if not (shutil.which("etcd") or shutil.which("etcd", path=CACHE)):
        return []
    directory = node.root / "etcd"
    directory.mkdir()
    server = EtcdServer(directory)
    server.start()
    try:
        rows = []
        for number, count in ((5, 0), (6, MANY_KEYS)):
            ipam = _ipam(number, datastore="etcd", etcd_host=server.url)
            _fill_etcd(server.url, directory, ipam["range"], count)
            work = f"etcd, {count:,} leases"
            rows += _single(node, work, _conf(number, ipam), rounds, lambda: "")
            rows += _crowd(node, f"etcd, {AT_ONCE} at once, {count:,} leases", _conf(number, ipam))
        return rows
    finally:
        server.kill()


class _Kubernetes:
    """Networks of one kubeconfig, and the objects that they find."""

    def __init__(self, node: Node, kubeconfig: Path, link: Link) -> None:
        self._node = node
        self._kubeconfig = kubeconfig
        self._link = link

    def fill(self, number: int, count: int) -> None:
        """A pool of so many entries, as the original writes them."""
        entries = {
            str(each): {
                "id": f"{each:064x}",
                "podref": f"default/another-of-many-pods-{each:06}",
                "ifname": "eth0",
            }
            for each in range(2, count + 2)
        }
        spec = {"range": f"10.{number}.0.0/16", "allocations": entries}
        self._post(POOLS, "IPPool", f"10.{number}.0.0-16", spec)

    def single(
        self, work: str, number: int, rounds: int, original: tuple[str, str] = ("", "")
    ) -> list[Row]:
        rows = _single(self._node, work, self._conf(number), rounds, self.count)
        return [row._replace(original=said) for row, said in zip(rows, original, strict=True)]

    def orphans(self, number: int, rounds: int) -> list[Row]:
        """Reservations of the lowest addresses that no pool knows of: nobody takes them away."""
        first = ip_address(f"10.{number}.0.2")
        for each in range(ORPHANS):
            spec = {"podref": "default/gone", "ifname": "eth0"}
            self._post(RESERVATIONS, "OverlappingRangeIPReservation", str(first + each), spec)
        work = f"kubernetes, {ORPHANS} orphan reservations in the way"
        return self.single(work, number, rounds, ("1030.0", "45.3"))

    def crowd(self, work: str, number: int, original: tuple[str, str]) -> list[Row]:
        self._link.ask("DELETE", "/debug/requests")
        rows = _crowd(self._node, work, self._conf(number), self.count)
        return [row._replace(original=said) for row, said in zip(rows, original, strict=True)]

    def count(self) -> str:
        """What was asked since the last time."""
        seen = self._link.ask("GET", "/debug/requests")["requests"]
        self._link.ask("DELETE", "/debug/requests")
        methods = Counter(each["method"] for each in seen if "/debug/" not in each["path"])
        return " ".join(f"{count} {method}" for method, count in sorted(methods.items()))

    def _conf(self, number: int) -> Json:
        return _conf(number, _ipam(number, kubernetes={"kubeconfig": str(self._kubeconfig)}))

    def _post(self, path: str, kind: str, name: str, spec: Json) -> None:
        body = {"apiVersion": _API, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self._link.ask("POST", path, body)


def _single(node: Node, work: str, conf: Json, rounds: int, count: Callable[[], str]) -> list[Row]:
    """Two rounds before the first are not counted; of the calls the last round's are."""
    pod = node.pod("stores")
    samples: dict[str, list[Sample]] = {verb: [] for verb in VERBS}
    calls = {}
    for number in range(-2, rounds):
        for verb in VERBS:
            count()
            sample = burst.caller(node, verb, conf, pod)()
            calls[verb] = count()
            if number >= 0:
                samples[verb].append(sample)
    return [Row(work, verb, samples[verb], calls=calls[verb]) for verb in VERBS]


def _crowd(node: Node, work: str, conf: Json, count: Callable[[], str] = str) -> list[Row]:
    """The last of three times; until then the bridge is made, and what is cold is warm."""
    rows: list[Row] = []
    pods = [node.pod("stores") for _ in range(AT_ONCE)]
    for _ in range(3):
        rows = []
        for verb in VERBS:
            calls = [burst.caller(node, verb, conf, pod) for pod in pods]
            count()
            made: Burst = burst.run(calls, AT_ONCE)
            rows.append(Row(work, verb, list(made.samples), made.seconds * 1000, count()))
    return rows


def _forked_crowd(kubeconfig: Path, directory: Path) -> tuple[list[Sample], float]:
    """Calls of the store by processes that are ready: no start, no import, no bridge."""
    load = partial(access.from_kubeconfig, str(kubeconfig))
    Client(load).close()  # imports what it needs
    pool = read(RangeText("bench", "10.7.0.0/16"))
    blocked, go = os.pipe()
    ready, told = os.pipe()
    pids = []
    for number in range(AT_ONCE):
        pids.append(os.fork())
        if pids[-1] == 0:
            status = 1
            try:
                os.close(go)
                os.write(told, b"x")
                os.read(blocked, 1)
                owner = Owner(Attachment("bench", f"crowd{number}", "eth0"))
                journal = Journal(str(directory / "crowd"), f"kubernetes/{NAMESPACE}")
                KubernetesStore(Client(load), NAMESPACE, journal, "node").lease(owner, [Ask(pool)])
                status = 0
            finally:
                os._exit(status)
    for _ in pids:
        os.read(ready, 1)
    samples = []
    os.close(go)
    started = time.perf_counter()
    for pid in pids:
        _, status, usage = os.wait4(pid, 0)
        wall = (time.perf_counter() - started) * 1000
        if status:
            raise RuntimeError("an ADD has failed")
        samples.append(Sample(wall, (usage.ru_utime + usage.ru_stime) * 1000))
    for fd in (blocked, ready, told):
        os.close(fd)
    return samples, samples[-1].wall


def _fill_etcd(url: str, directory: Path, cidr: str, count: int) -> None:
    limits = EtcdLimits(30, 30, 600)
    store = EtcdStore(EtcdSettings((url,)), str(directory / "state"), limits)
    pool = read(RangeText("bench", cidr))
    for number in range(count // _PARTS):
        owner = Owner(Attachment("bench", f"other{number}", "eth0"))
        store.lease(owner, [Ask(pool)] * _PARTS)


def _ipam(number: int, **where: object) -> Json:
    gateway = f"10.{number}.0.1"
    common = {"type": "whereabouts", "range": f"10.{number}.0.0/16", "gateway": gateway}
    return {**common, "exclude": [f"{gateway}/32"], **where}


def _conf(number: int, ipam: Json) -> Json:
    names = {"name": f"shared{number}", "bridge": f"shared{number}"}
    return {"cniVersion": "1.0.0", "type": "bridge", "isGateway": True, **names, "ipam": ipam}
