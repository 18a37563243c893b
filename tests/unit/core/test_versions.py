"""Results in every version: rendered, parsed, and the same again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cni.core import versions
from cni.core.errors import CniError
from cni.core.types import DNS, Interface, IPConfig, Result, Route
from cni.core.versions import parse, render

if TYPE_CHECKING:
    from cni.core.types import Json

FULL = Result(
    interfaces=(
        Interface("br0", "02:00:00:00:00:01"),
        Interface("eth0", "02:00:00:00:00:02", 1400, "/ns", "/sock", "0000:01:00.0"),
    ),
    ips=(
        IPConfig("10.1.2.3/24", "10.1.2.1", 1),
        IPConfig("fd00::3/64", "", 0),
        IPConfig("10.9.9.9/24"),
    ),
    routes=(
        Route("0.0.0.0/0"),
        Route("10.5.0.0/16", "10.1.2.9", 1300, 1200, 50, 77, 0),
        Route("fd01::/64", "fd00::1", table=0, scope=253),
    ),
    dns=DNS(("8.8.8.8",), "d", ("a.b",), ("ndots:2",)),
)
INTERFACES: list[Json] = [
    {"name": "br0", "mac": "02:00:00:00:00:01"},
    {
        "name": "eth0", "mac": "02:00:00:00:00:02", "mtu": 1400, "sandbox": "/ns",
        "socketPath": "/sock", "pciID": "0000:01:00.0",
    },
]  # fmt: skip
IPS: list[Json] = [
    {"interface": 1, "address": "10.1.2.3/24", "gateway": "10.1.2.1"},
    {"interface": 0, "address": "fd00::3/64"},
    {"address": "10.9.9.9/24"},
]
ROUTES = [
    {"dst": "0.0.0.0/0"},
    {
        "dst": "10.5.0.0/16", "gw": "10.1.2.9", "mtu": 1300, "advmss": 1200, "priority": 50,
        "table": 77, "scope": 0,
    },
    {"dst": "fd01::/64", "gw": "fd00::1", "table": 0, "scope": 253},
]  # fmt: skip
DNS_JSON = {"nameservers": ["8.8.8.8"], "domain": "d", "search": ["a.b"], "options": ["ndots:2"]}


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_modern_shape(version: str) -> None:
    gone = () if version == "1.1.0" else ("socketPath", "pciID")
    assert render(FULL, version) == {
        "cniVersion": version,
        "interfaces": [{k: v for k, v in each.items() if k not in gone} for each in INTERFACES],
        "ips": IPS,
        "routes": ROUTES,
        "dns": DNS_JSON,
    }
    assert render(Result(), version) == {"cniVersion": version}


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
def test_middle_shape(version: str) -> None:
    gone = ("mtu", "socketPath", "pciID")
    assert render(FULL, version) == {
        "cniVersion": version,
        "interfaces": [{k: v for k, v in each.items() if k not in gone} for each in INTERFACES],
        "ips": [{"version": kind} | ip for kind, ip in zip(("4", "6", "4"), IPS, strict=True)],
        "routes": ROUTES,
        "dns": DNS_JSON,
    }
    assert list(render(FULL, version)["ips"][0]) == ["version", "interface", "address", "gateway"]
    assert render(Result(), version) == {"cniVersion": version, "dns": {}}


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_oldest_shape(version: str) -> None:
    """The first address of each family, and its routes with destination and gateway alone."""
    assert render(FULL, version) == {
        "cniVersion": version,
        "ip4": {
            "ip": "10.1.2.3/24",
            "gateway": "10.1.2.1",
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.5.0.0/16", "gw": "10.1.2.9"}],
        },
        "ip6": {"ip": "fd00::3/64", "routes": [{"dst": "fd01::/64", "gw": "fd00::1"}]},
        "dns": DNS_JSON,
    }


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_oldest_shape_drops_routes_of_a_family_without_address(version: str) -> None:
    result = Result(ips=(IPConfig("10.1.2.3/24"),), routes=(Route("::/0"),))
    assert render(result, version) == {
        "cniVersion": version, "ip4": {"ip": "10.1.2.3/24"}, "dns": {},
    }  # fmt: skip


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_oldest_shape_needs_an_address(version: str) -> None:
    with pytest.raises(CniError, match="no valid IP addresses") as raised:
        render(Result(interfaces=(Interface("eth0"),)), version)
    assert raised.value.code == 1


def test_parse_of_the_oldest_shape() -> None:
    said: Json = {
        "cniVersion": "0.2.0",
        "ip4": {"ip": "10.1.2.3/24", "gateway": "10.1.2.1", "routes": [{"dst": "0.0.0.0/0"}]},
        "ip6": {"ip": "fd00::3/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        "dns": {"domain": "d"},
    }
    assert parse(said) == Result(
        ips=(IPConfig("10.1.2.3/24", "10.1.2.1"), IPConfig("fd00::3/64")),
        routes=(Route("0.0.0.0/0"), Route("::/0", "fd00::1")),
        dns=DNS(domain="d"),
    )
    assert render(parse(said), "0.2.0") == said


@pytest.mark.parametrize(
    "said", [{}, {"cniVersion": ""}, {"ips": None}, {"ip4": None}, {"dns": None}, {"unknown": 1}]
)
def test_nothing_is_an_empty_result(said: Json) -> None:
    assert parse(said) == Result()


@pytest.mark.parametrize("said", [None, [], 1, "x", True])
def test_what_is_no_result(said: Any) -> None:
    with pytest.raises(CniError, match="result must be a dict") as raised:
        parse(said)
    assert raised.value.code == 6


@pytest.mark.parametrize("version", ["9.9.9", "1.0", 1, ["1.0.0"]])
def test_result_of_an_unknown_version(version: Any) -> None:
    with pytest.raises(CniError, match="unsupported CNI result version") as raised:
        parse({"cniVersion": version}, "prevResult")
    assert raised.value.code == 1


def test_old_middle_shapes_routes_inside_addresses_are_not_lost_silently() -> None:
    """0.3.0 and later have routes at the top only; unknown keys of an address are passed over."""
    said = {"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.1.2.3/24", "x": 1}]}
    assert parse(said).ips == (IPConfig("10.1.2.3/24"),)


# the same again

few = settings(max_examples=40, deadline=None)

v4 = st.ip_addresses(v=4).map(str)
v6 = st.ip_addresses(v=6).map(str)
words = st.text(max_size=20)
cidrs = st.one_of(
    st.builds("{}/{}".format, v4, st.integers(0, 32)),
    st.builds("{}/{}".format, v6, st.integers(0, 128)),
)
numbers = st.integers(0, 2**32 - 1)
dnses = st.builds(
    DNS,
    st.lists(words).map(tuple), words, st.lists(words).map(tuple), st.lists(words).map(tuple),
)  # fmt: skip
plain_interfaces = st.builds(Interface, words, words, st.just(0), words, st.just(""), st.just(""))
newer_interfaces = st.builds(Interface, words, words, numbers, words, st.just(""), st.just(""))
interfaces = st.builds(Interface, words, words, numbers, words, words, words)
ips = st.builds(IPConfig, cidrs, st.one_of(st.just(""), v4, v6), st.none() | numbers)
routes = st.builds(
    Route, cidrs, st.one_of(st.just(""), v4, v6), numbers, numbers, numbers,
    st.none() | numbers, st.none() | st.integers(0, 255),
)  # fmt: skip


def results(of_interfaces: st.SearchStrategy[Interface]) -> st.SearchStrategy[Result]:
    def tuples(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
        return st.lists(items, max_size=4).map(tuple)

    return st.builds(Result, tuples(of_interfaces), tuples(ips), tuples(routes), dnses)


@few
@given(results(interfaces))
def test_newest_round_trip(result: Result) -> None:
    assert parse(render(result, "1.1.0")) == result


@few
@given(results(newer_interfaces))
def test_new_round_trip(result: Result) -> None:
    assert parse(render(result, "1.0.0")) == result


@few
@given(results(plain_interfaces), st.sampled_from(["0.3.0", "0.3.1", "0.4.0"]))
def test_middle_round_trip(result: Result, version: str) -> None:
    assert parse(render(result, version)) == result


@few
@given(results(interfaces), st.sampled_from(versions.SUPPORTED))
def test_rendering_again_is_the_same(result: Result, version: str) -> None:
    """Through any version once, then as often as one likes."""
    try:
        once = render(result, version)
    except CniError as error:
        assert version in ("0.1.0", "0.2.0")
        assert not result.ips
        assert error.code == 1
        return
    assert render(parse(once), version) == once


@few
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["cniVersion", "interfaces", "ips", "routes", "dns", "ip4", "ip6", "ip",
                         "address", "interface", "dst", "gw", "name", "nameservers"]) | words,
        inner,
    ),
))  # fmt: skip
def test_parse_says_what_is_wrong_or_understands(said: Any) -> None:
    try:
        assert isinstance(parse(said), Result)
    except CniError as error:
        assert error.code in (1, 6)
        assert error.msg
