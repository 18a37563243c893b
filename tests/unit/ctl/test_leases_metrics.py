"""`plait leases metrics`, read by a small parser of Prometheus's text format."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from cni.ctl.leases import metrics
from cni.ctl.leases.usage import Usage
from tests.unit.ctl.leased import RANGE, plugin

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.unit.ctl.leased import Node

Sample = tuple[str, frozenset[tuple[str, str]]]

_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parse(text: str) -> dict[Sample, int]:
    """All samples; every line has to be right, every family described before it, none twice."""
    found: dict[Sample, int] = {}
    described: dict[str, set[str]] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("#"):
            _, what, name, meaning = line.split(" ", 3)
            assert what in ("HELP", "TYPE") and what not in described.setdefault(name, set())
            assert what == "HELP" or meaning == "gauge"
            described[name].add(what)
            continue
        match = re.fullmatch(r"([a-z_]+)\{(.*)\} (\d+)", line)
        assert match, line
        name, inside, value = match.groups()
        assert described[name] == {"HELP", "TYPE"}
        labels = _LABEL.findall(inside)
        assert sum(len(f'{key}="{said}"') for key, said in labels) + len(labels) - 1 == len(inside)
        unescaped = frozenset(
            (key, re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), said))
            for key, said in labels
        )
        assert (name, unescaped) not in found
        found[name, unescaped] = int(value)
    return found


def of(found: dict[Sample, int], name: str, **labels: str) -> int:
    (value,) = [
        value
        for (each, said), value in found.items()
        if each == name and set(labels.items()) <= said
    ]
    return value


def test_usage_as_metrics(node: Node) -> None:
    node.lease(1)
    node.lease(2, sticky=-1)
    node.lease(3, cooldown=3600)
    node.release(2)
    node.release(3)
    node.reserve("10.0.0.9", "a/b")
    found = parse(node.ok("leases", "metrics").out)
    for state, count in {
        "leased": 1,
        "sticky": 1,
        "cooling": 1,
        "reserved": 1,
        "free": 250,
    }.items():
        assert of(found, "plait_ipam_addresses", state=state, range=RANGE) == count, state
    assert of(found, "plait_ipam_capacity", network_name="") == 254
    states = [value for (name, _), value in found.items() if name == "plait_ipam_addresses"]
    assert sum(states) == 254
    assert of(found, "plait_ipam_oldest_lease_seconds", range=RANGE) < 3600


def test_windows_of_one_pool_are_one_series(node: Node) -> None:
    windows = [("10.0.0.10", "10.0.0.19"), ("10.0.0.15", "10.0.0.29")]
    conf = {
        "items": [
            plugin(f"n{low}", range=RANGE, range_start=low, range_end=high) for low, high in windows
        ]
    }
    found = parse(node.ok("leases", "metrics", "--conf", node.conf(conf)).out)
    assert of(found, "plait_ipam_capacity") == 20


def test_nothing_to_tell(node: Node) -> None:
    assert parse(node.ok("leases", "metrics").out) == {}


def test_labels_are_escaped() -> None:
    name = 'a"b\\c\nd'
    usage = Usage(name, RANGE, "a", "b", 10, 1, 0, 0, 0, 0, 9, 0, 100)
    found = parse(metrics.exposition([usage], 130))
    assert of(found, "plait_ipam_capacity", network_name=name) == 10
    assert of(found, "plait_ipam_oldest_lease_seconds") == 30
    assert of(parse(metrics.exposition([usage], 90)), "plait_ipam_oldest_lease_seconds") == 0


def test_the_file_is_replaced_and_everybody_may_read_it(node: Node) -> None:
    node.lease(1)
    folder = node.path / "textfile"
    folder.mkdir()
    file = folder / "plait.prom"
    file.write_text("old")
    assert node.ok("leases", "metrics", "--output", str(file)).out == ""
    assert parse(file.read_text()) and file.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in folder.iterdir()] == ["plait.prom"]


def test_a_file_that_cannot_be_replaced(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert node.run("leases", "metrics", "--output", str(tmp_path / "no/x.prom")).status == 1
    file = tmp_path / "x.prom"
    file.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    assert node.run("leases", "metrics", "--output", str(file)).status == 1
    assert file.read_text() == "old" and not list(tmp_path.glob(".x.prom*"))
