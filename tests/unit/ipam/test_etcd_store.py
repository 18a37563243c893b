"""What the etcd store keeps where; an etcd that is not there, and who we are to one."""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError, Code
from ipam.stores import Ask
from ipam.stores.etcd import EtcdStore
from ipam.stores.etcd_gateway import EtcdSettings
from tests.apiserver.certificates import make
from tests.unit.ipam.etcd_cluster import SHORT, Cluster, code_of
from tests.unit.ipam.etcd_fixtures import *  # noqa: F403
from tests.unit.ipam.etcd_proxy import REFUSE, Proxy
from tests.unit.ipam.etcd_server import EtcdServer, certificates
from tests.unit.ipam.store_model import compare_with_model
from tests.unit.ipam.store_world import NET, NET6, SMALL, lease, leased, owner, pool, release
from tests.unit.kube.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class TestKeys:
    def test_nothing_remains(self, cluster: Cluster) -> None:
        store = cluster.store()
        lease(store, owner("c1", "web-0"), Ask(NET), Ask(NET6), Ask(SMALL, "blue", unique=False))
        assert len(cluster.remains()) == 3 * 3 + 1
        assert cluster.intents() == ["leased"]
        release(store, owner("c1", "web-0"))
        assert cluster.remains() == []
        assert cluster.intents() == []

    def test_an_index_goes_with_what_it_points_to(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, who = cluster.store(), owner("c1", "web-0")
        lease(store, who, Ask(SMALL, cooldown=10))
        release(store, who)
        assert sorted(each.split("/")[0] for each in cluster.remains()) == [
            "holder", "ip", "pool", "until",
        ]  # fmt: skip
        assert store.unreserve("", 4, SMALL.first)
        assert cluster.remains() == []

    def test_keys_of_another_version(self, cluster: Cluster, etcd: EtcdServer) -> None:
        store = cluster.store()
        lease(store, "c1", Ask(NET))
        etcd.put(f"{cluster.prefix}format", "2")
        for call in (lambda: lease(store, "c2", Ask(NET)), store.probe):
            with pytest.raises(CniError, match=r"another version.*format is 2") as caught:
                call()
            assert caught.value.code == Code.IO_FAILURE

    def test_what_others_wrote(self, cluster: Cluster, etcd: EtcdServer) -> None:
        store = cluster.store()
        lease(store, "c1", Ask(NET))
        (key,) = (each for each in cluster.remains() if each.startswith("ip/"))
        for value in ("", "x", "[]", '{"a": 1}', '{"a": {"kind": "x"}}', "[" * 5000):
            etcd.put(f"{cluster.prefix}{key}", value)
            assert code_of(store.every) == Code.IO_FAILURE
            assert code_of(lambda: lease(store, "c1", Ask(NET))) == Code.IO_FAILURE

    def test_a_big_pool_takes_few_requests(self, cluster: Cluster, proxy: Proxy) -> None:
        """Though it was filled in a way that leaves no marks."""
        many = pool("10.0.0.0/20")
        asks = [Ask(many, wanted=many.first + i) for i in range(25)]
        for start in range(0, 1000, 25):
            moved = [ask._replace(wanted=many.first + start + i) for i, ask in enumerate(asks)]
            cluster.store().lease(owner(f"full{start}"), moved)
        assert lease(cluster.store(url=proxy.url), "c1", Ask(many)) == ["10.0.3.233"]
        assert len(proxy.requests) <= 8
        release(cluster.store(), "full250")
        proxy.requests.clear()
        assert lease(cluster.store(url=proxy.url), "c2", Ask(many)) == ["10.0.0.251"]
        assert len(proxy.requests) <= 10

    def test_full_blocks_are_skipped(self, cluster: Cluster, proxy: Proxy) -> None:
        many = pool("10.0.0.0/20")
        for start in range(0, 100, 25):
            cluster.store().lease(owner(f"full{start}"), [Ask(many)] * 25)
        assert [each for each in cluster.remains() if each.startswith("full/")] == [
            "full//4/00500001", "full//4/00500002",
        ]  # fmt: skip
        assert lease(cluster.store(url=proxy.url), "c1", Ask(many)) == ["10.0.0.101"]
        assert len(proxy.requests) <= 5
        release(cluster.store(), "full25")
        assert [each for each in cluster.remains() if each.startswith("full/")] == [
            "full//4/00500002"
        ]
        given = cluster.store().lease(owner("again"), [Ask(many)] * 25)
        assert given == list(range(many.base + 26, many.base + 51))
        assert [each for each in cluster.remains() if each.startswith("full/")] == [
            "full//4/00500001", "full//4/00500002",
        ]  # fmt: skip

    def test_histories_with_small_blocks(
        self, etcd: EtcdServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("keys", "search", "claim"):
            monkeypatch.setattr(f"ipam.stores.etcd_{module}.BLOCK", 2)

        numbers = itertools.count()

        def fresh() -> EtcdStore:
            return Cluster(etcd, tmp_path / str(next(numbers))).store()

        compare_with_model(fresh, examples=12)

    def test_many_holds_that_end_at_once(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of both families: one transaction could not free them all, and no ADD fails for it."""
        asks = [Ask(each, cooldown=60) for each in (NET, NET6)]
        for number in range(25):
            lease(cluster.store(), f"c{number}", *asks)
        for number in range(25):
            release(cluster.store(), f"c{number}")
        now = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: now)
        assert lease(cluster.store(), "d1", *asks)[0] == "10.0.0.1"
        assert cluster.store().holds() == []


class TestUnreachable:
    def test_nobody_there(self, tmp_path: Path) -> None:
        settings = EtcdSettings(("127.0.0.1:1",))
        store = EtcdStore(settings, str(tmp_path), SHORT)
        with pytest.raises(CniError, match=r"etcd 127.0.0.1:1: Connection refused") as caught:
            lease(store, "c1", Ask(NET))
        assert caught.value.code == Code.TRY_AGAIN_LATER
        assert code_of(store.probe) == Code.TRY_AGAIN_LATER
        assert release(store, "c1") == 0

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (b"", "Remote end closed connection without response"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "the answer is cut short"),
        ],
    )
    def test_no_answer_of_etcd(self, tmp_path: Path, answer: bytes, reason: str) -> None:
        with Scripted(None, answer) as server:
            host = f"127.0.0.1:{server.port}"
            store = EtcdStore(EtcdSettings((host,)), str(tmp_path), SHORT)
            with pytest.raises(CniError) as caught:
                lease(store, "c1", Ask(NET))
        assert caught.value.code == Code.TRY_AGAIN_LATER
        assert caught.value.msg == f"etcd {host}: {reason}"

    def test_the_next_endpoint(self, cluster: Cluster, etcd: EtcdServer) -> None:
        store = cluster.store(url=f"http://127.0.0.1:1,http://127.0.0.1:2,{etcd.url}")
        assert lease(store, "c1", Ask(NET)) == ["10.0.0.1"]

    def test_a_silent_endpoint(self, cluster: Cluster, etcd: EtcdServer, proxy: Proxy) -> None:
        """One that breaks off in the middle of each exchange, and one that works."""
        proxy.plan = lambda _: REFUSE
        store = cluster.store(url=f"{proxy.url},{etcd.url}")
        assert lease(store, "c1", Ask(NET)) == ["10.0.0.1"]

    def test_released_later(self, cluster: Cluster) -> None:
        lease(cluster.store(), "c1", Ask(NET))
        lease(cluster.store(), "c2", Ask(NET))
        gone = cluster.store(url="http://127.0.0.1:1", limits=SHORT)
        assert release(gone, "c1") == 0
        assert sorted(cluster.intents()) == ["leased", "releasing"]
        assert release(gone, "c1") == 0
        assert len(cluster.store().every()) == 2
        assert lease(cluster.store(), "c3", Ask(NET)) == ["10.0.0.1"]
        assert cluster.intents() == ["leased", "leased"]

    def test_collected_later(self, cluster: Cluster) -> None:
        for i in range(5):
            lease(cluster.store(), f"c{i}", Ask(NET))
        gone = cluster.store(url="http://127.0.0.1:1", limits=SHORT)
        start = time.monotonic()
        assert gone.keep_only("net", {("c0", "eth0")}) == 0
        assert time.monotonic() - start < SHORT.total + 10
        assert release(cluster.store(), "c0") == 1
        assert cluster.remains() == []
        assert cluster.intents() == []

    def test_what_no_journal_knows(self, cluster: Cluster, tmp_path: Path) -> None:
        lease(cluster.store(), "c1", Ask(NET))
        (tmp_path / "node-1").rename(tmp_path / "lost")
        assert release(cluster.store(), "c1") == 0
        assert leased(cluster.store()) == [("c1", "10.0.0.1")]
        assert cluster.store().release(owner("c1").attachment, [("", NET)]) == 1
        assert cluster.remains() == []
        assert cluster.intents() == []

    def test_only_what_this_node_leased_is_collected(self, cluster: Cluster) -> None:
        lease(cluster.store("node-1"), "c1", Ask(NET))
        lease(cluster.store("node-2"), "c2", Ask(NET))
        assert cluster.store("node-2").keep_only("net", set()) == 1
        assert leased(cluster.store()) == [("c1", "10.0.0.1")]


class TestWhoWeAre:
    def test_tls_and_a_user(self, tmp_path: Path) -> None:
        made = certificates(tmp_path / "certificates")
        server = EtcdServer(tmp_path, made)
        server.start()
        try:
            cluster = Cluster(server, tmp_path)
            tls: dict[str, Any] = {
                "ca_file": str(made.authority),
                "cert_file": str(made.client_certificate),
                "key_file": str(made.client_key),
            }
            user: dict[str, Any] = {"user": "plait", "password": "a secret"}
            anonymous = cluster.store(**tls)
            assert lease(anonymous, "c1", Ask(NET)) == ["10.0.0.1"]
            assert lease(cluster.store(**tls, **user), "c2", Ask(NET)) == ["10.0.0.2"]
            server.enable_authentication("plait", "a secret", cluster.prefix)

            store = cluster.store(**tls, **user)
            assert lease(store, "c3", Ask(NET)) == ["10.0.0.3"]
            store.probe()
            # who says no name is for etcd who its gateway is
            assert self.failure(lambda: lease(anonymous, "c4", Ask(NET))) == (
                Code.INVALID_CONFIG, "permission denied"
            )  # fmt: skip
            wrong = cluster.store(**tls, user="plait", password="a guess")
            assert self.failure(lambda: lease(wrong, "c4", Ask(NET))) == (
                Code.INVALID_CONFIG, "authentication failed, invalid user ID or password"
            )  # fmt: skip
            cluster.prefix, prefix = "/elsewhere/", cluster.prefix
            elsewhere = cluster.store(**tls, **user)
            for call in (lambda: lease(elsewhere, "c4", Ask(NET)), elsewhere.probe):
                assert self.failure(call) == (Code.INVALID_CONFIG, "permission denied")

            cluster.prefix = prefix

            named = make(tmp_path / "named")
            keys = {"cert_file": str(named.client_certificate), "key_file": str(named.client_key)}
            text = "CommonName of client sending a request against gateway will be ignored"
            assert (
                text in self.failure(partial(lease, cluster.store(**tls | keys), "c4", Ask(NET)))[1]
            )

            server.kill()  # and with it the tokens
            server.start()
            assert lease(store, "c5", Ask(NET)) == ["10.0.0.4"]
            assert release(store, "c5") == 1
            others = tls | {
                "cert_file": str(made.other_certificate),
                "key_file": str(made.other_key),
            }
            for keys in (others, {"ca_file": tls["ca_file"]}):
                call = partial(lease, cluster.store(**keys, limits=SHORT), "c6", Ask(NET))
                assert code_of(call) == Code.TRY_AGAIN_LATER
            keys = tls | {"ca_file": str(made.other_authority)}
            store = cluster.store(**keys, limits=SHORT)
            assert code_of(partial(lease, store, "c6", Ask(NET))) == Code.INVALID_CONFIG
        finally:
            server.kill()

    @staticmethod
    def failure(call: Callable[[], object]) -> tuple[int, str]:
        with pytest.raises(CniError) as caught:
            call()
        assert "secret" not in str(caught.value)
        return caught.value.code, caught.value.msg.rpartition("etcdserver: ")[2]

    def test_settings_that_cannot_be_used(self, tmp_path: Path) -> None:
        garbage = tmp_path / "garbage"
        garbage.write_bytes(b"\xff")
        for keys in (
            {"hosts": ()},
            {"hosts": ("https://etcd:99999",)},
            {"hosts": ("http://user:password@etcd",)},
            {"hosts": ("etcd",), "cert_file": str(garbage)},
            {"hosts": ("etcd",), "ca_file": str(garbage)},
            {"hosts": ("etcd",), "ca_file": str(tmp_path / "nothing")},
        ):
            settings = EtcdSettings(**keys)
            call = partial(EtcdStore, settings, str(tmp_path))
            assert code_of(call) == Code.INVALID_CONFIG, keys
