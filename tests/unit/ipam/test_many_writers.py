"""64 writers, 20,000 allocations and releases, random SIGKILLs: no duplicate, and no leak after GC.

PLAIT_WRITES sets how many allocations and releases there are in all, and then the file store is on
the disk of the test's directory; so many to a cluster's store take longer than a test may: run them
with --timeout=0. PLAIT_SEED repeats the choices of an earlier run, not its timing.
"""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cni.core import syncing
from cni.kube import access
from cni.kube.client import Client
from ipam.stores.etcd import EtcdStore
from ipam.stores.etcd_gateway import EtcdSettings
from ipam.stores.etcd_gateway import Limits as EtcdLimits
from ipam.stores.file import FileStore
from ipam.stores.journal import Journal
from ipam.stores.kubernetes import KubernetesStore
from tests.apiserver.server import ApiServer
from tests.unit.ipam import ledger_state
from tests.unit.ipam.etcd_server import EtcdServer
from tests.unit.ipam.many_writers import Size, collect, forked, rush
from tests.unit.ipam.pools import LIMITS, NAMESPACE, RESERVATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from ipam.stores import Store

WRITES = int(os.environ.get("PLAIT_WRITES") or 0)


class Served:
    """The test API server in a process of its own, so that none is forked off its threads."""

    def __init__(self, directory: Path) -> None:
        self._told, telling = os.pipe()
        asked, self._asking = os.pipe()
        self._pid = forked(lambda: self._serve(directory, asked, telling), directory / "server")
        os.close(asked)
        os.close(telling)
        self._hear()

    def settle(self) -> None:
        """What killed clients have asked for is done, or never will be."""
        os.write(self._asking, b"x")
        self._hear()

    def end(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._told)
        os.close(self._asking)

    def _hear(self) -> None:
        assert os.read(self._told, 1) == b"x", "the API server has ended"

    def _serve(self, directory: Path, asked: int, telling: int) -> None:
        os.close(self._told)
        os.close(self._asking)
        with ApiServer(directory) as api:
            api.kubeconfig(directory / "kubeconfig", form="json")
            os.write(telling, b"x")
            while os.read(asked, 1):
                api.stop()
                api.start()
                os.write(telling, b"x")


def test_file(tmp_path: Path) -> None:
    size = Size(writers=64, writes=WRITES or 1_500, kills=(WRITES or 1_500) // 200)
    # a killed process leaves the same on any disk, and on this one an fsync costs nothing
    memory = None if WRITES or not os.access("/dev/shm", os.W_OK) else "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory) as directory:

        @contextmanager
        def open_store(node: str) -> Iterator[Store]:
            yield FileStore(directory, is_synced_later=True)  # as plugins do
            syncing.wait()

        outcome = rush(size, tmp_path, open_store)
        database = Path(directory, "plait", "leases.db")
        ledger_state.check(database)
        collect(size, outcome, open_store)
        ledger_state.check(database)


def test_etcd(tmp_path: Path) -> None:
    size = Size(writers=16, writes=500, kills=6, nodes=4)
    if WRITES:
        size = Size(writers=64, writes=WRITES, kills=WRITES // 200, nodes=4)
    server = EtcdServer(tmp_path)

    @contextmanager
    def open_store(node: str) -> Iterator[Store]:
        settings = EtcdSettings((server.url,), node=node)
        yield EtcdStore(settings, str(tmp_path / node), EtcdLimits(30, 30, 60))

    server.start()
    try:
        outcome = rush(size, tmp_path, open_store)
        collect(size, outcome, open_store)
        # what is left tells of no address
        names = {key.partition("/")[0] for key in server.keys("/plait/")}
        assert names <= {"format", "fence"}, names
    finally:
        server.kill()


def test_kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = Size(writers=16, writes=300, kills=5, nodes=4)
    if WRITES:
        size = Size(writers=64, writes=WRITES, kills=WRITES // 200, nodes=4)

    def client() -> Client:
        return Client(partial(access.from_kubeconfig, str(tmp_path / "kubeconfig")), LIMITS)

    def journal(node: str) -> Journal:
        return Journal(str(tmp_path / node), f"kubernetes/{NAMESPACE}")

    @contextmanager
    def open_store(node: str) -> Iterator[KubernetesStore]:
        with closing(client()) as asking:
            yield KubernetesStore(asking, NAMESPACE, journal(node), node)

    server = Served(tmp_path)
    try:
        outcome = rush(size, tmp_path, open_store)
        server.settle()
        # from now on nobody doubts what became of a dead client's request
        monkeypatch.setattr("ipam.stores.kubernetes._DOUBT", 0)
        collect(size, outcome, open_store)
        with open_store("node0") as store:
            assert store.holds() == []
        journals = [
            Journal(str(tmp_path / f"node{n}"), f"kubernetes/{NAMESPACE}") for n in range(4)
        ]
        assert [journal.every() for journal in journals] == [[]] * size.nodes
        load = partial(access.from_kubeconfig, str(tmp_path / "kubeconfig"))
        assert Client(load, LIMITS).items(RESERVATIONS)[0] == []
    finally:
        server.end()
