"""The grammar of network selection: the vectors of the reference that concern parsing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.core.errors import CniError
from meta.multus import selection

PARSE = "parsePodNetworkAnnotation"
NAME = f"{PARSE}: parsePodNetworkObjectName"
MISMATCH = (
    f"{NAME}: Failed to parse: one or more items did not match comma-delimited format (must consist"
    " of lower case alphanumeric characters). Must start and end with an alphanumeric character),"
    " mismatch @ '{}'"
)
IFNAME = (
    f"{NAME}: Failed to parse interface name: must be less than 15 chars and not contain '/' or"
    " spaces. interface name '{}'"
)
JSON = f"{PARSE}: failed to parse pod Network Attachment Selection Annotation JSON format"


def parsed(text: str) -> list[tuple[str, str, str]]:
    return [
        (each.namespace, each.name, selection.ifname(each))
        for each in selection.parse(text, "default")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "n1, n2 ,other/n1",
            [("default", "n1", ""), ("default", "n2", ""), ("other", "n1", "")],
        ),
        ("n1@eth5", [("default", "n1", "eth5")]),
        ("other/n1@foo0", [("other", "n1", "foo0")]),
        ("n1@my_if", [("default", "n1", "my_if")]),
        ("n1,n1", [("default", "n1", ""), ("default", "n1", "")]),
        ("n1@", [("default", "n1", "")]),
        ("/n1", [("default", "n1", "")]),
        ("[]", []),
        ("n1,", [("default", "n1", ""), ("default", "", "")]),
        ("   ", [("default", "", "")]),
        ("@x", [("default", "", "x")]),
        ("[{}]", [("default", "", "")]),
        ("n1@abcdefghijklmno", [("default", "n1", "abcdefghijklmno")]),
        ('[{"NAME":"n1","Interface":"q0"}]', [("default", "n1", "q0")]),
        ('[{"name":"n1","interfaceRequest":"old0"}]', [("default", "n1", "old0")]),
        (
            '[{"name":"n1","interfaceRequest":"old0","interface":"new0","color":"red"}]',
            [("default", "n1", "new0")],
        ),
        ('[{"name":"n1","namespace":"dev"}]', [("dev", "n1", "")]),
    ],
)
def test_accepted(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "msg"),
    [
        ("", f'{PARSE}: pod annotation does not have "network" as key'),
        ("a/b/c", f"{NAME}: Invalid network object (failed at '/')"),
        ("other/n1@a/b", f"{NAME}: Invalid network object (failed at '/')"),
        (
            "root@someIP/root@someOtherIP/root@thirdIP",
            f"{NAME}: Invalid network object (failed at '/')",
        ),
        ("n1@a@b", f"{NAME}: Invalid network object (failed at '@')"),
        (
            "root@someIP/root@someOtherIP@garbagevalue",
            f"{NAME}: Invalid network object (failed at '@')",
        ),
        ("N1", MISMATCH.format("N1")),
        ("n_1", MISMATCH.format("n_1")),
        ("n.1", MISMATCH.format("n.1")),
        ("-n1", MISMATCH.format("-n1")),
        ("root@someIP/root@someOtherIP", MISMATCH.format("root@someIP")),
        ("n1@abcdefghijklmnop", IFNAME.format("abcdefghijklmnop")),
        ("n1@a b", IFNAME.format("a b")),
        ("default/net1@very_long_interface_name", IFNAME.format("very_long_interface_name")),
        ('{"name":"n1"}', f"{JSON}: a list of objects is expected, got dict"),
        ('["n1"]', f'{JSON}: element 0 must be an object, got "n1"'),
        ('[{"name":"n1"},null]', f"{JSON}: element 1 must be an object, got null"),
        ('"n1"', f"{JSON}: a list of objects is expected, got str"),
        ('[{"name":"n1"}', f"{JSON}: "),
        ("[adsfasdfasdfasf]", f"{JSON}: "),
        ('[{"name":1}]', f'{JSON}: "0.name": invalid value 1'),
        ('[{"ips":"1.2.3.4"}]', f'{JSON}: "0.ips": invalid value "1.2.3.4"'),
        ('[{"cni-args":[]}]', f'{JSON}: "0.cni-args": invalid value []'),
        (
            '[{"portMappings":[{"hostPort":70000}]}]',
            f'{JSON}: "0.portMappings.0.hostPort": invalid value 70000',
        ),
        (
            '[{"bandwidth":{"ingressRate":"1M"}}]',
            f'{JSON}: "0.bandwidth.ingressRate": invalid value "1M"',
        ),
        ('[{"mac":"zz"}]', f"{PARSE}: failed to mac: address zz: invalid MAC address"),
        (
            '[{"mac":"c2:11:22:33:44"}]',
            f"{PARSE}: failed to mac: address c2:11:22:33:44: invalid MAC address",
        ),
        (
            '[{"infiniband-guid":"xx"}]',
            f"{PARSE}: failed to validate infiniband GUID: address xx: invalid MAC address",
        ),
        ('[{"ips":["1.2.3"]}]', 'failed to parse IP address "1.2.3"'),
        ('[{"ips":["fe80::1%eth0"]}]', 'failed to parse IP address "fe80::1%eth0"'),
        (
            '[{"ips":["1.2.3.4/33"]}]',
            'failed to parse CIDR "1.2.3.4/33": invalid CIDR address: 1.2.3.4/33',
        ),
        (
            '[{"ips":["1.2.3.4/255.0.0.0"]}]',
            'failed to parse CIDR "1.2.3.4/255.0.0.0": invalid CIDR address: 1.2.3.4/255.0.0.0',
        ),
        ('[{"default-route":["x"]}]', '"default-route": failed to parse IP address "x"'),
        ('[{"default-route":"10.0.0.1"}]', f'{JSON}: "0.default-route": invalid value "10.0.0.1"'),
    ],
)
def test_refused(text: str, msg: str) -> None:
    with pytest.raises(CniError) as refused:
        selection.parse(text, "default")
    assert refused.value.msg.startswith(msg)
    assert refused.value.code == 7


@pytest.mark.parametrize(
    "address",
    [
        "c2:11:22:33:44:66",
        "c2-11-22-33-44-66",
        "C211.2233.4466",
        "24:8a:07:03:00:8d:ae:2e",
        ":".join(["00"] * 20),
    ],
)
def test_hardware_addresses_as_go_reads_them(address: str) -> None:
    assert selection.is_hardware_address(address)


@pytest.mark.parametrize(
    "address", ["", "c2:11:22:33:44", "c2:11:22:33:44:6", "c2:11-22:33:44:66", "c21122334466"]
)
def test_no_hardware_addresses(address: str) -> None:
    assert not selection.is_hardware_address(address)


def test_wishes_become_capability_arguments() -> None:
    element = selection.parse(
        """[{"name":"n1", "ips":["10.0.0.1/24","fd00::1"], "mac":"c2:11:22:33:44:66",
        "infiniband-guid":"24:8a:07:03:00:8d:ae:2e", "deviceID":"0000:03:02.0",
        "portMappings":[{"HostPort":8080,"containerPort":80,"protocol":"tcp"}],
        "bandwidth":{"ingressRate":1000}}]"""
    )[0]
    assert selection.runtime_config(element) == {
        "ips": ["10.0.0.1/24", "fd00::1"],
        "mac": "c2:11:22:33:44:66",
        "infinibandGUID": "24:8a:07:03:00:8d:ae:2e",
        "deviceID": "0000:03:02.0",
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
        "bandwidth": {"ingressRate": 1000, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0},
    }


def test_an_empty_default_route_is_not_an_absent_one() -> None:
    absent, empty = selection.parse('[{"name":"a"},{"name":"b","default-route":[]}]')
    assert absent.default_route is None
    assert empty.default_route == []


@given(st.text(alphabet='abz09-_./@,[]{}":\\ \t\n', max_size=40) | st.text(max_size=20))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        selection.parse(text)
    except CniError as error:
        assert error.code in (6, 7)
