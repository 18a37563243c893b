"""The token of etcd's user, which one call of a node leaves to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni.core.errors import Code
from ipam.stores import Ask
from ipam.stores.etcd_gateway import EtcdSettings, Gateway
from tests.unit.ipam.etcd_cluster import Cluster, code_of
from tests.unit.ipam.etcd_proxy import Proxy
from tests.unit.ipam.etcd_server import EtcdServer
from tests.unit.ipam.store_world import NET, lease, leased

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipam.stores.etcd import EtcdStore

PREFIX = "/mine/"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path, token_ttl=3600)
    server.start()
    server.enable_authentication("plait", "a secret", PREFIX)
    yield server
    server.kill()


class Node:
    """Each store is that of another process."""

    def __init__(self, etcd: EtcdServer, proxy: Proxy, directory: Path) -> None:
        self._cluster = Cluster(etcd, directory)
        self._cluster.prefix = PREFIX
        self._proxy = proxy
        self.run = directory / "run"

    def store(self, user: str = "plait", password: str = "a secret") -> EtcdStore:
        return self._cluster.store(
            url=self._proxy.url, user=user, password=password, token_dir=str(self.run)
        )

    @property
    def logins(self) -> int:
        """How often a token was asked for since this was asked."""
        found = sum(b"/v3/auth/authenticate" in each for each in self._proxy.requests)
        self._proxy.requests.clear()
        return found


@pytest.fixture
def node(etcd: EtcdServer, tmp_path: Path) -> Iterator[Node]:
    proxy = Proxy(etcd.port)
    yield Node(etcd, proxy, tmp_path)
    proxy.close()


def test_the_next_call_has_it(node: Node) -> None:
    lease(node.store(), "c1", Ask(NET))
    assert node.logins == 1
    for number in range(2, 5):
        lease(node.store(), f"c{number}", Ask(NET))
    assert node.logins == 0
    (file,) = node.run.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert node.run.stat().st_mode & 0o777 == 0o700
    assert b"secret" not in file.read_bytes()
    assert "plait" not in file.name


def test_one_that_is_invalid(node: Node, etcd: EtcdServer) -> None:
    lease(node.store(), "c1", Ask(NET))
    assert node.logins == 1
    (file,) = node.run.iterdir()
    for content in (b"", b"\xff", b"two words", b"a\r\nb", b"guess.12"):
        file.write_bytes(content)
        lease(node.store(), "c1", Ask(NET))
        assert node.logins == 1, content
    lease(node.store(), "c2", Ask(NET))
    assert node.logins == 0
    assert len(leased(node.store())) == 2


def test_another_password(node: Node, etcd: EtcdServer) -> None:
    lease(node.store(), "c1", Ask(NET))
    root = Gateway(EtcdSettings((etcd.url,), "root", "secret"))
    root.read("/v3/auth/user/changepw", {"name": "plait", "password": "another"})
    assert code_of(lambda: lease(node.store(), "c2", Ask(NET))) == Code.INVALID_CONFIG
    assert node.logins == 2
    lease(node.store(password="another"), "c2", Ask(NET))
    lease(node.store(password="another"), "c3", Ask(NET))
    assert node.logins == 1
    assert len(leased(node.store())) == 3


def test_each_user_has_one(node: Node) -> None:
    lease(node.store(), "c1", Ask(NET))
    lease(node.store("root", "secret"), "c2", Ask(NET))
    assert node.logins == 2
    lease(node.store(), "c1", Ask(NET))
    lease(node.store("root", "secret"), "c2", Ask(NET))
    assert node.logins == 0
    assert len(list(node.run.iterdir())) == 2


def test_a_file_that_cannot_be(node: Node) -> None:
    node.run.write_text("no directory")
    for number in (1, 2):
        lease(node.store(), f"c{number}", Ask(NET))
    assert node.logins == 2
