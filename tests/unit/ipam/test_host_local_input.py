"""host-local: every key has its error, which names it and its value, and leases nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.host_local import Network, conf

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.ipam.harness import Json


@pytest.fixture
def net(tmp_path: Path) -> Network:
    return Network(tmp_path / "state")


def ranges(value: Any) -> Json:
    return {"type": "host-local", "ranges": value}


def subnet(cidr: str = "192.0.2.0/24", **keys: Any) -> Json:
    return conf([{"subnet": cidr, **keys}])


FIRST = '"ipam.ranges[0][0]'

BAD: list[tuple[Json | None, tuple[str, ...]]] = [
    (None, ("IPAM config missing 'ipam' key",)),
    (conf(), ("no IP ranges specified",)),
    ({"rangeStart": "10.0.0.1"}, ("no IP ranges specified",)),
    (ranges("x"), ('"ipam.ranges"', '"x"')),
    (ranges([7]), ('"ipam.ranges.0"', "7")),
    (ranges([{"subnet": "10.0.0.0/24"}]), ('"ipam.ranges.0"', "10.0.0.0/24")),
    (ranges([[7]]), ('"ipam.ranges.0.0"', "7")),
    (ranges([[{}]]), ('"ipam.ranges.0.0.subnet" is required',)),
    (ranges([[{"subnet": None}]]), ('"ipam.ranges.0.0.subnet" is required',)),
    (ranges([[]]), ("invalid range set 0", '"ipam.ranges[0]": empty range set')),
    (subnet(""), (f'{FIRST}.subnet"', "''")),
    (subnet("192.0.2.0"), (f'{FIRST}.subnet"', "'192.0.2.0'")),
    (subnet("192.0.02.0/24"), (f'{FIRST}.subnet"', "'192.0.02.0/24'")),
    (subnet("192.0.2.0/33"), (f'{FIRST}.subnet"', "'192.0.2.0/33'")),
    (subnet("192.0.2.0/255.255.255.0"), (f'{FIRST}.subnet"', "255.255.255.0")),
    (subnet("x"), (f'{FIRST}.subnet"', "'x'")),
    (
        subnet("192.0.2.12/24"),  # H21
        (
            "invalid range set 0: ",
            f'{FIRST}.subnet": Network has host bits set. ',
            "For a subnet mask of length 24 the network address is 192.0.2.0",
        ),
    ),
    (subnet("192.0.2.0/31"), ("Network 192.0.2.0/31 too small to allocate from",)),  # H22
    (subnet("192.0.2.0/32"), ("Network 192.0.2.0/32 too small to allocate from",)),
    (subnet("fd00::/127"), ("Network fd00::/127 too small to allocate from",)),
    (subnet("::ffff:10.0.0.0/120"), (f'{FIRST}.subnet": IPNet IP and Mask version mismatch',)),
    (
        subnet(rangeStart="192.0.3.0"),  # H23
        (f'{FIRST}.rangeStart": RangeStart 192.0.3.0 not in network 192.0.2.0/24',),
    ),
    (
        subnet(rangeStart="192.0.2.50", rangeEnd="192.0.2.40"),  # H24
        ("RangeStart 192.0.2.50 not in network 192.0.2.0/24", "rangeEnd is 192.0.2.40"),
    ),
    (
        subnet(rangeEnd="192.0.3.0"),
        (f'{FIRST}.rangeEnd": RangeEnd 192.0.3.0 not in network 192.0.2.0/24',),
    ),
    (subnet(rangeEnd="192.0.2.0"), ("RangeStart 192.0.2.1 not in network", "192.0.2.0")),
    (subnet(rangeStart="fd00::1"), ("RangeStart fd00::1 not in network",)),
    (subnet(rangeStart="x"), (f'{FIRST}.rangeStart"', "invalid IP address: x")),
    (subnet(rangeStart="192.0.2.1/24"), (f'{FIRST}.rangeStart"', "192.0.2.1/24")),
    (subnet(rangeEnd="y"), (f'{FIRST}.rangeEnd"', "invalid IP address: y")),
    (subnet(gateway="z"), (f'{FIRST}.gateway"', "invalid IP address: z")),
    (subnet(gateway=5), ('"ipam.ranges.0.0.gateway"', "5")),
    (subnet(rangeStart=5), ('"ipam.ranges.0.0.rangeStart"', "5")),
    (
        conf(["10.1.0.0/22", "10.1.2.0/24"]),  # H25
        (
            '"ipam.ranges[0][1].subnet": ',
            "subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap",
        ),
    ),
    (conf(["10.1.0.0/22", "fd00::/64"]), ("mixed address families", "[0][1]")),  # H26
    (
        conf("10.1.2.0/24", "10.1.0.0/22"),
        ('"ipam.ranges[1]": range set 0 overlaps with 1',),
    ),
    ({"subnet": "10.0.0.1/24"}, ('"ipam.subnet": Network has host bits set',)),
    ({"subnet": 7}, ('"ipam.subnet"', "7")),
    ({"subnet": "10.0.0.0/24", "gateway": "g"}, ('"ipam.gateway"', "g")),
    ({"subnet": "10.0.0.0/24", "rangeEnd": "g"}, ('"ipam.rangeEnd"', "g")),
    (conf("10.0.0.0/24", routes=7), ('"ipam.routes"', "7")),
    (conf("10.0.0.0/24", routes=[{}]), ('"ipam.routes.0.dst" is required',)),
    (conf("10.0.0.0/24", routes=[{"dst": "10.0.0.1"}]), ("ipam.routes[0].dst", "10.0.0.1")),
    (conf("10.0.0.0/24", routes=[{"dst": "::/0", "gw": "q"}]), ("ipam.routes[0].gw", "q")),
    (conf("10.0.0.0/24", resolvConf=7), ('"ipam.resolvConf"', "7")),
    (conf("10.0.0.0/24", dataDir=7), ('"ipam.dataDir"', "7")),
]


@pytest.mark.parametrize(("ipam", "texts"), BAD)
def test_configuration(net: Network, ipam: Json | None, texts: tuple[str, ...]) -> None:
    text = net.call("ADD", ipam).error(7)
    assert all(each in text for each in texts), text
    status = net.call("STATUS", ipam, cniVersion="1.1.0").error(7)
    assert status == text
    assert not net.state.exists()
    net.delete(ipam)


GOOD = conf("10.0.0.0/24")


@pytest.mark.parametrize(
    ("more", "code", "texts"),
    [
        ({"args": "IP=nope"}, 4, ("CNI_ARGS: IP", "nope")),
        ({"args": "IP=10.0.0.5/33"}, 4, ("CNI_ARGS: IP", "10.0.0.5/33")),
        ({"args": "IP"}, 4, ("CNI_ARGS", '"IP"')),
        ({"args": "FOO=bar"}, 4, ("unknown args", "FOO=bar")),
        ({"args": "IP=10.0.9.9"}, 4, ("CNI_ARGS: IP", "requested IPs: 10.0.9.9")),
        ({"args": "IP=10.0.0.1"}, 4, ("CNI_ARGS: IP", "10.0.0.1 is subnet's gateway")),
        ({"Args": {"cni": {"ips": ["z"]}}}, 7, ("args.cni.ips[0]", "z")),
        ({"Args": {"cni": {"ips": "z"}}}, 7, ("args.cni.ips", '"z"')),
        ({"Args": {"cni": 5}}, 7, ("args.cni", "5")),
        ({"runtimeConfig": {"ips": ["z"]}}, 7, ("runtimeConfig.ips[0]", "z")),
        ({"runtimeConfig": {"ips": [5]}}, 7, ("runtimeConfig.ips.0", "5")),
        ({"runtimeConfig": {"ipRanges": 5}}, 7, ("runtimeConfig.ipRanges", "5")),
        (
            {"runtimeConfig": {"ipRanges": [[]]}},
            7,
            ("runtimeConfig.ipRanges[0]", "empty range set"),
        ),
        (
            {"runtimeConfig": {"ipRanges": [[{"subnet": "10.0.0.0/16"}]]}},
            7,
            ('"ipam.ranges[0]": range set 0 overlaps with 1',),
        ),
    ],
)
def test_what_the_caller_says(
    net: Network, more: dict[str, Any], code: int, texts: tuple[str, ...]
) -> None:
    text = net.call("ADD", GOOD, **more).error(code)
    assert all(each in text for each in texts), text
    assert not net.leases()


@pytest.mark.parametrize("path", ["/nonexistent/resolv.conf", "/", "/proc/1/mem"])
def test_resolv_conf(net: Network, path: str) -> None:
    text = net.call("ADD", {**GOOD, "resolvConf": path}).error(5)
    assert "ipam.resolvConf" in text
    assert path in text
    ipam = {**GOOD, "resolvConf": path}
    assert net.call("STATUS", ipam, cniVersion="1.1.0").error(50) == text
    assert not net.leases()


def test_a_data_dir_that_is_none(net: Network, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    ipam = {**GOOD, "dataDir": str(file)}
    assert str(file) in net.call("ADD", ipam).error(5)
    assert str(file) in net.call("STATUS", ipam, cniVersion="1.1.0").error(50)
    net.delete(ipam)
