"""What the skeleton accepts: environment, standard input, the verbs of each version."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from cni.core import request, skel, versions
from cni.core.errors import CniError
from cni.core.request import MAX_INPUT, build, canonical, decode
from tests.unit.core.harness import GOOD, call

if TYPE_CHECKING:
    from cni.core.types import Json, Request

CONF: Json = {"cniVersion": "1.1.0", "name": "net", "type": "loopback"}


# the environment


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("ADD", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
        ("CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
        ("DEL", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH"),
        ("GC", "CNI_PATH"),
        ("STATUS", "CNI_PATH"),
    ],
)
def test_missing_variables(command: str, missing: str) -> None:
    error = call(command, CONF, drop=tuple(GOOD)).error(4)
    assert error["msg"] == f"required env variables [{missing}] missing"
    empty: Any = dict.fromkeys(GOOD, "")
    assert call(command, CONF, **empty).error(4)["msg"] == error["msg"]


@pytest.mark.parametrize("name", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"])
@pytest.mark.parametrize("command", ["ADD", "CHECK", "DEL", "GC", "STATUS"])
def test_one_missing_variable(command: str, name: str) -> None:
    answer = call(command, CONF, drop=(name,))
    if name in request.REQUIRED[command]:
        assert answer.error(4)["msg"] == f"required env variables [{name}] missing"
    else:
        assert "required env variables" not in answer.stdout


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CNI_CONTAINERID": "a/b"}, "invalid characters in containerID"),
        ({"CNI_CONTAINERID": "../x"}, "invalid characters in containerID"),
        ({"CNI_CONTAINERID": "a\n"}, "invalid characters in containerID"),
        ({"CNI_CONTAINERID": "-a"}, "invalid characters in containerID"),
        ({"CNI_CONTAINERID": "ä"}, "invalid characters in containerID"),
        ({"CNI_CONTAINERID": "a\udc80"}, "invalid characters in containerID"),
        ({"CNI_IFNAME": "a" * 16}, "longer than 15 bytes"),
        ({"CNI_IFNAME": "."}, ". or .."),
        ({"CNI_IFNAME": ".."}, ". or .."),
        ({"CNI_IFNAME": "a:b"}, "contains / or : or whitespace"),
        ({"CNI_IFNAME": "a/b"}, "contains / or : or whitespace"),
        ({"CNI_IFNAME": "eth0\n"}, "contains / or : or whitespace"),
        ({"CNI_IFNAME": "eth%d"}, "contains %"),
        ({"CNI_IFNAME": "\udcff"}, "not UTF-8"),
        # a bad value is told before a missing one
        ({"CNI_CONTAINERID": "a/b", "CNI_PATH": ""}, "invalid characters in containerID"),
    ],
)
@pytest.mark.parametrize("command", ["ADD", "CHECK", "DEL"])
def test_bad_variables(command: str, variables: dict[str, Any], words: str) -> None:
    error = call(command, CONF, **variables).error(4)
    assert words in error["msg"]
    assert next(iter(variables)) in error["msg"]


@pytest.mark.parametrize("command", ["GC", "STATUS"])
def test_verbs_of_a_network_do_not_look_at_a_container(command: str) -> None:
    answer = call(command, CONF, CNI_CONTAINERID="a/b", CNI_IFNAME="..")
    assert (answer.status, answer.stdout) == (0, "")


def test_without_command_it_says_what_it_is() -> None:
    answer = call(None, b"{", CNI_CONTAINERID="../x")
    assert (answer.status, answer.stdout) == (0, "")
    assert answer.stderr.startswith("CNI loopback plugin")
    versions_line = answer.stderr.splitlines()[1]
    assert versions_line == (
        "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
    )


@pytest.mark.parametrize("stdin", [b"", b"{", b'{"cniVersion":"9.9.9"}'])
def test_version_needs_nothing(stdin: bytes) -> None:
    answer = call("VERSION", stdin, drop=tuple(GOOD), CNI_CONTAINERID="../x")
    assert answer.status == 0
    assert answer.json == {"cniVersion": "1.1.0", "supportedVersions": list(versions.SUPPORTED)}
    assert next(iter(answer.json)) == "cniVersion"


@pytest.mark.parametrize("command", ["FOO", "add", " ADD", "ADD\n", "VERSION "])
def test_unknown_command(command: str) -> None:
    assert call(command, CONF).error(4)["msg"] == f"unknown CNI_COMMAND: {command}"


@pytest.mark.parametrize("plugin", ["nosuch", "", "../bridge", "cni.bridge"])
def test_unknown_plugin(plugin: str) -> None:
    assert f'no plugin is called "{plugin}"' in call("STATUS", CONF, plugin=plugin).error(4)["msg"]


# standard input


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{}{}",
        b"{'name':'x'}",
        b'{"name":"net",}',
        b'{"name":NaN}',
        b'{"name":Infinity}',
        b'{"name":-Infinity}',
        b'{"mtu":1e999}',
        b'{"mtu":-1e999}',
        b'{"mtu":' + b"1" * 5000 + b"}",
        b'{"name":"a\xff"}',
        b'\xef\xbb\xbf{"name":"net"}',
        b'{"name":"net","x":"\\ud800"}',
        b'{"name":"net","\\udc00":1}',
        b'{"name":"net","x":"\\u0000"}',
        b'{"name":"net","a":[{"b":"\\u0000"}]}',
        b'{"name":"net","x":"\0"}',
        b'{"name":"net","x":' + b"[" * 150 + b"]" * 150 + b"}",
        b'{"name":"net","x":' + b'{"x":' * 150 + b"1" + b"}" * 150 + b"}",
        b'{"name":"net","x":' + b"[" * 100_000,
        b'{"name":"net","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_input_that_is_no_configuration(data: bytes) -> None:
    error = call("STATUS", data).error(6)
    assert "network config" in error["msg"]


@pytest.mark.parametrize("depths", [range(1, 20), range(90, 110), range(930, 1010)])
def test_deep_nesting_is_refused_or_a_wrong_type(depths: range) -> None:
    """Never an internal error, however near to the interpreter's own limit."""
    for depth in depths:
        check_depth(depth)


def check_depth(depth: int) -> None:
    data = b'{"cniVersion":"1.1.0","name":"net","mtu":' + b"[" * depth + b"]" * depth + b"}"
    answer = call("STATUS", data, plugin="bridge")
    assert answer.json["code"] in (6, 7)
    words = answer.json["msg"] + answer.json["details"]
    assert any(each in words for each in ("mtu", "nested more than 100", "recursion depth"))


def test_backslashes_that_only_look_like_a_nul() -> None:
    assert decode(b'{"x":"\\\\u0000","y":"\\u00e9"}') == {"x": "\\u0000", "y": "é"}


def test_size_is_bounded() -> None:
    padding = b" " * (MAX_INPUT - 20)
    assert decode(b'{"name":"net"}' + padding[: MAX_INPUT - 14]) == {"name": "net"}
    too_much = b'{"name":"net"}' + b" " * MAX_INPUT
    assert call("STATUS", too_much).error(6)["msg"].endswith(f"larger than {MAX_INPUT} bytes")


def test_input_that_cannot_be_read() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "torn")

    stdout = io.BytesIO()
    status = skel.main("loopback", GOOD | {"CNI_COMMAND": "ADD"}, Broken(), stdout, io.BytesIO())
    error = json.loads(stdout.getvalue())
    assert (status, error["code"], error["msg"]) == (1, 5, "error reading from stdin")


def test_output_that_cannot_be_written() -> None:
    class Broken(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise BrokenPipeError(32, "gone")

    environ = GOOD | {"CNI_COMMAND": "VERSION"}
    assert skel.main("loopback", environ, io.BytesIO(), Broken(), io.BytesIO()) == 1


# keys


def made(config: Json, command: str = "STATUS") -> Request:
    return build(command, GOOD, config)


@pytest.mark.parametrize(
    ("config", "code", "msg"),
    [
        ({}, 7, "missing network name"),
        ({"name": ""}, 7, "missing network name"),
        ({"name": None}, 7, "missing network name"),
        ({"name": "a b"}, 7, 'invalid characters found in network name "a b"'),
        ({"name": "a\n"}, 7, "invalid characters found in network name"),
        ({"name": "../x"}, 7, "invalid characters found in network name"),
        ({"name": 1}, 6, '"name" must be a str, got 1'),
        ({"name": "n", "type": []}, 6, '"type" must be a str, got []'),
        ({"name": "n", "ipam": "x"}, 6, '"ipam" must be a dict, got "x"'),
        ({"name": "n", "IPAM": []}, 6, '"ipam" must be a dict, got []'),
        ({"name": "n", "dns": 1}, 6, '"dns" must be a dict'),
        ({"name": "n", "args": 1}, 6, '"args" must be a dict'),
        ({"name": "n", "capabilities": True}, 6, '"capabilities" must be a dict, got true'),
        ({"name": "n", "runtimeConfig": [1]}, 6, '"runtimeConfig" must be a dict, got [1]'),
        ({"name": "n", "prevResult": "x"}, 6, '"prevResult" must be a dict'),
        ({"name": "n", "cniVersion": 1}, 6, '"cniVersion" must be a str, got 1'),
        ({"name": "n", "cniVersion": "9.9.9"}, 1, "incompatible CNI versions"),
        ({"name": "n", "cniVersion": "1.0"}, 1, "incompatible CNI versions"),
        ({"name": "n", "cniVersion": "v1.0.0"}, 1, "incompatible CNI versions"),
        ({"name": "n", "cniVersion": "1.0.0\n"}, 1, "incompatible CNI versions"),
        ({"name": "n", "prevResult": {"cniVersion": "7"}}, 1, "prevResult"),
        ({"name": "n", "prevResult": {"ips": 1}}, 6, "prevResult.ips must be a list, got '1'"),
        ({"name": "n", "prevResult": {"ips": [1]}}, 6, "prevResult.ips[0] must be a dict"),
        (
            {"name": "n", "prevResult": {"ips": [{"address": 1}]}},
            6, "prevResult.ips[0].address must be a str",
        ),
        (
            {"name": "n", "prevResult": {"ips": [{"address": "a", "interface": True}]}},
            6, "prevResult.ips[0].interface must be a int",
        ),
        (
            {"name": "n", "prevResult": {"routes": [{"dst": "a", "mtu": "1"}]}},
            6, "prevResult.routes[0].mtu must be a int",
        ),
        (
            {"name": "n", "prevResult": {"dns": {"nameservers": [1]}}},
            6, "prevResult.dns.nameservers[0] must be a str",
        ),
        ({"name": "n", "prevResult": {"ip4": 1}}, 6, "prevResult.ip4 must be a dict"),
        ({"name": "n", "prevResult": {"interfaces": {}}}, 6, "prevResult.interfaces"),
    ],
)  # fmt: skip
def test_keys_of_the_protocol(config: Json, code: int, msg: str) -> None:
    with pytest.raises(CniError) as raised:
        made(config)
    assert raised.value.code == code
    assert msg in raised.value.msg


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"NAME": "n"}, {"name": "n"}),
        ({"Name": "x", "name": "n"}, {"name": "n"}),
        ({"name": "n", "Name": "x"}, {"name": "n"}),
        ({"Name": "x", "nAME": "n"}, {"name": "n"}),
        ({"name": "n", "ipam": None}, {"name": "n"}),
        ({"CNIVersion": "0.4.0", "name": "n"}, {"cniVersion": "0.4.0", "name": "n"}),
        ({"name": "n", "isGateWay": 1}, {"name": "n", "isGateWay": 1}),
    ],
)
def test_keys_match_as_go_matches_them(config: Json, wanted: Json) -> None:
    assert canonical(config) == wanted


def test_last_duplicate_wins() -> None:
    assert decode(b'{"name":"a","name":"b"}') == {"name": "b"}


@pytest.mark.parametrize("version", [None, "", "absent"])
def test_absent_version_is_the_oldest(version: str | None) -> None:
    config = {"name": "n"} | ({} if version == "absent" else {"cniVersion": version})
    assert made(config).cni_version == "0.1.0"


def test_request() -> None:
    environ = GOOD | {"CNI_PATH": "/a::/b", "CNI_ARGS": "K=V"}
    req = build("ADD", environ, {"name": "n", "cniVersion": "1.0.0", "x": 1})
    assert req.attachment == ("n", "c1", "eth0")
    assert (req.path, req.args, req.netns) == (("/a", "/b"), "K=V", "/nonexistent/netns")
    assert req.prev_result is None
    assert req.state_dir == "/nonexistent/state"
    assert req._replace(environ={}).state_dir == "/var/lib/cni"
    assert req._replace(environ={}).run_dir == "/run/plait"


@pytest.mark.parametrize(
    ("config", "valid"),
    [
        ({}, None),
        ({"cni.dev/valid-attachments": None}, None),
        ({"cni.dev/valid-attachments": []}, set()),
        (
            {"cni.dev/valid-attachments": [{"containerID": "a", "ifname": "b", "x": 1}]},
            {("a", "b")},
        ),
        ({"cni.dev/attachments": [{"ContainerId": "a", "ifName": "b"}]}, {("a", "b")}),
        (
            {
                "cni.dev/valid-attachments": [{"containerID": "a", "ifname": "b"}],
                "cni.dev/attachments": [{"containerID": "c", "ifname": "d"}],
            },
            {("a", "b")},
        ),
    ],
)
def test_valid_attachments(config: Json, valid: set[tuple[str, str]] | None) -> None:
    """An absent list is not an empty one: that would collect everything."""
    assert made({"name": "n", **config}, "GC").valid_attachments == valid
    assert made({"name": "n", **config}, "STATUS").valid_attachments is None


# verbs and versions


@pytest.mark.parametrize("version", versions.SUPPORTED)
@pytest.mark.parametrize(
    ("command", "since"), [("CHECK", "0.4.0"), ("GC", "1.1.0"), ("STATUS", "1.1.0")]
)
@pytest.mark.parametrize("plugin", ["loopback", "bridge", "host-device", "static"])
def test_verb_needs_a_version(command: str, since: str, version: str, plugin: str) -> None:
    answer = call(command, {"cniVersion": version, "name": "net"}, plugin=plugin)
    order = versions.SUPPORTED.index
    if order(version) < order(since):
        error = answer.error(1)
        assert error["msg"] == f"config version does not allow {command}"
        assert version in error["details"]
        assert error["cniVersion"] == version
    else:
        assert "does not allow" not in answer.stdout


def test_error_is_one_object_in_the_version_of_the_configuration() -> None:
    answer = call("CHECK", {"cniVersion": "0.3.1", "name": "net"})
    assert list(answer.json) == ["cniVersion", "code", "msg", "details"]
    assert answer.json["cniVersion"] == "0.3.1"
    assert call("CHECK", b"{").json["cniVersion"] == "1.1.0"
