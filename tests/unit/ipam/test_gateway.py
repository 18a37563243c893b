"""A bridge's own gateway address is not handed out; the original gives it to the first pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.harness import Host, whereabouts

if TYPE_CHECKING:
    from tests.unit.ipam.harness import Json

NET = whereabouts("10.0.0.0/24")
DUAL = whereabouts("10.0.0.0/24", ipRanges=[{"range": "fd00::/64"}])


@pytest.mark.parametrize("flag", ["isGateway", "isDefaultGateway", "ISGATEWAY"])
@pytest.mark.parametrize("value", [True, "true", "True", "yes", 1])
def test_the_first_address_is_the_bridges(host: Host, flag: str, value: Any) -> None:
    assert host.add(DUAL, **{flag: value}) == ["10.0.0.2/24", "fd00::2/64"]


@pytest.mark.parametrize(
    ("gateway", "expected"),
    [
        ("10.0.0.1", ["10.0.0.2/24", "fd00::2/64"]),
        ("10.0.0.254", ["10.0.0.1/24", "fd00::2/64"]),
        ("fd00::1", ["10.0.0.2/24", "fd00::2/64"]),
        ("10.9.9.9", ["10.0.0.1/24", "fd00::2/64"]),
    ],
)
def test_a_configured_gateway_is_the_bridges(host: Host, gateway: str, expected: list[str]) -> None:
    ipam: Json = {**DUAL, "gateway": gateway}
    assert host.add(ipam, isGateway=True) == expected


def test_without_a_gateway_on_the_node_the_first_address_is_a_pods(host: Host) -> None:
    assert host.add(NET) == ["10.0.0.1/24"]
    assert host.add({**NET, "gateway": "10.0.0.2"}, "c2", isGateway=False) == ["10.0.0.2/24"]


def test_asking_for_it_is_refused(host: Host) -> None:
    reply = host.call("ADD", NET, args="IP=10.0.0.1/24", isGateway=True)
    assert "10.0.0.1" in reply.error(4)
