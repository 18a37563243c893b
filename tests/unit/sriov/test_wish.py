"""What a configuration may ask of a VF: the original's vectors, and where it is too lenient."""

from __future__ import annotations

from typing import Any

import pytest

from cni.core.errors import CniError
from cni.core.types import Request
from cni.host.vf import Rate, Settings, Vlan
from cni.sriov.wish import Wish, check_keys, misspelt, named_device, parse

DEVICE = "0000:af:06.1"


def wish(cni_args: str = "", /, **keys: Any) -> Wish:
    config = {"name": "net", "type": "sriov", "deviceID": DEVICE, **keys}
    return parse(Request("ADD", config, {}, network="net", args=cni_args))


def refused(cni_args: str = "", /, **keys: Any) -> CniError:
    with pytest.raises(CniError) as caught:
        wish(cni_args, **keys)
    return caught.value


def test_without_options_nothing_is_asked() -> None:
    assert wish(vf=0, master="enp175s0f1") == Wish(DEVICE, Settings())


def test_all_options() -> None:
    asked = wish(vlan=100, vlanQoS=5, vlanProto="802.1AD", mac="60:00:00:00:00:E1", spoofchk="off",
                 trust="on", link_state="enable", min_tx_rate=10, max_tx_rate=20,
                 mtu=9000)  # fmt: skip
    assert asked.settings == Settings(
        vlan=Vlan(100, 5, "802.1ad"),
        mac="60:00:00:00:00:e1",
        rate=Rate(10, 20),
        spoofchk=False,
        trust=True,
        link_state="enable",
    )
    assert (asked.mac, asked.mtu) == ("60:00:00:00:00:e1", 9000)


def test_keys_match_in_any_case() -> None:
    asked = wish(Vlan=7, MAC="02:00:00:00:00:01", SpoofChk="ON")
    assert asked.settings.vlan == Vlan(7)
    assert asked.mac == "02:00:00:00:00:01"
    assert asked.settings.spoofchk is True


@pytest.mark.parametrize(
    "value", [None, "", "af:06.0", "0000:af:06", "../0000:af:06.0", "0000:af:06.0/..", "eth0", "x"]
)
def test_a_device_is_named_by_its_full_address(value: object) -> None:
    error = refused(deviceID=value)
    assert error.code == 7
    assert '"deviceID"' in error.msg
    assert not value or str(value) in error.msg


def test_the_device_that_the_runtime_names_comes_first() -> None:
    assert wish(runtimeConfig={"deviceID": "0000:AF:06.0"}).device == "0000:af:06.0"
    assert '"runtimeConfig.deviceID": "x"' in refused(runtimeConfig={"deviceID": "x"}).msg


@pytest.mark.parametrize("value", [5000, -1, 4095, "100", 100.5, True, [1]])
def test_vlans_out_of_range(value: object) -> None:
    assert '"vlan": invalid value' in refused(vlan=value).msg


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"vlan": 0, "vlanQoS": 1}, '"vlanQoS": 1'),
        ({"vlan": 0, "vlanProto": "802.1ad"}, '"vlanProto": 802.1ad'),
        ({"vlan": 100, "vlanQoS": 8}, '"vlanQoS": invalid value 8'),
        ({"vlan": 100, "vlanQoS": -1}, '"vlanQoS": invalid value -1'),
        ({"vlan": 100, "vlanProto": "802"}, '"vlanProto": "802"'),
        ({"vlan": 100, "vlanProto": ""}, '"vlanProto": ""'),
        ({"vlanQoS": 0}, '"vlanQoS": 0 needs "vlan"'),
        ({"vlanQoS": 0, "vlan": None}, '"vlanQoS": 0 needs "vlan"'),
        ({"vlanProto": "802.1q"}, '"vlanProto": 802.1q needs "vlan"'),
        ({"link_state": "up"}, '"link_state": invalid value "up"'),
        ({"link_state": "Enable"}, '"link_state": invalid value "Enable"'),
        ({"spoofchk": "yes"}, '"spoofchk": "yes"'),
        ({"trust": True}, '"trust": invalid value true'),
        ({"min_tx_rate": -5}, '"min_tx_rate": invalid value -5'),
        ({"min_tx_rate": 100, "max_tx_rate": 50}, '"min_tx_rate": 100 is more'),
        ({"max_tx_rate": 2**31}, '"max_tx_rate": invalid value 2147483648'),
        ({"mac": "nope"}, '"mac": invalid MAC address "nope"'),
        ({"mac": "01:00:00:00:00:01"}, '"mac": "01:00:00:00:00:01" is no unicast'),
        ({"mac": "00:00:00:00:00:00"}, '"mac": "00:00:00:00:00:00" is no unicast'),
        ({"mac": "02:00:00:00:00:00:00:01"}, '"mac"'),
        ({"runtimeConfig": {"mac": "x"}}, '"runtimeConfig.mac"'),
        ({"mtu": -1}, '"mtu": invalid value -1'),
        ({"logLevel": 4}, '"logLevel": invalid value 4'),
    ],
)
def test_what_cannot_be_is_refused_by_name(keys: dict[str, Any], named: str) -> None:
    error = refused(**keys)
    assert error.code == 7
    assert error.msg.startswith(named), error


@pytest.mark.parametrize(
    ("keys", "vlan"),
    [
        ({"vlan": 0}, Vlan(0)),
        ({"vlan": 0, "vlanQoS": 0, "vlanProto": "802.1Q"}, Vlan(0)),
        ({"vlan": 100, "vlanProto": "802.1Q"}, Vlan(100)),
        ({"vlan": 100, "vlanProto": "802.1AD"}, Vlan(100, 0, "802.1ad")),
        ({"vlan": None}, None),
    ],
)
def test_vlans(keys: dict[str, Any], vlan: Vlan | None) -> None:
    """Absent and 0 are not the same: absent leaves the VF's VLAN as it is."""
    assert wish(**keys).settings.vlan == vlan


@pytest.mark.parametrize(
    ("keys", "rate"),
    [
        ({"min_tx_rate": 100}, Rate(100, 0)),
        ({"max_tx_rate": 100}, Rate(0, 100)),
        ({"min_tx_rate": 0, "max_tx_rate": 0}, Rate(0, 0)),
    ],
)
def test_one_rate_alone_leaves_the_other_unlimited(keys: dict[str, Any], rate: Rate) -> None:
    assert wish(**keys).settings.rate == rate


def test_the_closest_to_the_pod_says_its_mac_address() -> None:
    keys: dict[str, Any] = {"mac": "02:00:00:00:00:04"}
    assert wish(**keys).mac == "02:00:00:00:00:04"
    assert wish("MAC=02:00:00:00:00:03", **keys).mac == "02:00:00:00:00:03"
    keys["args"] = {"cni": {"mac": "02:00:00:00:00:02"}}
    assert wish("MAC=02:00:00:00:00:03", **keys).mac == "02:00:00:00:00:02"
    keys["runtimeConfig"] = {"mac": "02-00-00-00-00-0A"}
    assert wish("MAC=02:00:00:00:00:03", **keys).mac == "02:00:00:00:00:0a"


def test_other_arguments_of_the_runtime_have_to_be_declared_harmless() -> None:
    error = refused("K8S_POD_NAME=x")
    assert (error.code, "K8S_POD_NAME=x" in error.msg) == (4, True)
    assert wish("IgnoreUnknown=1;K8S_POD_NAME=x").mac == ""


def test_misspelt_keys_are_noticed() -> None:
    """sriov-cni#201: `max-tx-rate` was ignored without a word."""
    config = {"max-tx-rate": 5, "vlanqos": 1, "link-state": "auto", "Vlan": 1, "other": 2}
    assert misspelt(config) == [("max-tx-rate", "max_tx_rate"), ("link-state", "link_state")]


@pytest.mark.parametrize("value", [None, 5, "x", "../..", ["0000:af:06.0"]])
def test_a_del_does_without_a_device(value: object) -> None:
    assert named_device(Request("DEL", {"deviceID": value}, {})) == ""


def test_status_looks_at_all_keys_but_the_device() -> None:
    """It comes with the pod, by runtimeConfig."""
    check_keys(Request("STATUS", {"type": "sriov", "vlan": 5}, {}))
    with pytest.raises(CniError, match='"vlanQoS"'):
        check_keys(Request("STATUS", {"type": "sriov", "vlanQoS": 5}, {}))
