"""host-local: what DEL and GC take away, and what CHECK misses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.host_local import Network, conf

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.ipam.harness import Json

NET = conf("10.0.0.0/24")
NOBODY: dict[str, Any] = {"cni.dev/valid-attachments": []}


@pytest.fixture
def net(tmp_path: Path) -> Network:
    return Network(tmp_path / "state")


class TestDeleteAndCollect:
    def gc(self, net: Network, *valid: tuple[str, str]) -> None:
        told = [{"containerID": each[0], "ifname": each[1]} for each in valid]
        more: dict[str, Any] = {"cni.dev/valid-attachments": told}
        net.call("GC", NET, cniVersion="1.1.0", **more).ok()

    def test_what_only_names_the_container(self, net: Network) -> None:
        net.write("10.0.0.7", "old")
        net.write("10.0.0.8", "older")
        net.delete(NET, "old")
        assert set(net.leases()) == {"10.0.0.8"}

    def test_what_only_names_the_container_comes_second(self, net: Network) -> None:
        net.write("10.0.0.7", "both")
        net.add(NET, "both")
        net.delete(NET, "both")
        assert set(net.leases()) == {"10.0.0.7"}
        net.delete(NET, "both", ifname="net1")
        assert not net.leases()

    def test_others_stay(self, net: Network) -> None:
        net.add(NET, "c1")
        net.add(NET, "c1", ifname="net1")
        net.add(NET, "c10")
        net.delete(NET, "c1")
        assert set(net.leases()) == {"10.0.0.3", "10.0.0.4"}

    def test_collection(self, net: Network) -> None:
        for name in ("live", "dead"):
            net.add(NET, name)
            net.add(NET, name, ifname="net1")
        net.write("10.0.0.7", "live")
        net.write("10.0.0.8", "dead")
        self.gc(net, ("live", "eth0"))
        assert net.leases() == {"10.0.0.2": "live\r\neth0", "10.0.0.7": "live"}
        assert {"lock", "last_reserved_ip.0"} <= set(os.listdir(net.files))
        self.gc(net)
        assert not net.leases()
        assert (net.files / "last_reserved_ip.0").read_text() == "10.0.0.5"

    def test_not_told(self, net: Network) -> None:
        net.add(NET)
        net.call("GC", NET, cniVersion="1.1.0").ok()
        assert len(net.leases()) == 1

    def test_nothing_there(self, net: Network) -> None:
        self.gc(net)
        assert not net.state.exists()

    def test_a_configuration_that_no_add_could_use(self, net: Network) -> None:
        net.add(NET)
        net.call("GC", {"ranges": 7}, cniVersion="1.1.0", **NOBODY).ok()
        assert not net.leases()


class TestCheck:
    BOTH = conf("10.0.0.0/24", "fd00::/64")

    def added(self, net: Network) -> Json:
        result: Json = net.call("ADD", self.BOTH).ok()
        return result

    def test_what_add_returned(self, net: Network) -> None:
        result = self.added(net)
        assert net.call("CHECK", self.BOTH, prevResult=result).ok() is None

    def test_a_file_is_gone(self, net: Network) -> None:
        result = self.added(net)
        (net.files / "fd00::2").unlink()
        text = net.call("CHECK", self.BOTH, prevResult=result).error(102)
        assert "fd00::1-fd00::ffff:ffff:ffff:ffff" in text
        assert "fd00::2 is not leased" in text

    def test_a_file_is_another_s(self, net: Network) -> None:
        result = self.added(net)
        net.write("10.0.0.2", "thief\r\neth0")
        text = net.call("CHECK", self.BOTH, prevResult=result).error(102)
        assert "thief" in text

    def test_another_interface(self, net: Network) -> None:
        result = self.added(net)
        net.call("CHECK", self.BOTH, ifname="net1", prevResult=result).error(102)

    def test_another_address(self, net: Network) -> None:
        """The original is content with any file of the container."""
        result = self.added(net)
        result["ips"][0]["address"] = "10.0.0.77/24"
        text = net.call("CHECK", self.BOTH, prevResult=result).error(102)
        assert "10.0.0.77 is not leased" in text

    def test_no_address_of_a_set(self, net: Network) -> None:
        result = self.added(net)
        del result["ips"][0]
        text = net.call("CHECK", self.BOTH, prevResult=result).error(102)
        assert "10.0.0.1-10.0.0.254" in text

    def test_what_only_names_the_container(self, net: Network) -> None:
        net.write("10.0.0.7", "c1")
        told = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.7/24"}]}
        net.call("CHECK", NET, prevResult=told).ok()

    def test_without_prev_result(self, net: Network) -> None:
        assert "prevResult missing" in net.call("CHECK", NET).error(7)

    def test_on_a_node_without_leases(self, net: Network) -> None:
        told = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.7/24"}]}
        net.call("CHECK", NET, prevResult=told).error(102)
        assert not net.state.exists()
