"""whereabouts: leases and their lives, results, and requests for an address."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.harness import Host, whereabouts

if TYPE_CHECKING:
    from tests.unit.ipam.harness import Json

NET = whereabouts("10.0.0.0/24")
DUAL = whereabouts("10.0.0.0/24", ipRanges=[{"range": "fd00::/64"}])


class TestLeases:
    def test_the_same_attachment_gets_the_same_addresses(self, host: Host) -> None:
        assert host.add(DUAL) == host.add(DUAL) == ["10.0.0.1/24", "fd00::1/64"]
        assert host.add(DUAL, "c2") == ["10.0.0.2/24", "fd00::2/64"]
        assert host.add(DUAL) == ["10.0.0.1/24", "fd00::1/64"]

    def test_attachments_differ_by_interface_and_network(self, host: Host) -> None:
        assert host.add(NET, ifname="eth0") == ["10.0.0.1/24"]
        assert host.add(NET, ifname="net1") == ["10.0.0.2/24"]
        assert host.add(NET, ifname="eth0", name="other") == ["10.0.0.3/24"]

    def test_no_pod_name_is_needed(self, host: Host) -> None:
        assert host.add(NET, args="") == ["10.0.0.1/24"]

    def test_the_pod_is_recorded(self, host: Host) -> None:
        args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web-0;K8S_POD_UID=u-1;X=Y"
        host.add(NET, args=args)
        with sqlite3.connect(host.database) as connection:
            row = connection.execute("SELECT pod_namespace, pod_name, pod_uid FROM lease")
            assert row.fetchone() == ("ns", "web-0", "u-1")

    def test_two_windows_on_one_pool(self, host: Host) -> None:
        low = whereabouts("10.0.0.10-10.0.0.20/24")
        high = whereabouts("10.0.0.0/24", range_start="10.0.0.100", range_end="10.0.0.110")
        assert host.add(high, "h1", name="b") == ["10.0.0.100/24"]
        assert host.add(low, "l1", name="a") == ["10.0.0.10/24"]
        assert host.add(NET, "all", name="c") == ["10.0.0.1/24"]
        assert host.add(high, "h2", name="b") == ["10.0.0.101/24"]
        host.delete(high, "h1", name="b")
        assert host.add(low, "l2", name="a") == ["10.0.0.11/24"]
        assert host.add(high, "h3", name="b") == ["10.0.0.100/24"]

    def test_one_pool_twice_gives_two_addresses(self, host: Host) -> None:
        """The original gives the first one twice."""
        conf = whereabouts("10.0.0.0/24", ipRanges=[{"range": "10.0.0.0/24"}])
        assert host.add(conf) == ["10.0.0.1/24", "10.0.0.2/24"]
        assert host.add(conf) == ["10.0.0.1/24", "10.0.0.2/24"]

    def test_network_names_are_pools_of_their_own(self, host: Host) -> None:
        blue = whereabouts("10.0.0.0/24", network_name="blue")
        assert host.add(NET, "c1") == ["10.0.0.1/24"]
        assert host.add(blue, "c2") == ["10.0.0.1/24"]
        overlapping = whereabouts("10.0.0.0/25", network_name="blue")
        assert host.add(overlapping, "c3") == ["10.0.0.2/25"]

    def test_an_address_shared_on_purpose_is_free_when_both_are_gone(self, host: Host) -> None:
        off = {"enable_overlapping_ranges": False}
        a, b = whereabouts("10.0.0.0/24", **off), whereabouts("10.0.0.0/28", **off)
        assert [host.add(a, "a"), host.add(b, "b")] == [["10.0.0.1/24"], ["10.0.0.1/28"]]
        host.delete(a, "a")
        assert host.add(whereabouts("10.0.0.0/25"), "c") == ["10.0.0.2/25"]
        host.delete(b, "b")
        assert host.add(whereabouts("10.0.0.0/26"), "d") == ["10.0.0.1/26"]

    def test_both_families_or_none(self, host: Host) -> None:
        conf = whereabouts(
            "10.0.0.0/24", ipRanges=[{"range": "fd00::/126", "range_end": "fd00::1"}]
        )
        assert host.add(conf, "c1") == ["10.0.0.1/24", "fd00::1/126"]
        assert "range: fd00::/126" in host.call("ADD", conf, "c2").error(100)
        assert host.add(NET, "c3") == ["10.0.0.2/24"]

    def test_the_failed_add_of_a_live_attachment_takes_nothing_from_it(self, host: Host) -> None:
        assert host.add(NET) == ["10.0.0.1/24"]
        full = whereabouts("10.0.0.0/24", ipRanges=[{"range": "fd00::/126"}])
        host.use("fd00::/126", ["fd00::1", "fd00::2"])
        host.call("ADD", full).error(100)
        assert host.add(NET) == ["10.0.0.1/24"]

    @pytest.mark.parametrize(
        ("conf", "lowest"),
        [
            (whereabouts("2001:db8::/64", exclude=["2001:db8::/65"]), "2001:db8:0:0:8000::/64"),
            (
                whereabouts("2001:db8::/64", range_start="2001:db8::ffff:ffff:ffff:fff0"),
                "2001:db8::ffff:ffff:ffff:fff0/64",
            ),
            (whereabouts("2001:db8::/30", range_start="2001:dbb::"), "2001:dbb::/30"),
            (whereabouts("::/0", exclude=["::/1"]), "8000::/0"),
            (whereabouts("10.0.0.0/8", exclude=["10.0.0.0/9"]), "10.128.0.0/8"),
            (whereabouts("0.0.0.0/0"), "0.0.0.1/0"),
        ],
    )
    def test_large_networks(self, host: Host, conf: Json, lowest: str) -> None:
        given = [host.add(conf, f"c{i}")[0] for i in range(3)]
        assert given[0] == lowest
        assert len(set(given)) == 3
        host.delete(conf, "c1")
        assert host.add(conf, "c4") == [given[1]]
        assert [host.add(conf, "c0"), host.add(conf, "c2")] == [[given[0]], [given[2]]]

    def test_the_first_and_last_address_of_everything(self, host: Host) -> None:
        top = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"
        assert host.add(whereabouts("::/0", range_start=top)) == [f"{top}/0"]
        host.delete(None)
        assert host.add(whereabouts("::/0", range_start=top)) == [f"{top}/0"]

    def test_the_numbers_of_the_families_do_not_mix(self, host: Host) -> None:
        assert host.add(whereabouts("0.0.0.0/29"), "c1") == ["0.0.0.1/29"]
        assert host.add(whereabouts("::/125"), "c2") == ["::1/125"]


class TestResults:
    def test_a_gateway_only_where_its_family_is(self, host: Host) -> None:
        """The original gives the IPv4 gateway to the IPv6 address too."""
        value = host.call("ADD", {**DUAL, "gateway": "10.0.0.254"}).ok()
        assert value["ips"] == [
            {"address": "10.0.0.1/24", "gateway": "10.0.0.254"},
            {"address": "fd00::1/64"},
        ]

    def test_an_ipv6_gateway(self, host: Host) -> None:
        value = host.call("ADD", {**DUAL, "gateway": "fd00::ffff"}).ok()
        assert [each.get("gateway") for each in value["ips"]] == [None, "fd00::ffff"]

    def test_the_gateway_may_be_leased_unless_excluded(self, host: Host) -> None:
        conf = {**NET, "gateway": "10.0.0.1"}
        assert host.add(conf, "c1") == ["10.0.0.1/24"]
        host.delete(conf, "c1")
        assert host.add({**conf, "exclude_gateway": True}, "c2") == ["10.0.0.2/24"]

    def test_order(self, host: Host) -> None:
        conf = {**DUAL, "addresses": [{"address": "10.9.0.1/24"}]}
        ips = host.add(conf, args="IP=10.8.0.1/24,10.0.0.7")
        assert ips == ["10.0.0.7/24", "fd00::1/64", "10.9.0.1/24", "10.8.0.1/24"]

    def test_routes_and_dns(self, host: Host) -> None:
        dns = {"nameservers": ["10.0.0.53"], "domain": "a", "search": ["b"], "options": ["c"]}
        route = {"dst": "10.9.9.9/8", "gw": "10.0.0.1", "mtu": 1400, "advmss": 1300}
        route |= {"priority": 5, "table": 100, "scope": 253}
        value = host.call("ADD", {**NET, "routes": [route], "dns": dns}, cniVersion="1.1.0").ok()
        assert value["routes"] == [route]
        assert value["dns"] == dns
        assert "interfaces" not in value

    def test_the_old_shape(self, host: Host) -> None:
        conf = {**DUAL, "gateway": "10.0.0.1", "routes": [{"dst": "0.0.0.0/0"}]}
        assert host.call("ADD", conf, cniVersion="0.2.0").ok() == {
            "cniVersion": "0.2.0",
            "ip4": {
                "ip": "10.0.0.1/24",
                "gateway": "10.0.0.1",
                "routes": [{"dst": "0.0.0.0/0"}],
            },
            "ip6": {"ip": "fd00::1/64"},
            "dns": {},
        }

    def test_no_range_at_all(self, host: Host) -> None:
        conf = {"type": "whereabouts", "addresses": [{"address": "10.9.0.1/24"}]}
        assert host.add(conf) == ["10.9.0.1/24"]
        assert not host.state.exists()

    def test_two_fixed_addresses_of_a_family_need_a_newer_version(self, host: Host) -> None:
        conf = {**NET, "addresses": [{"address": "10.9.0.1/24"}, {"address": "10.9.1.1/24"}]}
        text = host.call("ADD", conf, cniVersion="0.2.0").error(7)
        assert "CNI version 0.2.0 does not support more than 1 address per family" in text
        assert not host.state.exists()


class TestRequests:
    """Addresses that the caller asks for."""

    @pytest.mark.parametrize(
        "ways",
        [
            {"args": "IP=10.0.0.77"},
            {"args": "IP=10.0.0.77/24"},
            {"args": "IgnoreUnknown=1;K8S_POD_NAME=pp;MAC=02:00:00:00:00:77;IP=10.0.0.77"},
            {"Args": {"cni": {"ips": ["10.0.0.77"]}}},
            {"Args": {"cni": {"ips": ["10.0.0.77/24"]}}},
            {"runtimeConfig": {"ips": ["10.0.0.77/24"]}},
            {"args": "IP=10.0.0.77", "runtimeConfig": {"ips": ["10.0.0.77/24"]}},
        ],
    )
    def test_every_way_to_ask(self, host: Host, ways: dict[str, Any]) -> None:
        assert host.add(NET, **ways) == ["10.0.0.77/24"]
        assert host.add(NET, **ways) == ["10.0.0.77/24"]
        text = host.call("ADD", NET, "c2", **ways).error(100)
        assert "requested IP address 10.0.0.77 is not available in range 10.0.0.0/24" in text
        assert "container c1 eth0 of network net" in text

    def test_each_family_its_own(self, host: Host) -> None:
        assert host.add(DUAL, args="IP=fd00::99,10.0.0.9") == ["10.0.0.9/24", "fd00::99/64"]
        assert host.add(DUAL, "c2", args="IP=fd00::98") == ["10.0.0.1/24", "fd00::98/64"]

    def test_one_taken_leaves_the_other_free(self, host: Host) -> None:
        host.add(DUAL, args="IP=fd00::99")
        host.call("ADD", DUAL, "c2", args="IP=10.0.0.9,fd00::99").error(100)
        assert host.add(NET, "c3", args="IP=10.0.0.9") == ["10.0.0.9/24"]

    def test_taken_in_an_overlapping_pool(self, host: Host) -> None:
        host.add(NET, args="IP=10.0.0.9")
        small = whereabouts("10.0.0.0/28")
        host.call("ADD", small, "c2", args="IP=10.0.0.9").error(100)
        small["enable_overlapping_ranges"] = False
        assert host.add(small, "c2", args="IP=10.0.0.9") == ["10.0.0.9/28"]

    def test_two_in_one_range_are_both_leased(self, host: Host) -> None:
        assert host.add(NET, args="IP=10.0.0.5,10.0.0.6") == ["10.0.0.5/24", "10.0.0.6/24"]
        assert host.add(NET, args="IP=10.0.0.5,10.0.0.6") == ["10.0.0.5/24", "10.0.0.6/24"]
        host.call("ADD", NET, "c2", args="IP=10.0.0.6").error(100)
        host.delete(NET)
        assert host.add(NET, "c2", args="IP=10.0.0.6") == ["10.0.0.6/24"]

    def test_the_window_that_offers_it(self, host: Host) -> None:
        conf = whereabouts(
            "10.0.0.10-10.0.0.20/24", ipRanges=[{"range": "10.0.0.100-10.0.0.110/24"}]
        )
        assert host.add(conf, args="IP=10.0.0.105") == ["10.0.0.10/24", "10.0.0.105/24"]

    def test_outside_every_range_is_a_further_address(self, host: Host) -> None:
        assert host.add(NET, args="IP=10.8.0.1/16") == ["10.0.0.1/24", "10.8.0.1/16"]
        windowed = whereabouts("10.0.0.10-10.0.0.20/24")
        assert host.add(windowed, "c2", args="IP=10.0.0.99/24") == ["10.0.0.10/24", "10.0.0.99/24"]

    def test_gateways_for_what_was_asked(self, host: Host) -> None:
        conf = {**NET, "gateway": "10.0.0.1", "addresses": [{"address": "10.9.0.1/24"}]}
        value = host.call(
            "ADD", conf, args="IP=10.0.0.5,10.8.0.1/24;GATEWAY=10.0.0.254,10.9.0.254,10.8.0.254"
        ).ok()
        assert [each["gateway"] for each in value["ips"]] == [
            "10.0.0.254",
            "10.9.0.254",
            "10.8.0.254",
        ]
        value = host.call("ADD", conf, "c2", args="GATEWAY=10.0.0.254").ok()
        assert value["ips"][0] == {"address": "10.0.0.1/24", "gateway": "10.0.0.1"}

    @pytest.mark.parametrize(
        ("conf", "more", "code", "texts"),
        [
            (NET, {"args": "IP=10.0.0.0"}, 4, ("IP", "10.0.0.0", "network or the broadcast")),
            (NET, {"args": "IP=10.0.0.255/24"}, 4, ("10.0.0.255", "network or the broadcast")),
            (
                {**NET, "exclude": ["10.0.0.64/26"]},
                {"runtimeConfig": {"ips": ["10.0.0.70"]}},
                7,
                ("runtimeConfig.ips[0]", "10.0.0.70 is excluded from range 10.0.0.0/24"),
            ),
            (NET, {"args": "IP=10.8.0.1"}, 4, ("CNI_ARGS: IP", "10.8.0.1", "prefix length")),
            (NET, {"args": "IP=nope"}, 4, ("CNI_ARGS: IP", "invalid CIDR nope")),
            (NET, {"args": "IP=10.0.0.5/99"}, 4, ("CNI_ARGS: IP", "10.0.0.5/99")),
            (NET, {"args": "IP=10.0.0.5,"}, 4, ("CNI_ARGS: IP", "invalid CIDR")),
            (NET, {"args": "GATEWAY=nope"}, 4, ("CNI_ARGS: GATEWAY", "nope")),
            (NET, {"args": "FOO=bar"}, 4, ("unknown args", "FOO=bar")),
            (NET, {"args": "FOO"}, 4, ("invalid pair", "FOO")),
            (NET, {"Args": {"cni": {"ips": ["x"]}}}, 7, ("args.cni.ips[0]", "invalid CIDR x")),
            (NET, {"Args": {"cni": {"ips": [1]}}}, 7, ("args.cni.ips.0", "1")),
            (NET, {"runtimeConfig": {"ips": "x"}}, 7, ("runtimeConfig.ips", '"x"')),
        ],
    )
    def test_refused(
        self, host: Host, conf: Json, more: dict[str, Any], code: int, texts: tuple[str, ...]
    ) -> None:
        text = host.call("ADD", conf, **more).error(code)
        assert all(each in text for each in texts), text
        assert not host.state.exists()
