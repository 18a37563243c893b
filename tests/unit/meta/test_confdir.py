"""Networks in files: by name, by path, with the plugins of their sub-directory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError
from meta.multus import confdir

if TYPE_CHECKING:
    from pathlib import Path

LIST = "Error loading CNI conflist file {}/x.conflist: error parsing configuration list"
N1 = '{"name":"n1","type":"fake"}'


def write(directory: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = directory / name.replace("__", ".").replace("_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_first_in_alphabetical_order_over_all_extensions(tmp_path: Path) -> None:
    write(
        tmp_path,
        a__conf='{"name":"other","type":"x"}',
        b__json='{"name":"n1","type":"json"}',
        c__conf='{"name":"n1","type":"conf"}',
        a__conflist='{"name":"n1","plugins":[{"type":"list"}]}',
        a__txt=N1,
    )
    assert confdir.by_name(str(tmp_path), "n1")["plugins"] == [{"type": "list"}]


def test_a_broken_file_concerns_only_those_who_ask_for_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, **{"00_b__conf": "{", "10_net1__conf": N1, "20_net2__conf": "garbage"})
    assert confdir.by_name(str(tmp_path), "n1")["type"] == "fake"
    assert f"file={tmp_path}/00-b.conf" in capfd.readouterr().err
    with pytest.raises(CniError) as refused:
        confdir.by_name(str(tmp_path), "net2")
    assert refused.value.msg == f"no network available in the name net2 in cni dir {tmp_path}"
    assert f"{tmp_path}/20-net2.conf: cannot decode" in refused.value.details


@pytest.mark.parametrize("exists", [True, False])
def test_no_files(tmp_path: Path, *, exists: bool) -> None:
    directory = tmp_path if exists else tmp_path / "gone"
    with pytest.raises(CniError, match=f"No networks found in {directory}"):
        confdir.by_name(str(directory), "n1")


@pytest.mark.parametrize(
    ("name", "text", "msg"),
    [
        (
            "x__conf",
            '{"name":"n1"}',
            "Error loading CNI config file {}/x.conf: error parsing configuration: missing 'type'",
        ),
        (
            "x__conf",
            '{"name":"n1","plugins":[{"type":"a"}]}',
            "Error loading CNI config file {}/x.conf: error parsing configuration: missing 'type'",
        ),
        (
            "x__conflist",
            '{"name":"n1","plugins":[]}',
            f"{LIST}: no plugins in list",
        ),
        (
            "x__conflist",
            '{"name":"n1","loadOnlyInlinedPlugins":1}',
            f'{LIST}: "loadOnlyInlinedPlugins" must be a boolean, got 1',
        ),
    ],
)
def test_a_match_that_cannot_be_used(tmp_path: Path, name: str, text: str, msg: str) -> None:
    write(tmp_path, **{name: text})
    with pytest.raises(CniError) as refused:
        confdir.by_name(str(tmp_path), "n1")
    assert refused.value.msg == msg.format(tmp_path)


def test_keys_in_any_case(tmp_path: Path) -> None:
    write(tmp_path, x__conflist='{"NAME":"n1","Plugins":[{"Type":"a"}]}')
    assert confdir.by_name(str(tmp_path), "n1")["plugins"] == [{"Type": "a"}]


def test_plugins_of_the_sub_directory(tmp_path: Path) -> None:
    write(tmp_path, x__conflist='{"name":"n1","plugins":[{"type":"a"}]}')
    write(tmp_path / "n1", b__conf='{"type":"c"}', a__conf='{"type":"b"}', c__json="{")
    expected = ["a", "b", "c"]
    for found in (
        confdir.by_name(str(tmp_path), "n1"),
        confdir.by_value(str(tmp_path / "x.conflist"), ""),
        confdir.by_value(str(tmp_path), ""),
    ):
        assert [plugin["type"] for plugin in found["plugins"]] == expected


def test_a_list_of_nothing_but_its_sub_directory(tmp_path: Path) -> None:
    write(tmp_path, x__conflist='{"name":"n1"}')
    write(tmp_path / "n1", a__conf='{"type":"b"}')
    assert confdir.by_name(str(tmp_path), "n1")["plugins"] == [{"type": "b"}]


def test_load_only_inlined_plugins(tmp_path: Path) -> None:
    text = {"name": "n1", "plugins": [{"type": "a"}], "loadOnlyInlinedPlugins": "true"}
    write(tmp_path, x__conflist=json.dumps(text))
    write(tmp_path / "n1", a__conf="{broken")
    assert confdir.by_name(str(tmp_path), "n1")["plugins"] == [{"type": "a"}]


def test_a_broken_plugin_in_the_sub_directory(tmp_path: Path) -> None:
    write(tmp_path, x__conflist='{"name":"n1","plugins":[{"type":"a"}]}')
    write(tmp_path / "n1", a__conf='{"name":"x"}')
    with pytest.raises(CniError, match=r"n1/a\.conf: error parsing configuration: missing 'type'"):
        confdir.by_name(str(tmp_path), "n1")


def test_a_path_is_a_file_or_the_first_of_a_directory(tmp_path: Path) -> None:
    write(tmp_path, b__conf='{"name":"b","type":"x"}', a__json='{"name":"a","type":"x"}')
    assert confdir.by_value(str(tmp_path / "b.conf"), "")["name"] == "b"
    assert confdir.by_value(str(tmp_path), "")["name"] == "a"
    with pytest.raises(CniError, match=f"no file {tmp_path}/c.conf"):
        confdir.by_value(str(tmp_path / "c.conf"), "")
    with pytest.raises(CniError, match="No networks found in"):
        (tmp_path / "empty").mkdir()
        confdir.by_value(str(tmp_path / "empty"), "")
