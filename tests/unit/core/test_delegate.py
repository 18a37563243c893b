"""Delegation to executables that behave in every way."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from cni.core import delegate
from cni.core.delegate import MissingPluginError
from cni.core.errors import CniError
from cni.core.request import build
from cni.core.types import DNS, IPConfig

if TYPE_CHECKING:
    from pathlib import Path

    from cni.core.types import Request

RESULT = '{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}],"dns":{"domain":"d"}}'


class Foreign:
    """A directory of plugins, and a request that finds them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def plugin(self, script: str, name: str = "foreign") -> None:
        path = self.directory / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(stat.S_IRWXU)

    def request(
        self, command: str = "ADD", plugin: str = "foreign", version: str = "1.0.0"
    ) -> Request:
        environ = {
            "CNI_CONTAINERID": "c1", "CNI_NETNS": "/ns", "CNI_IFNAME": "eth0",
            "CNI_ARGS": "A=1", "CNI_PATH": f"/nonexistent:{self.directory}",
            "PATH": os.environ["PATH"], "_PYI_X": "1",
        }  # fmt: skip
        config = {"cniVersion": version, "name": "n", "ipam": {"type": plugin}, "extra": ["é", 1]}
        return build(command, environ, config)

    def add(self, script: str) -> object:
        self.plugin(script)
        return delegate.ipam_add(self.request())

    def failure(self, script: str) -> CniError:
        with pytest.raises(CniError) as raised:
            self.add(script)
        return raised.value


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path)


def test_result(foreign: Foreign) -> None:
    foreign.plugin(f"echo '{RESULT}'")
    result = delegate.ipam_add(foreign.request())
    assert (result.ips, result.dns) == ((IPConfig("10.1.2.3/24"),), DNS(domain="d"))


@pytest.mark.parametrize("version", ["", '"cniVersion":"0.4.0",', '"cniVersion":"1.1.0",'])
def test_result_of_another_version(foreign: Foreign, version: str) -> None:
    foreign.plugin(f"""echo '{{{version} "ips":[{{"version":"4","address":"10.1.2.3/24"}}]}}'""")
    assert delegate.ipam_add(foreign.request()).ips == (IPConfig("10.1.2.3/24"),)


def test_what_the_plugin_is_given(foreign: Foreign) -> None:
    foreign.plugin(
        f"env > {foreign.directory}/env; cat > {foreign.directory}/stdin; echo '{RESULT}'"
    )
    req = foreign.request("DEL")
    delegate.ipam_delete(req)
    lines = (foreign.directory / "env").read_text().splitlines()
    environ = dict(line.split("=", 1) for line in lines)
    assert {k: v for k, v in environ.items() if k.startswith("CNI_")} == {
        "CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/ns", "CNI_IFNAME": "eth0",
        "CNI_ARGS": "A=1", "CNI_PATH": f"/nonexistent:{foreign.directory}",
    }  # fmt: skip
    assert "_PYI_X" not in environ
    assert json.loads((foreign.directory / "stdin").read_text()) == req.config


@pytest.mark.parametrize(
    ("script", "code", "msg", "details"),
    [
        ("""echo '{"code":11,"msg":"m","details":"d"}'; exit 1""", 11, "m", "d"),
        ("""echo '{"code":11,"msg":"m","details":null}'; exit 7""", 11, "m", ""),
        ("""echo '{"cniVersion":"1.0.0","code":999,"msg":"m"}'; exit 1""", 999, "m", ""),
        ("""echo '{"code":"7","msg":"m"}'; exit 1""", 7, "m", ""),
        ("""echo '{"code":0,"msg":"m"}'; exit 1""", 103, "m", ""),
        ("""echo '{"code":-4,"msg":"m"}'; exit 1""", 103, "m", ""),
        ("""echo '{"code":1e999,"msg":"m"}'; exit 1""", 103, "m", ""),
        ("""echo '{"code":null,"msg":"m"}'; exit 1""", 103, "m", ""),
        ("""echo '{"msg":"m"}'; exit 1""", 103, "m", ""),
        ("echo hello; exit 2", 103, "without a CNI error (exit status 2)", "hello"),
        ("echo boom >&2; exit 1", 103, "without a CNI error (exit status 1)", "boom"),
        ("exit 3", 103, "without a CNI error (exit status 3)", ""),
        ("kill -9 $$", 103, "without a CNI error (signal 9)", ""),
        ("echo '[]'; exit 1", 103, "without a CNI error", "[]"),
        ("echo '{}'; exit 1", 103, "without a CNI error", "{}"),
        ("echo '{\"code\":7}'; exit 1", 103, "without a CNI error", '{"code":7}'),
        ("printf '\\377\\376'; exit 1", 103, "without a CNI error", "\ufffd\ufffd"),
        ("head -c 100000 /dev/zero | tr '\\0' '['; exit 1", 103, "without a CNI error", "[" * 1000),
        # success that is none
        ("true", 6, "printed no valid JSON", ""),
        ("echo hello", 6, "printed no valid JSON", "hello"),
        ("head -c 100000 /dev/zero | tr '\\0' '['", 6, "printed no valid JSON", "[["),
        ("printf '\\377'", 6, "printed no valid JSON", ""),
        ("echo '[]'", 6, "must be a dict, got '[]'", ""),
        ("echo '{}'", 103, "returned missing IP config", ""),
        ("""echo '{"code":7,"msg":"m"}'""", 103, "returned missing IP config", ""),
        ("""echo '{"cniVersion":"9.9.9","ips":[]}'""", 1, "unsupported CNI result version", ""),
        ("""echo '{"ips":[{"address":7}]}'""", 6, ".ips[0].address must be a str", ""),
        ("""echo '{"ips":[{"address":"\\ud800"}]}'""", 6, "printed no valid JSON", ""),
        ("""echo '{"ips":[{"address":"\\u0000"}]}'""", 6, "printed no valid JSON", ""),
    ],
)
def test_failure(foreign: Foreign, script: str, code: int, msg: str, details: str) -> None:
    error = foreign.failure(script)
    assert error.code == code, error
    assert msg in error.msg
    assert details in error.details
    assert len(error.details) < 2000
    if code in (6, 103) and "code" not in script:
        assert "foreign" in error.msg


def test_error_on_standard_output_beats_standard_error(foreign: Foreign) -> None:
    error = foreign.failure("""echo noise >&2; echo '{"code":7,"msg":"m"}'; exit 1""")
    assert (error.code, error.msg) == (7, "m")


def test_noise_on_standard_error_is_no_failure(foreign: Foreign) -> None:
    foreign.add(f"echo noise >&2; echo '{RESULT}'")


def test_huge_output(foreign: Foreign) -> None:
    error = foreign.failure("head -c 20000000 /dev/zero | tr '\\0' ' '; echo '{}'")
    assert "printed no valid JSON" in error.msg


def test_one_that_never_reads_its_input(foreign: Foreign) -> None:
    foreign.plugin(f"echo '{RESULT}'")
    req = foreign.request()
    req.config["padding"] = "x" * 900_000
    assert delegate.ipam_add(req).ips


def test_missing_plugin(foreign: Foreign) -> None:
    """ADD, CHECK and STATUS must fail; DEL and GC have nobody left to ask."""
    for call in (delegate.ipam_add, delegate.ipam_check, delegate.ipam_status):
        with pytest.raises(MissingPluginError) as raised:
            call(foreign.request(version="1.1.0"))
        assert raised.value.code == 7
        assert raised.value.msg == (
            f'failed to find plugin "foreign" in path [/nonexistent {foreign.directory}]'
        )
    delegate.ipam_delete(foreign.request("DEL"))
    delegate.ipam_gc(foreign.request("GC", version="1.1.0"))


def test_plugin_that_cannot_be_started(foreign: Foreign) -> None:
    (foreign.directory / "foreign").touch(mode=0o644)
    with pytest.raises(PermissionError):
        delegate.ipam_add(foreign.request())


@pytest.mark.parametrize("plugin", ["../foreign", "a/b", ".", "..", "/bin/true"])
def test_type_that_is_a_path(foreign: Foreign, plugin: str) -> None:
    with pytest.raises(CniError, match=f"invalid plugin name: {plugin}") as raised:
        delegate.ipam_add(foreign.request(plugin=plugin))
    assert raised.value.code == 7


@pytest.mark.parametrize("value", [1, [], {}, True, None])
def test_type_that_is_no_string(foreign: Foreign, value: object) -> None:
    req = foreign.request()
    req.config["ipam"]["type"] = value
    if value is None:
        assert delegate.ipam_type(req) == ""
        return
    with pytest.raises(CniError, match=r'"ipam.type" must be a string') as raised:
        delegate.ipam_type(req)
    assert raised.value.code == 7


def test_type_in_another_spelling(foreign: Foreign) -> None:
    req = foreign.request()
    req.config["ipam"] = {"TYPE": "foreign"}
    assert delegate.ipam_type(req) == "foreign"


def test_without_ipam_nothing_is_asked(foreign: Foreign) -> None:
    for ipam in ({}, {"type": ""}):
        req = foreign.request()._replace(config={"name": "n", "ipam": ipam})
        assert delegate.ipam_type(req) == ""
        for call in (
            delegate.ipam_delete,
            delegate.ipam_check,
            delegate.ipam_gc,
            delegate.ipam_status,
        ):
            call(req)


def test_own_plugin_runs_in_this_process(foreign: Foreign) -> None:
    """Whatever is on CNI_PATH under its name."""
    foreign.plugin("exit 1", "static")
    req = foreign.request(plugin="static")._replace(args="")
    req.config["ipam"]["addresses"] = [{"address": "10.1.2.3/24"}]
    assert delegate.ipam_add(req).ips == (IPConfig("10.1.2.3/24"),)


def test_delegated_verb_needs_a_version_too(foreign: Foreign) -> None:
    with pytest.raises(CniError, match="config version does not allow GC") as raised:
        delegate.call(foreign.request("GC", version="1.0.0"), "static")
    assert raised.value.code == 1
