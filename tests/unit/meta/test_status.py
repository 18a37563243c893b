"""The network-status annotation: the original's bytes, and which entries there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.core import log
from cni.core.types import DNS, Interface, IPConfig, Result, Route
from meta.multus.network_status import Told, text

HOST, POD = Interface("veth0", "02:00:00:00:00:09", 1500), "/run/netns/p"


def pod(name: str, mac: str = "", mtu: int = 0) -> Interface:
    return Interface(name, mac, mtu, POD)


def entries(*told: Told) -> list[dict[str, Any]]:
    written = text(told)
    out: list[dict[str, Any]] = json.loads(written) if written else []
    return out


def master(*interfaces: Interface, **rest: Any) -> list[dict[str, Any]]:
    return entries(Told("a", Result(interfaces, **rest)))


def secondary(*interfaces: Interface, **rest: Any) -> list[dict[str, Any]]:
    return entries(Told("m", Result()), Told("a", Result(interfaces, **rest)))


def test_the_bytes() -> None:
    first = Result(
        interfaces=(pod("eth0", "02:00:00:00:00:01"),),
        ips=(IPConfig("10.1.2.3/24", "10.1.2.1", 0),),
        routes=(Route("0.0.0.0/0", "10.1.2.1"), Route("10.9.0.0/16", "10.1.2.2")),
    )
    device = {
        "pci": {"pf-pci-address": "0000:03:00.0", "pci-address": "0000:03:02.0"},
        "version": "1.1.0",
        "type": "pci",
    }
    told = [Told("cbr0", first), Told("default/n1", Result((pod("net1"),)), device)]
    assert text(told) == (
        """[{
    "name": "cbr0",
    "interface": "eth0",
    "ips": [
        "10.1.2.3"
    ],
    "mac": "02:00:00:00:00:01",
    "default": true,
    "dns": {},
    "gateway": [
        "10.1.2.1"
    ]
},{
    "name": "default/n1",
    "interface": "net1",
    "dns": {},
    "device-info": {
        "type": "pci",
        "version": "1.1.0",
        "pci": {
            "pci-address": "0000:03:02.0",
            "pf-pci-address": "0000:03:00.0"
        }
    }
}]"""
    )


def test_every_member_in_order() -> None:
    dns = DNS(("10.0.0.10",), "local", ("a.local", "b.local"), ("ndots:5",))
    result = Result(
        interfaces=(pod("eth0", "02:00:00:00:00:01", 9000),),
        ips=(IPConfig("10.1.2.3/24"), IPConfig("FD00:0::3/64")),
        routes=(Route("::/0", "FE80::0:1"),),
        dns=dns,
    )
    assert text([Told("n", result, {"type": "memif", "memif": {"mode": "ip"}})]) == (
        """[{
    "name": "n",
    "interface": "eth0",
    "ips": [
        "10.1.2.3",
        "fd00::3"
    ],
    "mac": "02:00:00:00:00:01",
    "mtu": 9000,
    "default": true,
    "dns": {
        "nameservers": [
            "10.0.0.10"
        ],
        "domain": "local",
        "search": [
            "a.local",
            "b.local"
        ],
        "options": [
            "ndots:5"
        ]
    },
    "device-info": {
        "type": "memif",
        "memif": {
            "mode": "ip"
        }
    },
    "gateway": [
        "fe80::1"
    ]
}]"""
    )


def test_nothing_to_tell() -> None:
    assert text([]) == ""
    ips = (IPConfig("10.1.2.3/24"),)
    assert text([Told("a", Result()), Told("b", Result(ips=ips), {"type": "pci"})]) == ""


def test_the_master_is_the_first_even_without_an_entry() -> None:
    assert secondary(pod("net1")) == [{"name": "a", "interface": "net1", "dns": {}}]


def test_one_interface_on_the_host() -> None:
    ips = (IPConfig("10.1.2.3/24", interface=7), IPConfig("10.1.2.4/24"))
    expected = {"name": "a", "ips": ["10.1.2.3", "10.1.2.4"], "dns": {}}
    assert secondary(HOST, ips=ips) == [expected]
    assert master(HOST, ips=ips) == [{**expected, "default": True}]


def test_one_interface_has_all_addresses() -> None:
    ips = (IPConfig("10.1.2.3/24", interface=0), IPConfig("10.1.2.4/24", interface=3))
    assert secondary(pod("net1"), ips=ips)[0]["ips"] == ["10.1.2.3", "10.1.2.4"]


def test_several_interfaces() -> None:
    ips = tuple(IPConfig(f"192.0.2.{n}/24", interface=i) for n, i in ((1, 1), (2, 1), (3, 2)))
    first = {"interface": "example0", "ips": ["192.0.2.1", "192.0.2.2"], "default": True}
    second = {"interface": "example1", "ips": ["192.0.2.3"]}
    assert master(Interface("foo"), pod("example0"), pod("example1"), ips=ips) == [
        {"name": "a", "dns": {}, **each} for each in (first, second)
    ]


def test_addresses_of_no_interface_that_is_told() -> None:
    ips = (
        IPConfig("192.0.2.1/24"),
        IPConfig("192.0.2.2/24", interface=0),
        IPConfig("192.0.2.3/24", interface=-1),
        IPConfig("192.0.2.4/24", interface=9),
        IPConfig("192.0.2.5/24", interface=1),
        IPConfig("192.0.2.6/24"),
    )
    shown = secondary(HOST, pod("a0"), pod("a1"), HOST, ips=ips)
    assert [(each["interface"], each["ips"]) for each in shown] == [
        ("a0", ["192.0.2.5"]),
        ("a1", ["192.0.2.1", "192.0.2.6"]),
    ]


def test_several_interfaces_none_of_them_in_the_pod() -> None:
    assert master(HOST, HOST, ips=(IPConfig("192.0.2.1/24", "192.0.2.9", 0),)) == []


@pytest.mark.parametrize(
    ("ips", "default"),
    [
        ([], "eth0"),
        ([IPConfig("192.0.2.1/24", "192.0.2.9")], "eth0"),
        ([IPConfig("192.0.2.1/24", "192.0.2.9", -1)], "eth0"),
        ([IPConfig("192.0.2.1/24", "", 1), IPConfig("192.0.2.2/24", "192.0.2.9", 2)], "primary"),
        ([IPConfig("192.0.2.1/24", "192.0.2.9", 2), IPConfig("::1/64", "::2", 1)], "primary"),
        ([IPConfig("192.0.2.1/24", "192.0.2.9"), IPConfig("::1/64", "::2", 2)], "primary"),
        ([IPConfig("192.0.2.1/24", "192.0.2.9", 0), IPConfig("::1/64", "::2", 1)], None),
        ([IPConfig("192.0.2.1/24", "192.0.2.9", 9)], None),
    ],
)
def test_the_default_of_several(ips: list[IPConfig], default: str | None) -> None:
    interfaces = (HOST, pod("eth0"), pod("primary"))
    expected = [] if default is None else [default]
    shown = master(*interfaces, ips=tuple(ips))
    assert [each["interface"] for each in shown if each.get("default")] == expected
    assert not any("default" in each for each in secondary(*interfaces, ips=tuple(ips)))


def test_repeated_in_each_entry() -> None:
    result = Result(
        (pod("a0"), pod("a1")), routes=(Route("0.0.0.0/0", "10.0.0.1"),), dns=DNS(domain="x")
    )
    shown = entries(Told("a", result, {"type": "vdpa"}))
    repeated = {"dns": {"domain": "x"}, "device-info": {"type": "vdpa"}, "gateway": ["10.0.0.1"]}
    assert len(shown) == 2
    assert all(each.items() >= repeated.items() for each in shown)


@pytest.mark.parametrize(
    ("route", "gateways"),
    [
        (Route("0.0.0.0/0", "10.0.0.1"), ["10.0.0.1"]),
        (Route("::0/0", "fe80:0::1"), ["fe80::1"]),
        (Route("0.0.0.0/0", "::ffff:10.0.0.1"), ["10.0.0.1"]),
        (Route("0.0.0.0/0"), ["<nil>"]),
        (Route("0.0.0.0/0", "x"), ["<nil>"]),
        (Route("0.0.0.0/0", "10.0.0.1", table=100), ["10.0.0.1"]),
        (Route("0.0.0.0/1", "10.0.0.1"), ["10.0.0.1"]),
        (Route("::ffff:0.0.0.0/96", "10.0.0.1"), ["10.0.0.1"]),
        (Route("", "10.0.0.1"), ["10.0.0.1"]),
        (Route("10.0.0.0/8", "10.0.0.1"), None),
        (Route("garbage", "10.0.0.1"), None),
    ],
)
def test_gateways(route: Route, gateways: list[str] | None) -> None:
    assert master(pod("eth0"), routes=(route,))[0].get("gateway") == gateways


def test_a_route_without_gateway_as_go_writes_it() -> None:
    told = [Told("a", Result((pod("eth0"),), routes=(Route("0.0.0.0/0"), Route("::/0"))))]
    nil = r'"\u003cnil\u003e"'
    assert f'"gateway": [\n        {nil},\n        {nil}\n    ]' in text(told)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("2001:db8:0:0:1:0:0:1/64", "2001:db8::1:0:0:1"),
        ("1:0:2:3:4:5:6:7/64", "1:0:2:3:4:5:6:7"),
        ("::1.2.3.4/96", "::102:304"),
        ("::ffff:1.2.3.4/120", "1.2.3.4"),
        ("", None),
        ("x/24", None),
        ("010.1.2.3/24", None),
    ],
)
def test_addresses_as_go_spells_them(written: str, told: str | None) -> None:
    shown = master(pod("eth0"), ips=(IPConfig(written),))[0].get("ips")
    assert shown == (None if told is None else [told])


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ('a"b\\c/d', r"a\"b\\c/d"),
        ("<&>", r"\u003c\u0026\u003e"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\n\r\t\b\f", r"\n\r\t\b\f"),
        ("\0\x1f", r"\u0000\u001f"),
        ("\x7f\x85é😀\ufffd", "\x7f\x85é😀\ufffd"),
        ("\ud800x\udc00", "\ufffdx\ufffd"),
        ("\ud83d\ude00", "😀"),
    ],
)
def test_escapes(name: str, written: str) -> None:
    assert text([Told(name, Result((HOST,)))]) == (
        f'[{{\n    "name": "{written}",\n    "default": true,\n    "dns": {{}}\n}}]'
    )


def device_info(info: dict[str, Any]) -> Any:
    return entries(Told("a", Result((pod("eth0"),)), info))[0]["device-info"]


def test_every_member_of_a_device() -> None:
    pci = "pci-address vhost-net rdma-device pf-pci-address representor-device"
    vdpa = "parent-device driver path pci-address pf-pci-address representor-device"
    members = {"pci": pci, "vdpa": vdpa, "vhost-user": "mode path", "memif": "role path mode"}
    info: dict[str, Any] = {"type": "pci", "version": "1.1.0"}
    for key, names in members.items():
        info[key] = {name: f"{key} {name}" for name in names.split()}
    turned = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(info.items())
    }
    assert json.dumps(device_info(turned)) == json.dumps(info)


@pytest.fixture
def left_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a log line says of."""
    keys: list[str] = []
    monkeypatch.setattr(log, "warning", lambda _, key: keys.append(key))
    return keys


def test_members_that_a_device_does_not_have(left_out: list[str]) -> None:
    pci = {"PCI-Address": "old", "pci-ADDRESS": "new", "vhost-net": "", "serial": 7}
    info = {"TYPE": "pci", "version": None, "x": [1], "pci": pci, "vdpa": {}}
    assert device_info(info) == {"type": "pci", "pci": {"pci-address": "new"}, "vdpa": {}}
    assert device_info({"type": ""}) == {}
    assert left_out == []


def test_members_of_the_wrong_type(left_out: list[str]) -> None:
    info = {"type": "pci", "version": 1, "pci": {"rdma-device": ["x"]}, "memif": "x"}
    assert device_info(info) == {"type": "pci", "pci": {}}
    assert left_out == [f"device-info.{key}" for key in ("version", "pci.rdma-device", "memif")]


words = st.text(st.characters(), max_size=8)  # halves of surrogate pairs included
addresses = words | st.ip_addresses().map(lambda each: f"{each}/24")
numbers = st.integers(-(2**40), 2**40)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
device_keys = st.sampled_from(("type", "version", "pci", "Vdpa", "memif", "path", "mode")) | words
devices = st.dictionaries(
    device_keys, json_values | st.dictionaries(device_keys, json_values, max_size=3), max_size=4
)
results = st.builds(
    Result,
    interfaces=st.lists(
        st.builds(Interface, words, words, numbers, st.sampled_from(("", POD))), max_size=4
    ).map(tuple),
    ips=st.lists(
        st.builds(IPConfig, addresses, addresses, st.none() | st.integers(-2, 5)), max_size=4
    ).map(tuple),
    routes=st.lists(st.builds(Route, addresses, addresses), max_size=3).map(tuple),
    dns=st.builds(DNS, st.lists(words, max_size=2).map(tuple), words),
)


@given(st.lists(st.builds(Told, words, results, st.none() | devices), max_size=3))
def test_any_answer(told: list[Told]) -> None:
    written = text(told)
    expected = sum(
        1
        if len(each.result.interfaces) == 1
        else sum(bool(x.sandbox) for x in each.result.interfaces)
        for each in told
    )
    assert bool(written) == bool(expected)
    shown = json.loads(written) if written else []
    assert len(shown) == expected
    assert sum(each.get("default", False) for each in shown) <= 1
    assert not set(written) & set("<>&\u2028\u2029")
    written.encode()
    for each in shown:
        assert {"name", "dns"} <= each.keys()
        assert all(value or key in ("name", "dns", "device-info") for key, value in each.items())
