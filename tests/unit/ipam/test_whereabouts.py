"""whereabouts: leases and their lives, results, requests, and every refusal."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.harness import Host, whereabouts

if TYPE_CHECKING:
    from pathlib import Path

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


BAD = [
    ({"range": 5}, ("ipam.range", "5")),
    ({"range": "10.0.0.0"}, ("ipam.range", "invalid CIDR 10.0.0.0")),
    ({"range": "10.0.0.0/33"}, ("ipam.range", "invalid CIDR 10.0.0.0/33")),
    ({"range": "10.0.0.0/24 "}, ("ipam.range", "invalid CIDR 10.0.0.0/24 ")),
    ({"range": "x-10.0.0.9/24"}, ("ipam.range", "invalid range start IP: x")),
    ({"range": "10.0.0.1-10.0.0.9"}, ("ipam.range", "invalid CIDR", "'10.0.0.9'")),
    ({"range": "10.0.0.1-"}, ("ipam.range", "invalid CIDR", "''")),
    ({"range": "fd00::1-10.0.0.9/24"}, ("ipam.range", "invalid range start", "fd00::1")),
    ({"range": "10.0.0.0/31"}, ("ipam.range", "10.0.0.0/31", "too small")),
    ({"range_start": 7}, ("ipam.range_start", "7")),
    ({"range_end": ["x"]}, ("ipam.range_end", '["x"]')),
    ({"exclude": "10.0.0.1"}, ("ipam.exclude", '"10.0.0.1"')),
    ({"exclude": ["10.0.0.1", None]}, ("ipam.exclude.1", "null")),
    ({"exclude": ["10.0.0.1", "010.0.0.1"]}, ("ipam.exclude[1]", "010.0.0.1")),
    ({"exclude": [""]}, ("ipam.exclude[0]", "invalid CIDR address: ")),
    ({"ipRanges": {}}, ("ipam.ipRanges", "{}")),
    ({"ipRanges": [{}]}, ("ipam.ipRanges.0.range", "required")),
    ({"ipRanges": [{"range": ""}]}, ("ipam.ipRanges[0].range", "invalid CIDR")),
    (
        {"ipRanges": [{"range": "fd00::/64"}, {"range": "fd01::/64", "range_start": "x"}]},
        ("ipam.ipRanges[1].range_start", "invalid IP address: x"),
    ),
    (
        {"ipRanges": [{"range": "fd00::/64", "range_end": "fd00::/64"}]},
        ("ipam.ipRanges[0].range_end", "invalid IP address: fd00::/64"),
    ),
    (
        {"ipRanges": [{"range": "fd00::/64", "exclude": ["fd00::/65", "y"]}]},
        ("ipam.ipRanges[0].exclude[1]", "y"),
    ),
    ({"gateway": "10.0.0"}, ("ipam.gateway", "10.0.0")),
    ({"gateway": 1}, ("ipam.gateway", "1")),
    ({"routes": [{"dst": "x"}]}, ("ipam.routes[0].dst", "x")),
    ({"dns": {"search": [1]}}, ("ipam.dns.search.0", "1")),
    (
        {"addresses": [{"address": "10.0.0.1"}]},
        ("ipam.addresses[0].address", "invalid CIDR in addresses '10.0.0.1'"),
    ),
    ({"enable_overlapping_ranges": "sometimes"}, ("enable_overlapping_ranges", "sometimes")),
    ({"network_name": 1}, ("ipam.network_name", "1")),
    ({"sleep_for_race": "1"}, ("ipam.sleep_for_race", '"1"')),
    ({"leader_lease_duration": 1.5}, ("ipam.leader_lease_duration", "1.5")),
    ({"node_slice_size": 26}, ("ipam.node_slice_size", "26")),
    ({"kubernetes": "x"}, ("ipam.kubernetes", '"x"')),
    ({"configuration_path": "/nonexistent/f"}, ("configuration_path", "/nonexistent/f")),
]


@pytest.mark.parametrize(("keys", "texts"), BAD)
def test_bad_input_names_key_and_value(host: Host, keys: Json, texts: tuple[str, ...]) -> None:
    conf = {**NET, **keys}
    text = host.call("ADD", conf).error(7)
    assert all(each in text for each in texts), text
    assert not host.state.exists()
    host.delete(conf)
    assert not host.state.exists()


def test_no_ipam_section(host: Host) -> None:
    assert "IPAM config missing 'ipam' key" in host.call("ADD", None).error(7)


def test_bounds_that_are_no_addresses(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    """Beside the top-level range the original ignores them; so do we, but not silently."""
    conf = {**NET, "range_start": "10.0.0.100/24", "range_end": "tomorrow"}
    assert host.add(conf) == ["10.0.0.1/24"]
    err = capfd.readouterr().err
    assert "key=ipam.range_start value=10.0.0.100/24" in err
    assert "key=ipam.range_end value=tomorrow" in err


def test_keys_that_only_the_cluster_needs_are_accepted(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    conf = {
        **NET,
        "datastore": "etcd",
        "etcd_host": "http://localhost:2379",
        "etcd_password": "p",
        "log_file": "/nonexistent/log",
        "log_level": "debug",
        "leader_lease_duration": 1500,
        "leader_renew_deadline": 1000,
        "leader_retry_period": 500,
        "node_slice_size": "/26",
        "sleep_for_race": 3,
        "reconciler_cron_expression": "30 4 * * *",
        "kubernetes": {"kubeconfig": "", "k8s_api_root": "https://10.0.0.1"},
        "something_new": {"of": "tomorrow"},
    }
    assert host.add(conf) == ["10.0.0.1/24"]
    assert "leases are of this node only" in capfd.readouterr().err


def test_keys_match_in_any_case_and_null_is_absent(host: Host) -> None:
    conf = {
        "type": "whereabouts",
        "Range": "10.0.0.0/24",
        "RANGE_START": "10.0.0.5",
        "exclude": None,
        "IPRanges": [{"RANGE": "fd00::/64", "range_end": None}],
        "Enable_Overlapping_Ranges": "true",
    }
    assert host.add(conf) == ["10.0.0.5/24", "fd00::1/64"]


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


class TestFlatFile:
    @pytest.fixture
    def flat(self, tmp_path: Path) -> Path:
        return tmp_path / "whereabouts.conf"

    def conf(self, flat: Path, **keys: Any) -> Json:
        return {"type": "whereabouts", "configuration_path": str(flat), **keys}

    def test_fills_what_is_empty(self, host: Host, flat: Path) -> None:
        flat.write_text(
            json.dumps(
                {
                    "Range": "10.5.0.0/24",
                    "range_start": "10.5.0.50",
                    "gateway": "10.5.0.1",
                    "exclude": ["10.5.0.50"],
                    "network_name": "blue",
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dns": {"nameservers": ["1.1.1.1"], "domain": "flat"},
                    "addresses": [{"address": "10.9.0.1/24"}],
                    "ipRanges": [{"range": "fd05::/64"}],
                }
            )
        )
        conf = self.conf(flat, exclude=[], dns={"domain": "own"}, gateway="")
        value = host.call("ADD", conf).ok()
        assert value["ips"] == [
            {"address": "10.5.0.51/24", "gateway": "10.5.0.1"},
            {"address": "fd05::1/64"},
            {"address": "10.9.0.1/24"},
        ]
        assert value["routes"] == [{"dst": "0.0.0.0/0"}]
        assert value["dns"] == {"nameservers": ["1.1.1.1"], "domain": "own"}
        assert host.add(whereabouts("10.5.0.0/24"), "c2") == ["10.5.0.1/24"]

    def test_a_standard_path(self, host: Host, flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        flat.write_text('{"gateway": "10.0.0.1"}')
        second = flat.with_name("second.conf")
        second.write_text('{"gateway": "10.0.0.2"}')
        paths = ("/nonexistent/whereabouts.conf", str(flat), str(second))
        monkeypatch.setattr("ipam.settings.STANDARD_PATHS", paths)
        assert host.call("ADD", NET).ok()["ips"][0]["gateway"] == "10.0.0.1"
        own = {**NET, "configuration_path": str(second)}
        assert host.call("ADD", own).ok()["ips"][0]["gateway"] == "10.0.0.2"
        gone = {**NET, "configuration_path": "/nonexistent/f"}
        host.call("ADD", gone).error(7)

    def test_a_directory(self, host: Host, flat: Path) -> None:
        flat.write_text('{"range": "10.5.0.0/24"}')
        assert host.add(self.conf(flat.parent)) == ["10.5.0.1/24"]

    @pytest.mark.parametrize(
        ("text", "code", "words"),
        [
            ("", 6, "flat file"),
            ("[]", 6, "must be a JSON object"),
            ("{", 6, "cannot decode"),
            ('{"range": 7}', 7, "range"),
        ],
    )
    def test_broken(self, host: Host, flat: Path, text: str, code: int, words: str) -> None:
        flat.write_text(text)
        error = host.call("ADD", self.conf(flat)).error(code)
        assert words in error
        assert str(flat) in error

    def test_the_clusters_store_is_refused(self, host: Host, flat: Path) -> None:
        flat.write_text('{"datastore": "kubernetes", "kubernetes": {"kubeconfig": "/etc/kc"}}')
        text = host.call("ADD", self.conf(flat, range="10.0.0.0/24")).error(7)
        assert "/etc/kc" in text
        assert f"kubernetes.kubeconfig of {flat}" in text
        assert "only the file store" in text
        own = {**NET, "kubernetes": {"kubeconfig": "/etc/kc2"}}
        text = host.call("ADD", own).error(7)
        assert "ipam.kubernetes.kubeconfig" in text
        assert "/etc/kc2" in text
        assert not host.state.exists()

    def test_what_the_file_store_holds_is_released_all_the_same(
        self, host: Host, flat: Path
    ) -> None:
        host.add(NET, "c1")
        host.add(NET, "c2")
        flat.write_text('{"kubernetes": {"kubeconfig": "/etc/kc"}}')
        host.delete(self.conf(flat), "c1")
        assert host.add(NET, "c3") == ["10.0.0.1/24"]
        c3 = {"containerID": "c3", "ifname": "eth0"}
        valid: dict[str, Any] = {"cni.dev/valid-attachments": [c3]}
        host.call("GC", self.conf(flat), cniVersion="1.1.0", **valid).ok()
        assert host.add(NET, "c4") == ["10.0.0.2/24"]
