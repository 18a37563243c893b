"""whereabouts: DEL, CHECK, GC and STATUS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ipam import whereabouts as whereabouts_plugin
from tests.unit.ipam.harness import Host, whereabouts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.ipam.harness import Json

NET = whereabouts("10.0.0.0/24")
DUAL = whereabouts("10.0.0.0/24", ipRanges=[{"range": "fd00::/64"}])


class TestDelete:
    def test_twice_and_unknown(self, host: Host) -> None:
        host.add(NET)
        host.delete(NET)
        host.delete(NET)
        host.delete(NET, "unknown")

    def test_makes_no_files(self, host: Host) -> None:
        host.delete(NET)
        nothing: dict[str, Any] = {"cni.dev/valid-attachments": []}
        host.call("GC", NET, cniVersion="1.1.0", **nothing).ok()
        assert not host.state.exists()

    @pytest.mark.parametrize(
        "changed",
        [
            whereabouts("192.168.0.0/24"),
            whereabouts("not a range", exclude=7),
            {"type": "whereabouts", "kubernetes": {"kubeconfig": "/etc/kubeconfig"}},
            {"type": "whereabouts", "configuration_path": "/nonexistent/file"},
            {},
            None,
        ],
    )
    def test_whatever_the_configuration_says_by_now(self, host: Host, changed: Json | None) -> None:
        host.add({**DUAL, "network_name": "blue"})
        host.delete(changed)
        assert host.add({**DUAL, "network_name": "blue"}, "c2") == ["10.0.0.1/24", "fd00::1/64"]

    def test_only_this_attachment(self, host: Host) -> None:
        for ifname in ("eth0", "net1"):
            host.add(NET, ifname=ifname)
        host.add(NET, name="other")
        host.delete(NET)
        assert host.add(NET, "c9") == ["10.0.0.1/24"]
        assert host.add(NET, "c10") == ["10.0.0.4/24"]

    def test_without_a_pod(self, host: Host) -> None:
        host.add(NET, args="K8S_POD_NAME=p;K8S_POD_NAMESPACE=n")
        host.delete(NET, args="garbage")
        assert host.add(NET, "c2") == ["10.0.0.1/24"]


class TestCheck:
    def test_what_add_returned(self, host: Host) -> None:
        conf = {**DUAL, "addresses": [{"address": "10.9.0.1/24"}]}
        result = host.call("ADD", conf).ok()
        assert host.call("CHECK", conf, prevResult=result).ok() is None
        older = host.call("ADD", conf, cniVersion="0.4.0").ok()
        host.call("CHECK", conf, cniVersion="0.4.0", prevResult=older).ok()

    def test_no_lease(self, host: Host) -> None:
        result = host.call("ADD", NET).ok()
        host.delete(NET)
        text = host.call("CHECK", NET, prevResult=result).error(102)
        assert "no lease in range 10.0.0.0/24 for container c1 eth0" in text

    def test_no_database(self, host: Host) -> None:
        prev = {"ips": [{"address": "10.0.0.1/24"}]}
        host.call("CHECK", NET, prevResult=prev).error(102)
        assert not host.state.exists()

    @pytest.mark.parametrize(
        "ips", [[], ["10.0.0.2/24", "fd00::1/64"], ["10.0.0.1/25", "fd00::1/64"], ["10.0.0.1/24"]]
    )
    def test_another_result(self, host: Host, ips: list[str]) -> None:
        host.add(DUAL)
        prev = {"ips": [{"address": each} for each in ips]}
        text = host.call("CHECK", DUAL, prevResult=prev).error(102)
        assert "is not in prevResult" in text

    def test_another_range(self, host: Host) -> None:
        result = host.call("ADD", NET).ok()
        other = whereabouts("10.1.0.0/24")
        assert "10.1.0.0/24" in host.call("CHECK", other, prevResult=result).error(102)

    def test_without_prev_result(self, host: Host) -> None:
        host.add(NET)
        assert "prevResult missing" in host.call("CHECK", NET).error(7)


class TestGc:
    def gc(self, host: Host, valid: list[tuple[str, str]] | None, **more: Any) -> None:
        if valid is not None:
            more["cni.dev/valid-attachments"] = [
                {"containerID": container, "ifname": ifname} for container, ifname in valid
            ]
        host.call("GC", NET, cniVersion="1.1.0", **more).ok()

    def test_a_broken_database_does_not_stop_the_store_of_the_cluster(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []

        class Cluster:
            def keep_only(self, *arguments: Any) -> int:
                asked.append(arguments)
                return 0

        monkeypatch.setattr(whereabouts_plugin, "open_store", lambda *_, **__: Cluster())
        host.database.parent.mkdir(parents=True)
        host.database.write_bytes(b"no database, " * 1000)
        valid: dict[str, Any] = {"cni.dev/valid-attachments": []}
        reply = host.call("GC", NET, cniVersion="1.1.0", **valid)
        assert str(host.database) in reply.error(5)
        assert asked == [("net", frozenset())]

    def test_keeps_what_is_valid(self, host: Host) -> None:
        for i in range(1, 6):
            host.add(DUAL, f"c{i}")
        self.gc(host, [("c1", "eth0"), ("c3", "eth0"), ("c4", "net1"), ("unknown", "eth0")])
        given = [host.add(DUAL, f"n{i}") for i in range(4)]
        assert [v4 for v4, _ in given] == [f"10.0.0.{i}/24" for i in (2, 4, 5, 6)]
        assert [v6 for _, v6 in given] == [f"fd00::{i}/64" for i in (2, 4, 5, 6)]

    def test_not_told_is_not_empty(self, host: Host) -> None:
        host.add(NET)
        self.gc(host, None)
        assert host.add(NET, "c2") == ["10.0.0.2/24"]
        self.gc(host, [])
        assert host.add(NET, "c3") == ["10.0.0.1/24"]

    def test_other_networks_on_the_same_pool_stay(self, host: Host) -> None:
        host.add(NET, "c1", name="other")
        host.add(NET, "c2")
        self.gc(host, [])
        assert host.add(NET, "c3") == ["10.0.0.2/24"]


class TestStatus:
    def test_good(self, host: Host) -> None:
        assert host.call("STATUS", NET, cniVersion="1.1.0").ok() is None

    def test_no_directory_can_be_made(self, host: Host) -> None:
        host.state.parent.joinpath("state").write_text("a file")
        text = host.call("STATUS", NET, cniVersion="1.1.0").error(50)
        assert str(host.state) in text

    def test_a_database_that_is_none(self, host: Host) -> None:
        host.database.parent.mkdir(parents=True)
        host.database.write_bytes(b"no database, " * 1000)
        assert str(host.database) in host.call("STATUS", NET, cniVersion="1.1.0").error(50)

    def test_a_bad_configuration(self, host: Host) -> None:
        host.call("STATUS", whereabouts("x"), cniVersion="1.1.0").error(7)
        nowhere = {**NET, "datastore": "etcd"}
        assert "etcd_host" in host.call("STATUS", nowhere, cniVersion="1.1.0").error(7)

    @pytest.mark.parametrize(("content", "code"), [(None, 50), ("{", 6), ('{"range": 5}', 7)])
    def test_the_flat_file(
        self, host: Host, tmp_path: Path, content: str | None, code: int
    ) -> None:
        """One that cannot be read may be readable soon."""
        flat = tmp_path / "whereabouts.conf"
        if content is None:
            flat.symlink_to("/proc/1/mem")
        else:
            flat.write_text(content)
        conf = {**NET, "configuration_path": str(flat)}
        assert str(flat) in host.call("STATUS", conf, cniVersion="1.1.0").error(code)
