"""What the original allocates, run against the original's own code: vectors W, C and L.

`used` is leased to somebody else first, from the same pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.unit.ipam.harness import Host, whereabouts

if TYPE_CHECKING:
    from collections.abc import Iterable


class Vector(NamedTuple):
    """One allocation."""

    name: str
    range: str
    result: str
    keys: dict[str, Any] = {}  # noqa: RUF012  # read only
    used: tuple[str, ...] = ()


def several(pattern: str, numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(pattern.format(number) for number in numbers)


def excluding(*exclude: str) -> dict[str, Any]:
    return {"exclude": list(exclude)}


def bounded(start: str, end: str = "", *exclude: str) -> dict[str, Any]:
    return {"range_start": start, "range_end": end, "exclude": list(exclude)}


NET0 = "192.168.0.{}"
NET1 = "192.168.1.{}"

ALLOCATIONS = [
    Vector("W1", "192.168.1.1/24", "192.168.1.1/24"),
    Vector("W2", "192.168.2.225/28", "192.168.2.225/28"),
    Vector("W3", "caa5::0/112", "caa5::1/112"),
    Vector("W4", "::1/126", "::1/126"),
    Vector("W5", "fd::1/116", "fd::1/116"),
    Vector("W6", "100::2:1/126", "100::2:1/126"),
    Vector("W7", "192.168.0.0/29", "192.168.0.4/29", excluding("192.168.0.0/30")),
    Vector("W8", "192.168.0.0/29", "192.168.0.2/29", excluding("192.168.0.1")),
    Vector("W10", "100::2:1/125", "100::2:4/125", excluding("100::2:1/126")),
    Vector("W11", "100::2:1/125", "100::2:2/125", excluding("100::2:1")),
    Vector("W13", "2001:db8::/30", "2001:db9::/30", excluding("2001:db8::0/32")),
    Vector(
        "W14",
        "192.168.0.0/28",
        "192.168.0.10/28",
        excluding("192.168.0.0/30", "192.168.0.6/31", "192.168.0.8/31", "192.168.0.4/30"),
    ),
    Vector(
        "W15",
        "192.168.0.0/28",
        "192.168.0.10/28",
        excluding(
            "192.168.0.0/30",
            "192.168.0.14/31",
            "192.168.0.4/30",
            "192.168.0.6/31",
            "192.168.0.8/31",
        ),
    ),
    Vector("W19", "192.168.0.0/29", "192.168.0.1/29", bounded("192.168.0.0")),
    Vector("W20", "192.168.0.0/29", "192.168.0.1/29", bounded("192.168.0.0", "192.168.0.8")),
    Vector(
        "W22",
        "192.168.0.0/28",
        "192.168.0.4/28",
        bounded("192.168.0.1", "192.168.0.6"),
        several(NET0, (1, 2, 3)),
    ),
    Vector(
        "W23",
        "192.168.0.0/28",
        "192.168.0.3/28",
        bounded("192.168.0.1", "192.168.0.6"),
        several(NET0, (1, 2, 5)),
    ),
    Vector("W24", "192.168.1.5-192.168.1.25/24", "192.168.1.5/24"),
    Vector(
        "W25",
        "192.168.1.11-192.168.1.23/24",
        "192.168.1.22/24",
        used=several(NET1, range(11, 22)),
    ),
    Vector(
        "W26",
        "192.168.1.0/24",
        "192.168.1.32/24",
        excluding("192.168.1.0/28", "192.168.1.16/28"),
    ),
    Vector(
        "W27", "2001::1/116", "2001::3/116", excluding("2001::0/128", "2001::1/128", "2001::2/128")
    ),
    Vector("W28", "caa5::0/112", "caa5::8000/112", excluding("caa5::0/113")),
    Vector(
        "W29",
        "2001:db8:480:603d:0304:0403:000:0000-2001:db8:480:603d:0304:0403:0000:0004/64",
        "2001:db8:480:603d:304:403::/64",
    ),
    Vector(
        "W30",
        "2001:db8:5422:0005::-2001:db8:5422:0005:7fff:ffff:ffff:ffff/64",
        "2001:db8:5422:5::1/64",
    ),
    Vector("W31", "fd00:0:0:10:0:0:3:1-fd00:0:0:10:0:0:3:6/64", "fd00::10:0:0:3:1/64"),
    Vector("W32", "192.168.1.44/28", "192.168.1.33/28"),
    Vector("W37", "192.168.21.100/30", "192.168.21.101/30"),
    Vector(
        "W38",
        "192.168.2.200/24",
        "192.168.2.254/24",
        bounded("192.168.2.100", "192.168.2.50"),
        several("192.168.2.{}", range(100, 254)),
    ),
    Vector("W39", "192.168.2.200/24", "192.168.2.50/24", bounded("192.168.2.50", "192.168.2.50")),
    Vector("W40", "192.168.2.0/24", "192.168.2.1/24", bounded("192.168.1.150", "192.168.3.100")),
    Vector("W42", "00192.00168.1.5-000000192.168.1.25/24", "192.168.1.5/24"),
    Vector("W44", "10.0.0.0/23", "10.0.0.255/23", used=several("10.0.0.{}", range(1, 255))),
    Vector("W45", "10.0.0.0/23", "10.0.1.0/23", used=several("10.0.0.{}", range(1, 256))),
    Vector("W46", "192.168.1.50-192.168.1.10/24", "192.168.1.50/24"),
    Vector(
        "W47",
        "2000::/64",
        "2000::ffff:ffff:ffff:fffe/64",
        bounded("2000::ffff:ffff:ffff:fffe"),
    ),
]

FULL = "Could not allocate IP in range: ip: "
EXCLUDE = "could not parse exclude range, err: "
SHORT = "net mask is too short, subnet "

REFUSALS = [
    (7, EXCLUDE, Vector("W9", "192.168.0.0/29", "192.168.0.1/123", excluding("192.168.0.1/123"))),
    (7, EXCLUDE, Vector("W12", "100::2:1/125", "100::2::1", excluding("100::2::1"))),
    (
        100,
        FULL,
        Vector(
            "W16",
            "192.168.0.0/29",
            "192.168.0.1 / - 192.168.0.6 / range: 192.168.0.0/29 / excludeRanges: [192.168.0.0/30]",
            excluding("192.168.0.0/30"),
            several(NET0, (4, 5, 6)),
        ),
    ),
    (
        100,
        FULL,
        Vector(
            "W17",
            "192.168.0.0/29",
            "192.168.0.1 / - 192.168.0.6",
            excluding("192.168.0.4/30"),
            several(NET0, (1, 2, 3)),
        ),
    ),
    (
        100,
        FULL,
        Vector(
            "W18",
            "100::2:1/125",
            "100::2:1 / - 100::2:6 / range: 100::2:0/125",
            excluding("100::2:4/126"),
            several("100::2:{}", (1, 2, 3)),
        ),
    ),
    (
        100,
        FULL,
        Vector(
            "W21",
            "192.168.0.0/28",
            "192.168.0.1 / - 192.168.0.6",
            bounded("192.168.0.1", "192.168.0.6", "192.168.0.4/30"),
            several(NET0, (1, 2, 3)),
        ),
    ),
    (
        100,
        FULL,
        Vector(
            "W33",
            "192.168.1.0/24",
            "192.168.1.5 / - 192.168.1.12",
            bounded("192.168.1.5", "192.168.1.12"),
            several(NET1, range(5, 13)),
        ),
    ),
    (7, SHORT, Vector("W34", "192.168.21.100/31", "192.168.21.100/31")),
    (7, SHORT, Vector("W35", "10.0.0.5/32", "10.0.0.5/32")),
    (7, SHORT, Vector("W36", "2000::/127", "2000::/127")),
    (
        7,
        "invalid range start for CIDR",
        Vector("W41", "192.168.1.5-192.168.2.25/28", "192.168.2.16/28: 192.168.1.5"),
    ),
    (100, FULL, Vector("W43", "10.0.0.0/24", "10.0.0.1 / - 10.0.0.254", excluding("10.0.0.0/16"))),
]


def network_of(vector: Vector) -> str:
    return vector.range.rpartition("-")[2]


@pytest.mark.parametrize("vector", ALLOCATIONS, ids=lambda v: v.name)
def test_allocates(host: Host, vector: Vector) -> None:
    host.use(network_of(vector), vector.used)
    assert host.add(whereabouts(vector.range, **vector.keys)) == [vector.result]


@pytest.mark.parametrize(("code", "text", "vector"), REFUSALS, ids=[v.name for *_, v in REFUSALS])
def test_refuses(host: Host, code: int, text: str, vector: Vector) -> None:
    if vector.used:
        host.use(network_of(vector), vector.used)
    message = host.call("ADD", whereabouts(vector.range, **vector.keys)).error(code)
    assert text in message
    assert vector.result in message


@pytest.mark.parametrize("name", ["W19", "W20", "W30", "W38", "W40", "W46"])
def test_an_ignored_bound_is_warned_about(
    host: Host, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    vector = next(each for each in ALLOCATIONS if each.name == name)
    host.add(whereabouts(vector.range, **vector.keys), container="c9")
    warnings = [line for line in capfd.readouterr().err.splitlines() if "level=warning" in line]
    assert len(warnings) == (2 if name in ("W20", "W40") else 1)
    assert all(
        "bound of the range ignored" in line and "key=ipam.range" in line for line in warnings
    )
    assert all("value=" in line for line in warnings)


class TestConfiguration:
    """Vectors C: what the original makes of a configuration."""

    def test_c1_dash_form(self, host: Host) -> None:
        conf = whereabouts("192.168.1.5-192.168.1.25/24")
        given = [host.add(conf, f"c{i}") for i in range(21)]
        assert (given[0], given[-1]) == (["192.168.1.5/24"], ["192.168.1.25/24"])
        host.call("ADD", conf, "c99").error(100)

    def test_c2_start_in_the_range_and_gateway_of_the_configuration(self, host: Host) -> None:
        flat = host.state.parent / "whereabouts.conf"
        flat.write_text('{"gateway": "192.168.5.5"}')
        conf = whereabouts(
            "192.168.2.230/24",
            range_start="192.168.2.223",
            gateway="192.168.10.1",
            configuration_path=str(flat),
        )
        assert host.call("ADD", conf).ok()["ips"] == [
            {"address": "192.168.2.223/24", "gateway": "192.168.10.1"}
        ]

    @pytest.mark.parametrize(
        ("in_flat", "in_conf", "second"),
        [("false", True, "10.0.0.2/25"), ("true", False, "10.0.0.1/25")],
    )
    def test_c3_the_flat_file_never_decides_about_overlap(
        self, host: Host, in_flat: str, in_conf: bool, second: str
    ) -> None:
        flat = host.state.parent / "whereabouts.conf"
        flat.write_text(f'{{"enable_overlapping_ranges": {in_flat}}}')
        keys = {"enable_overlapping_ranges": in_conf, "configuration_path": str(flat)}
        assert host.add(whereabouts("10.0.0.0/24", **keys), "c1") == ["10.0.0.1/24"]
        assert host.add(whereabouts("10.0.0.0/25", **keys), "c2") == [second]

    def test_c4_leading_zeros(self, host: Host) -> None:
        conf = whereabouts(
            "00192.00168.1.0/24",
            range_start="00192.00168.1.44",
            range_end="00192.00168.01.209",
        )
        assert host.add(conf) == ["192.168.1.44/24"]
        host.use("192.168.1.0/24", several(NET1, range(45, 210)))
        assert "192.168.1.44 / - 192.168.1.209" in host.call("ADD", conf, "c2").error(100)

    def test_c5_another_type(self, host: Host) -> None:
        text = host.call("ADD", {"type": "static", "range": "10.0.0.0/24"}).error(7)
        assert '"ipam.type"' in text
        assert "This one was: static" in text


class TestLifecycle:
    """Vectors L, as far as they concern a store without a cluster."""

    @pytest.mark.parametrize(
        ("cidr", "ip"), [("192.168.1.0/24", "192.168.1.1/24"), ("2001::/116", "2001::1/116")]
    )
    def test_l1_released_and_given_again(self, host: Host, cidr: str, ip: str) -> None:
        conf = whereabouts(cidr)
        assert host.add(conf) == [ip]
        host.delete(conf)
        assert host.add(conf) == [ip]

    def test_l2_the_same_pod_in_a_new_container(self, host: Host) -> None:
        """The original hands the lease over by pod name, and so takes it from a live container."""
        conf = whereabouts("192.168.1.0/24")
        args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web-0"
        assert host.add(conf, "old", args=args) == ["192.168.1.1/24"]
        assert host.add(conf, "new", args=args) == ["192.168.1.2/24"]
        host.delete(conf, "old", args=args)
        assert host.add(conf, "new", args=args) == ["192.168.1.2/24"]

    @pytest.mark.parametrize(
        ("overlap", "first", "second", "ips"),
        [
            (True, "192.168.22.0/24", "192.168.22.0/28", ["192.168.22.1/24", "192.168.22.2/28"]),
            (False, "192.168.33.0/24", "192.168.33.0/28", ["192.168.33.1/24", "192.168.33.1/28"]),
            (True, "2001::2:3:0/124", "2001::2:3:0/126", ["2001::2:3:1/124", "2001::2:3:2/126"]),
        ],
        ids=["L3 on", "L3 off", "L4"],
    )
    def test_overlapping_ranges(
        self, host: Host, overlap: bool, first: str, second: str, ips: list[str]
    ) -> None:
        given = [
            *host.add(whereabouts(first, enable_overlapping_ranges=overlap), "a", name="net-a"),
            *host.add(whereabouts(second, enable_overlapping_ranges=overlap), "b", name="net-b"),
        ]
        assert given == ips

    def test_l5_several_ranges(self, host: Host) -> None:
        both = {"ipRanges": [{"range": "192.168.10.1/24"}, {"range": "abcd::1/64"}]}
        assert host.add({"type": "whereabouts", **both}) == ["192.168.10.1/24", "abcd::1/64"]

    def test_l5_the_top_level_range_comes_first(self, host: Host) -> None:
        conf = whereabouts("abcd::1/64", ipRanges=[{"range": "192.168.10.1/24"}])
        assert host.add(conf) == ["abcd::1/64", "192.168.10.1/24"]

    def test_l6_addresses_and_routes_beside_the_lease(self, host: Host) -> None:
        conf = whereabouts(
            "192.168.1.44/28",
            gateway="192.168.1.1",
            addresses=[
                {"address": "10.10.0.1/24", "gateway": "10.10.0.254"},
                {"address": "3ffe:ffff:0:01ff::1/64", "gateway": "3ffe:ffff:0::1"},
            ],
            routes=[
                {"dst": "0.0.0.0/0"},
                {"dst": "192.168.0.0/16", "gw": "10.10.5.1"},
                {"dst": "3ffe:ffff:0:01ff::1/64"},
            ],
        )
        value = host.call("ADD", conf).ok()
        assert value["ips"] == [
            {"address": "192.168.1.33/28", "gateway": "192.168.1.1"},
            {"address": "10.10.0.1/24", "gateway": "10.10.0.254"},
            {"address": "3ffe:ffff:0:1ff::1/64", "gateway": "3ffe:ffff::1"},
        ]
        assert value["routes"] == [
            {"dst": "0.0.0.0/0"},
            {"dst": "192.168.0.0/16", "gw": "10.10.5.1"},
            {"dst": "3ffe:ffff:0:1ff::1/64"},
        ]

    def test_l7_unknown_container(self, host: Host) -> None:
        conf = whereabouts("192.168.1.0/24")
        host.delete(conf, "never-seen")
        host.add(conf)
        host.delete(conf, "never-seen")
        assert host.add(conf) == ["192.168.1.1/24"]
