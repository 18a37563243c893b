"""host-local: which address comes next, in the original's own vectors, and by every way to ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.unit.ipam.host_local import Network, conf

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.ipam.harness import Json


@pytest.fixture
def net(tmp_path: Path) -> Network:
    return Network(tmp_path / "state")


class Vector(NamedTuple):
    """One range set, what is leased in it, and the address that comes next."""

    subnets: str
    expected: str
    last: str = ""
    used: str = ""


VECTORS = {
    "H1": Vector("10.0.0.0/29", "10.0.0.2/29"),
    "H2": Vector("2001:db8:1::0/64", "2001:db8:1::2/64"),
    "H3": Vector("10.0.0.0/30", "10.0.0.2/30"),
    "H4": Vector("10.0.0.0/29", "10.0.0.3/29", used="10.0.0.2"),
    "H5": Vector("10.0.0.0/29", "10.0.0.6/29", last="10.0.0.5"),
    "H6": Vector("10.0.0.0/29", "10.0.0.6/29", last="10.0.0.3", used="10.0.0.4 10.0.0.5"),
    "H7": Vector("10.0.0.0/29", "10.0.0.2/29", last="10.0.0.5", used="10.0.0.6"),
    "H8": Vector("10.0.0.0/29", "10.0.0.3/29", last="10.0.0.128", used="10.0.0.2"),
    "H9": Vector(
        "10.0.0.0/29",
        "10.0.0.3/29",
        last="10.0.0.3",
        used="10.0.0.2 10.0.0.4 10.0.0.5 10.0.0.6",
    ),
    "H10": Vector("10.0.0.0/30 10.0.1.0/30", "10.0.0.2/30"),
    "H11": Vector("10.0.0.0/30 10.0.1.0/30", "10.0.1.2/30", last="10.0.0.2"),
    "H12": Vector("10.0.0.0/30 10.0.1.0/30 10.0.2.0/30", "10.0.0.2/30", last="10.0.2.2"),
    "H19": Vector("10.1.2.0/24 10.2.2.0/24", "10.1.2.2/24"),
    "no last": Vector("10.0.0.0/29", "10.0.0.2/29", last="nonsense"),
    "torn last": Vector("10.0.0.0/29", "10.0.0.2/29", last=" "),
    "last of the other family": Vector("10.0.0.0/29", "10.0.0.2/29", last="::a00:3"),
    "far behind a wall": Vector(
        "10.0.0.0/24", "10.0.0.102/24", used=" ".join(f"10.0.0.{i}" for i in range(2, 102))
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(net: Network, name: str) -> None:
    vector = VECTORS[name]
    net.use("", vector.used.split())
    if vector.last:
        net.write("last_reserved_ip.0", vector.last)
    assert net.add(conf(vector.subnets.split())) == [vector.expected]


@pytest.mark.parametrize(
    ("subnets", "used", "said"),
    [
        ("10.0.0.0/30", "10.0.0.2", "10.0.0.1-10.0.0.2"),  # H13
        ("10.0.0.0/30 10.0.1.0/30", "10.0.0.2 10.0.1.2", "10.0.0.1-10.0.0.2,10.0.1.1-10.0.1.2"),
    ],
)
def test_full(net: Network, subnets: str, used: str, said: str) -> None:
    net.use("", used.split())
    text = net.call("ADD", conf(subnets.split())).error(100)
    assert f"failed to allocate for range 0: no IP addresses available in range set: {said}" in text


WAYS: list[Json] = [
    {"args": "IP={}"},
    {"args": "IP={}/24"},
    {"Args": {"cni": {"ips": ["{}"]}}},
    {"Args": {"cni": {"ips": ["{}/24"]}}},
    {"runtimeConfig": {"ips": ["{}"]}},
    {"runtimeConfig": {"ips": ["{}/32"]}},
    {"args": "IP={}", "runtimeConfig": {"ips": ["{}/16"]}},  # podman asks in two ways at a time
]


def _asking(way: Json, address: str) -> Any:
    return json.loads(json.dumps(way).replace("{}", address))


class TestRequested:
    @pytest.mark.parametrize("way", WAYS, ids=json.dumps)
    def test_every_way(self, net: Network, way: Json) -> None:
        subnets = conf(["172.16.1.0/24", "10.1.2.0/24"])
        assert net.add(subnets, **_asking(way, "10.1.2.88")) == ["10.1.2.88/24"]  # H20
        assert net.add(subnets, "next") == ["10.1.2.89/24"]

    def test_of_a_small_set(self, net: Network) -> None:
        assert net.add(conf("192.168.1.0/29"), args="IP=192.168.1.5") == ["192.168.1.5/29"]  # H15

    def test_taken(self, net: Network) -> None:  # H16
        net.use("", ["192.168.1.5"])
        text = net.call("ADD", conf("192.168.1.0/29"), args="IP=192.168.1.5").error(100)
        assert (
            "requested IP address 192.168.1.5 is not available in range set 192.168.1.1-192.168.1.6"
            in text
        )
        assert "somebody" in text

    def test_outside(self, net: Network) -> None:  # H17
        ipam = conf([{"subnet": "192.168.1.0/29", "rangeEnd": "192.168.1.4"}])
        text = net.call("ADD", ipam, args="IP=192.168.1.5").error(4)
        assert "failed to allocate all requested IPs: 192.168.1.5" in text
        assert "192.168.1.5 not in range set 192.168.1.1-192.168.1.4" in text

    def test_the_gateway(self, net: Network) -> None:  # H18
        text = net.call("ADD", conf("10.1.2.0/24"), runtimeConfig={"ips": ["10.1.2.1"]}).error(7)
        assert "runtimeConfig.ips[0]" in text
        assert "requested ip 10.1.2.1 is subnet's gateway" in text

    def test_one_of_each_set(self, net: Network) -> None:
        ipam = conf("10.1.2.0/24", "10.1.3.0/24")
        ips = ["10.1.2.88", "10.1.3.77"]
        assert net.add(ipam, runtimeConfig={"ips": ips}) == ["10.1.2.88/24", "10.1.3.77/24"]
        assert net.add(ipam, "b", args="IP=10.1.3.9") == ["10.1.2.89/24", "10.1.3.9/24"]

    def test_two_of_one_set(self, net: Network) -> None:
        ips = {"ips": ["10.1.2.88", "10.1.2.77"]}
        text = net.call("ADD", conf("10.1.2.0/24", "10.1.3.0/24"), Args={"cni": ips}).error(7)
        assert "failed to allocate all requested IPs: 10.1.2.77" in text
        assert not net.leases()

    def test_again(self, net: Network) -> None:
        ipam = conf("10.1.2.0/24")
        for _ in range(2):
            assert net.add(ipam, args="IP=10.1.2.9") == ["10.1.2.9/24"]
        assert list(net.leases()) == ["10.1.2.9"]

    def test_a_failure_leaves_nothing(self, net: Network) -> None:
        net.use("", ["10.1.3.9"])
        ipam = conf("10.1.2.0/24", "10.1.3.0/24")
        text = net.call("ADD", ipam, runtimeConfig={"ips": ["10.1.3.9"]}).error(100)
        assert "failed to allocate for range 1: " in text
        assert list(net.leases()) == ["10.1.3.9"]
        assert net.add(ipam) == ["10.1.2.3/24", "10.1.3.2/24"]  # the turn went on


class TestLife:
    def test_a_small_net_from_end_to_end(self, net: Network) -> None:
        ipam = conf("192.168.1.0/29")
        got = [net.add(ipam, f"c{i}") for i in range(5)]
        assert got == [[f"192.168.1.{i}/29"] for i in range(2, 7)]
        assert "no IP addresses available" in net.call("ADD", ipam, "late").error(100)
        net.delete(ipam, "c2")
        assert net.add(ipam, "late") == ["192.168.1.4/29"]

    def test_a_released_address_waits_for_its_turn(self, net: Network) -> None:
        ipam = conf("192.168.1.0/29")
        assert net.add(ipam) == ["192.168.1.2/29"]
        net.delete(ipam)
        assert net.add(ipam) == ["192.168.1.3/29"]

    def test_an_add_that_is_repeated(self, net: Network) -> None:
        """The original refuses it: "duplicate allocation is not allowed"."""
        ipam = conf("192.168.1.0/29", "fd00::/64")
        first = net.add(ipam)
        net.add(ipam, "other")
        assert net.add(ipam) == first
        assert len(net.leases()) == 4
        assert net.add(ipam, ifname="net1") == ["192.168.1.4/29", "fd00::4/64"]

    def test_an_add_that_is_repeated_with_more_sets(self, net: Network) -> None:
        net.add(conf("fd00::/64"))
        assert net.add(conf("10.0.0.0/24", "fd00::/64")) == ["10.0.0.2/24", "fd00::2/64"]

    def test_what_became_the_gateway_is_not_given_again(self, net: Network) -> None:
        assert net.add(conf("10.0.0.0/24")) == ["10.0.0.2/24"]
        moved = conf([{"subnet": "10.0.0.0/24", "gateway": "10.0.0.2"}])
        assert net.add(moved) == ["10.0.0.3/24"]
        net.delete(moved)
        assert not net.leases()

    def test_delete_needs_nothing(self, net: Network) -> None:
        net.delete(conf("10.0.0.0/24"), "unknown")
        assert not net.state.exists()
        net.add(conf("10.0.0.0/24"))
        net.delete({"type": "host-local", "ranges": 7, "subnet": []})
        assert not net.leases()
        net.add(conf("10.0.0.0/24"))
        net.delete(None)
        assert not net.leases()
        net.delete({"type": "host-local", "dataDir": 7})


class TestResult:
    def test_everything(self, net: Network, tmp_path: Path) -> None:
        resolv = tmp_path / "resolv.conf"
        resolv.write_text(
            "# a comment\n; another\n\nnameserver  192.0.2.3\nnameserver 192.0.2.4 rest\n"
            "domain example.com\nsearch a.b c.d\nsearch e.f\noptions four five\n"
            "sortlist x\nsearch\n"
        )
        ipam = conf(
            "10.1.2.0/24",
            [{"subnet": "2001:db8:1::/64", "gateway": "2001:db8:1::9"}],
            routes=[{"dst": "0.0.0.0/0"}, {"dst": "1100:200::1/24", "gw": "2001:db8:1::7"}],
            resolvConf=str(resolv),
        )
        assert net.call("ADD", ipam).ok() == {
            "cniVersion": "1.0.0",
            "ips": [
                {"address": "10.1.2.2/24", "gateway": "10.1.2.1"},
                {"address": "2001:db8:1::1/64", "gateway": "2001:db8:1::9"},
            ],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "1100:200::1/24", "gw": "2001:db8:1::7"}],
            "dns": {
                "nameservers": ["192.0.2.3", "192.0.2.4"],
                "domain": "example.com",
                "search": ["a.b", "c.d", "e.f"],
                "options": ["four", "five"],
            },
        }

    @pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
    def test_old_versions(self, net: Network, version: str) -> None:
        ipam = conf("10.1.2.0/24", "fd00::/64")
        value = net.call("ADD", ipam, cniVersion=version).ok()
        assert value["ip4"] == {"ip": "10.1.2.2/24", "gateway": "10.1.2.1"}
        assert value["ip6"] == {"ip": "fd00::2/64", "gateway": "fd00::1"}
        several = conf("10.1.2.0/24", "10.1.3.0/24")
        text = net.call("ADD", several, cniVersion=version).error(7)
        assert f"CNI version {version} does not support more than 1 address per family" in text


class TestSets:
    def test_runtime_old_style_list(self, net: Network) -> None:
        """In this order, which gives the sets their numbers on the disk."""
        ipam = conf("10.3.0.0/24", subnet="10.2.0.0/24", rangeStart="10.2.0.7")
        runtime = {"ipRanges": [[{"subnet": "10.1.0.0/24"}]]}
        ips = net.add(ipam, runtimeConfig=runtime)
        assert ips == ["10.1.0.2/24", "10.2.0.7/24", "10.3.0.2/24"]
        last = [(net.files / f"last_reserved_ip.{i}").read_text() for i in range(3)]
        assert last == ["10.1.0.2", "10.2.0.7", "10.3.0.2"]

    def test_keys_in_any_case(self, net: Network) -> None:
        ipam = {
            "type": "host-local",
            "Ranges": [[{"Subnet": "10.1.2.0/24", "rangestart": "10.1.2.9"}]],
        }
        assert net.add(ipam) == ["10.1.2.9/24"]

    def test_a_window_beside_the_gateway(self, net: Network) -> None:  # H27
        window = {"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.20"}
        ipam = conf([{**window, "gateway": "10.1.2.30"}])
        value = net.call("ADD", ipam).ok()
        assert value["ips"] == [{"address": "10.1.2.9/24", "gateway": "10.1.2.30"}]

    @pytest.mark.parametrize(
        ("end", "last"),
        [("10.0.0.0/30", "10.0.0.2/30"), ("fd00::/126", "fd00::3/126")],
        ids=["v4 without broadcast", "v6 with all ones"],
    )
    def test_the_end_of_a_subnet(self, net: Network, end: str, last: str) -> None:
        got: list[str] = []
        while (reply := net.call("ADD", conf(end), f"c{len(got)}")).status == 0:
            got += reply.ips()
        assert got[-1] == last

    def test_the_window_may_hold_the_network_address(self, net: Network) -> None:
        ipam = conf([{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.0", "rangeEnd": "10.0.0.255"}])
        assert net.add(ipam) == ["10.0.0.0/24"]

    def test_data_dir(self, net: Network, tmp_path: Path) -> None:
        ipam = conf("10.0.0.0/24", dataDir=str(tmp_path / "elsewhere"))
        net.add(ipam)
        assert (tmp_path / "elsewhere" / "net" / "10.0.0.2").exists()
        net.delete({"type": "host-local", "datadir": str(tmp_path / "elsewhere")})
        assert not (tmp_path / "elsewhere" / "net" / "10.0.0.2").exists()
        assert not net.files.exists()
