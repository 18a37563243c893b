"""static: what is spelled out comes back, and errors name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.ipam.harness import Host, Json


def static_conf(*addresses: str | tuple[str, str], **keys: Any) -> Json:
    entries = [
        {"address": each} if isinstance(each, str) else {"address": each[0], "gateway": each[1]}
        for each in addresses
    ]
    return {"type": "static", "addresses": entries, **keys}


def test_everything_passes_through(static: Host) -> None:
    conf = static_conf(
        ("10.10.0.1/24", "10.10.0.254"),
        ("3ffe:ffff:0:01ff::1/64", "3ffe:ffff:0::1"),
        routes=[
            {"dst": "0.0.0.0/0"},
            {"dst": "192.168.7.7/16", "gw": "10.10.5.1", "mtu": 1400, "priority": 100, "scope": 0},
        ],
        dns={"nameservers": ["8.8.8.8"], "domain": "example.com", "search": ["a", "b"]},
    )
    assert static.call("ADD", conf, cniVersion="1.1.0").ok() == {
        "cniVersion": "1.1.0",
        "ips": [
            {"address": "10.10.0.1/24", "gateway": "10.10.0.254"},
            {"address": "3ffe:ffff:0:1ff::1/64", "gateway": "3ffe:ffff::1"},
        ],
        "routes": [
            {"dst": "0.0.0.0/0"},
            {"dst": "192.168.7.7/16", "gw": "10.10.5.1", "mtu": 1400, "priority": 100, "scope": 0},
        ],
        "dns": {"nameservers": ["8.8.8.8"], "domain": "example.com", "search": ["a", "b"]},
    }


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_old_versions_tell_one_address_of_each_family(static: Host, version: str) -> None:
    value = static.call("ADD", static_conf("10.0.0.1/24", "fd00::1/64"), cniVersion=version).ok()
    assert value["ip4"] == {"ip": "10.0.0.1/24"}
    assert value["ip6"] == {"ip": "fd00::1/64"}


@pytest.mark.parametrize("version", ["", "0.1.0", "0.2.0"])
def test_old_versions_refuse_two_of_a_family(static: Host, version: str) -> None:
    conf = static_conf("10.0.0.1/24", "10.0.1.1/24")
    text = static.call("ADD", conf, cniVersion=version).error(7)
    assert "does not support more than 1 address per family" in text
    assert static.add(conf, cniVersion="0.3.0") == ["10.0.0.1/24", "10.0.1.1/24"]


class TestCallers:
    """CNI_ARGS appends, args.cni.ips replaces, runtimeConfig.ips replaces again."""

    def test_cni_args_append(self, static: Host) -> None:
        ips = static.add(static_conf("10.0.0.1/24"), args="IP=10.0.1.1/24, fd00::1/64")
        assert ips == ["10.0.0.1/24", "10.0.1.1/24", "fd00::1/64"]

    def test_gateways_go_to_the_addresses_of_their_network(self, static: Host) -> None:
        value = static.call(
            "ADD",
            static_conf(("10.0.0.1/24", "10.0.0.9"), "10.9.0.1/24"),
            args="IP=10.0.1.1/24;GATEWAY=10.0.1.254,10.0.0.254,fd00::1",
        ).ok()
        assert [each.get("gateway") for each in value["ips"]] == ["10.0.0.254", None, "10.0.1.254"]

    def test_args_cni_ips_replace(self, static: Host) -> None:
        ips = static.add(
            static_conf("10.0.0.1/24"),
            args="IP=10.0.1.1/24",
            Args={"CNI": {"IPs": ["10.5.0.1/16"]}},
        )
        assert ips == ["10.5.0.1/16"]

    def test_runtime_config_replaces_again(self, static: Host) -> None:
        ips = static.add(
            static_conf("10.0.0.1/24"),
            Args={"cni": {"ips": ["10.5.0.1/16"]}},
            runtimeConfig={"ips": ["10.6.0.1/16", "fd06::1/64"]},
        )
        assert ips == ["10.6.0.1/16", "fd06::1/64"]

    def test_empty_lists_replace_nothing(self, static: Host) -> None:
        ips = static.add(
            static_conf("10.0.0.1/24"), Args={"cni": {"ips": []}}, runtimeConfig={"ips": []}
        )
        assert ips == ["10.0.0.1/24"]


@pytest.mark.parametrize(
    ("conf", "more", "code", "texts"),
    [
        (static_conf("10.0.0.1"), {}, 7, ("ipam.addresses[0].address", "got: '10.0.0.1'")),
        (static_conf(""), {}, 7, ("ipam.addresses[0].address", "got: ''")),
        (static_conf("10.0.0.1/24", "x/24"), {}, 7, ("ipam.addresses[1].address", "'x/24'")),
        (static_conf(("10.0.0.1/24", "x")), {}, 7, ("ipam.addresses[0].gateway", "x")),
        (
            {"type": "static", "addresses": [{"gateway": "10.0.0.1"}]},
            {},
            7,
            ("ipam.addresses.0.address", "required"),
        ),
        ({"type": "static", "addresses": "x"}, {}, 7, ("ipam.addresses", '"x"')),
        ({"type": "static", "addresses": [7]}, {}, 7, ("ipam.addresses.0", "7")),
        (static_conf(routes=[{"dst": "10.0.0.1"}]), {}, 7, ("ipam.routes[0].dst", "10.0.0.1")),
        (static_conf(routes=[{"gw": "10.0.0.1"}]), {}, 7, ("ipam.routes.0.dst", "required")),
        (
            static_conf(routes=[{"dst": "::/0", "gw": "y"}]),
            {},
            7,
            ("ipam.routes[0].gw", "invalid IP address: y"),
        ),
        (
            static_conf(routes=[{"dst": "::/0", "mtu": "1500"}]),
            {},
            7,
            ("ipam.routes.0.mtu", '"1500"'),
        ),
        (static_conf(routes=[{"dst": "::/0", "mtu": -1}]), {}, 7, ("ipam.routes.0.mtu", "-1")),
        (static_conf(routes=[{"dst": "::/0", "scope": 256}]), {}, 7, ("routes.0.scope", "256")),
        (static_conf(dns={"nameservers": "8.8.8.8"}), {}, 7, ("ipam.dns.nameservers", "8.8.8.8")),
        (static_conf(dns=[]), {}, 7, ("ipam.dns", "[]")),
        (static_conf(), {"args": "IP=10.0.0.1"}, 4, ("CNI_ARGS", "IP", "'10.0.0.1'")),
        (static_conf(), {"args": "GATEWAY=nope"}, 4, ("CNI_ARGS", "GATEWAY", "nope")),
        (static_conf(), {"args": "FOO=bar"}, 4, ("unknown args", "FOO=bar")),
        (
            static_conf(),
            {"Args": {"cni": {"ips": ["10.0.0.1/24", "z"]}}},
            7,
            ("args.cni.ips[1]", "'z'"),
        ),
        (static_conf(), {"Args": {"cni": {"ips": "z"}}}, 7, ("args.cni.ips", '"z"')),
        (static_conf(), {"Args": {"cni": 5}}, 7, ("args.cni", "5")),
        (static_conf(), {"runtimeConfig": {"ips": ["q"]}}, 7, ("runtimeConfig.ips[0]", "'q'")),
        (static_conf(), {"runtimeConfig": {"ips": [4]}}, 7, ("runtimeConfig.ips.0", "4")),
        (None, {}, 7, ("ipam",)),
    ],
)
def test_errors_name_key_and_value(
    static: Host, conf: Json | None, more: dict[str, Any], code: int, texts: tuple[str, ...]
) -> None:
    text = static.call("ADD", conf, **more).error(code)
    assert all(each in text for each in texts), text


class TestCheck:
    def test_what_add_returned(self, static: Host) -> None:
        conf = static_conf(("10.0.0.1/24", "10.0.0.254"), "fd00::1/64")
        result = static.call("ADD", conf).ok()
        assert static.call("CHECK", conf, prevResult=result).ok() is None

    def test_further_addresses_are_somebody_elses(self, static: Host) -> None:
        result = static.call("ADD", static_conf("10.0.0.1/24", "10.9.0.1/24")).ok()
        static.call("CHECK", static_conf("10.0.0.1/24"), prevResult=result).ok()

    def test_an_absent_address(self, static: Host) -> None:
        result = static.call("ADD", static_conf("10.0.0.1/24")).ok()
        text = static.call(
            "CHECK", static_conf("10.0.0.1/24", "10.0.0.2/24"), prevResult=result
        ).error(102)
        assert '"10.0.0.2/24"' in text
        assert "prevResult" in text

    def test_another_gateway(self, static: Host) -> None:
        result = static.call("ADD", static_conf(("10.0.0.1/24", "10.0.0.9"))).ok()
        conf = static_conf(("10.0.0.1/24", "10.0.0.254"))
        text = static.call("CHECK", conf, prevResult=result).error(102)
        assert "static: Failed to match addr 10.0.0.1/24 on interface eth0" in text

    def test_without_prev_result(self, static: Host) -> None:
        text = static.call("CHECK", static_conf("10.0.0.1/24")).error(7)
        assert "prevResult missing" in text


def test_the_other_verbs_keep_no_records(static: Host) -> None:
    broken = {"type": "static", "addresses": "x"}
    static.delete(broken)
    nothing: dict[str, Any] = {"cni.dev/valid-attachments": []}
    static.call("GC", broken, cniVersion="1.1.0", **nothing).ok()
    static.call("STATUS", static_conf("10.0.0.1/24"), cniVersion="1.1.0").ok()
    assert "ipam.addresses" in static.call("STATUS", broken, cniVersion="1.1.0").error(7)
    assert not static.state.exists()
