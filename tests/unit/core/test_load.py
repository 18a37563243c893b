"""A plugin's keys: matched as Go matches them, and named with their value when they are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError
from cni.core.load import load

if TYPE_CHECKING:
    from cni.core.types import Json


def bridge(**keys: Any) -> Any:
    return load("cni.conf:Bridge", keys)


def test_defaults() -> None:
    conf = bridge()
    assert (conf.bridge, conf.mtu, conf.is_gateway, conf.vlan_trunk) == ("cni0", 0, False, None)
    assert conf.runtime_config.mac == ""


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ({"isGateway": True}, "is_gateway", True),
        ({"ISGATEWAY": True}, "is_gateway", True),
        ({"isgateway": True, "isGateway": False}, "is_gateway", False),
        ({"isGateway": False, "isgateway": True}, "is_gateway", False),
        ({"isGateway": None}, "is_gateway", False),
        ({"mtu": None}, "mtu", 0),
        ({"portIsolation": "true"}, "port_isolation", True),
        ({"portIsolation": "false"}, "port_isolation", False),
        ({"unknown": {"deep": []}}, "mtu", 0),
        ({"vlan": 4094}, "vlan", 4094),
    ],
)
def test_keys(keys: Json, field: str, value: object) -> None:
    assert getattr(bridge(**keys), field) == value


def test_keys_within() -> None:
    conf = bridge(
        vlanTrunk=[{"ID": 7}, {"minid": 1, "MAXID": 2}], RuntimeConfig={"MAC": "a"},
        args={"CNI": {"Mac": "b"}, "other": 1},
    )  # fmt: skip
    assert [(t.id, t.min_id, t.max_id) for t in conf.vlan_trunk] == [(7, None, None), (None, 1, 2)]
    assert (conf.runtime_config.mac, conf.args.cni.mac) == ("a", "b")


@pytest.mark.parametrize(
    ("keys", "msg"),
    [
        ({"mtu": "1500"}, '"mtu": invalid value "1500"'),
        ({"mtu": 1.5}, '"mtu": invalid value 1.5'),
        ({"mtu": True}, '"mtu": invalid value true'),
        ({"mtu": -1}, '"mtu": invalid value -1'),
        ({"mtu": 2**31}, '"mtu": invalid value 2147483648'),
        ({"mtu": 10**100}, '"mtu": invalid value 1000000'),
        ({"mtu": []}, '"mtu": invalid value []'),
        ({"MTU": "x"}, '"mtu": invalid value "x"'),
        ({"bridge": 7}, '"bridge": invalid value 7'),
        ({"isGateway": "yes please"}, '"isGateway": invalid value "yes please"'),
        ({"isGateway": 2}, '"isGateway": invalid value 2'),
        ({"isGateway": {}}, '"isGateway": invalid value {}'),
        ({"ipMasqBackend": "pf"}, '"ipMasqBackend": invalid value "pf"'),
        ({"vlan": -1}, '"vlan": invalid value -1'),
        ({"vlan": 4095}, '"vlan": invalid value 4095'),
        ({"vlanTrunk": {}}, '"vlanTrunk": invalid value {}'),
        ({"vlanTrunk": [1]}, '"vlanTrunk.0": invalid value 1'),
        ({"vlanTrunk": [{"id": 1}, {"id": 0}]}, '"vlanTrunk.1.id": invalid value 0'),
        ({"vlanTrunk": [{"id": 4095}]}, '"vlanTrunk.0.id": invalid value 4095'),
        ({"vlanTrunk": [{"minID": 0, "maxID": 1}]}, '"vlanTrunk.0.minID": invalid value 0'),
        ({"runtimeConfig": {"mac": 1}}, '"runtimeConfig.mac": invalid value 1'),
        ({"args": {"cni": {"mac": []}}}, '"args.cni.mac": invalid value []'),
        ({"args": {"cni": "x"}}, '"args.cni": invalid value "x"'),
    ],
)
def test_wrong_values(keys: Json, msg: str) -> None:
    with pytest.raises(CniError) as raised:
        bridge(**keys)
    assert raised.value.code == 7
    assert raised.value.msg.startswith(msg)
    assert raised.value.details


def test_missing_key_and_its_place() -> None:
    with pytest.raises(CniError) as raised:
        load("ipam.conf:Static", {"addresses": [{"gateway": "10.0.0.1"}]}, "ipam")
    assert (raised.value.code, raised.value.msg) == (7, '"ipam.addresses.0.address" is required')


def test_long_values_are_cut() -> None:
    with pytest.raises(CniError) as raised:
        bridge(mtu="x" * 10_000)
    assert len(raised.value.msg) < 300
