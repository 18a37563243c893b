"""The picture of a benchmark: all values, no text on another, nothing outside."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.bench import plot, svg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.kernel import Json

SVG = "{http://www.w3.org/2000/svg}"
LONG = 'a plugin with <many> & "other" words in the name of what it is asked to do, and then more'


def summary(wall: float) -> Json:
    return {"wall": wall, "wall_min": wall, "cpu": wall, "samples": 1}


def attachments(names: tuple[str, ...]) -> list[Json]:
    values = itertools.count(1)
    return [
        {
            "work": name,
            "verb": verb,
            "note": "",
            **{who: summary(next(values) * 3.7) for who in plot.WHO},
        }
        for name in names
        for verb in plot.VERBS
    ]


def pods(at_once: tuple[int, ...] = (1, 2, 4, 8), failures: int = 0) -> list[Json]:
    values = itertools.count(1)
    return [
        {
            "who": who,
            "at once": number,
            "verb": verb,
            "pods": 110,
            "failures": failures,
            "error": "no" if failures else "",
            "pods per second": next(values) * 5.3,
            "p50": 1.0,
            "p99": 2.0,
            "cpu": 1.0,
        }
        for number in at_once
        for who in plot.WHO
        for verb in plot.VERBS
    ]


def spending() -> list[Json]:
    kinds = ("start", "imports", "kernel", "the plugin's own code", "before and after")
    return [
        {
            "work": work,
            "who": who,
            "calls": 3,
            "wall": 100.0,
            "ms": {kind: 0.3 + index * 7.1 for index, kind in enumerate(kinds)},
        }
        for work in ("bridge + whereabouts", "multus, 3 x (bridge + whereabouts)")
        for who in ("ours", "warm")
    ]


def document(**parts: object) -> Json:
    machine = {"date": "2026-11-20T10:59:34+00:00", "cpu": "Some <fast> processor @ 2.50GHz"}
    pressure = {"before": 1.5, "after": None}
    return {"machine": machine, "rounds": 40, "pressure": pressure, "sizes": {}, **parts}


DOCUMENTS = {
    "whole": document(
        attachments=attachments(("loopback", "bridge + addresses", "multus, 3 x (bridge)")),
        pods=pods(),
        spending=spending(),
    ),
    "long": document(attachments=attachments((LONG, f"{LONG} still", "short")), pods=pods((1,))),
    "failed": document(pods=pods(failures=7)),
    "bare": document(),
}


class Box(NamedTuple):
    text: str
    left: float
    top: float
    right: float
    bottom: float


def boxes(root: ET.Element) -> Iterator[Box]:
    """Where texts are, by the letters that they have."""
    for each in root.iter(f"{SVG}text"):
        text, size = each.text or "", float(each.attrib["font-size"])
        wide = svg.width(text, size)
        x, y = float(each.attrib["x"]), float(each.attrib["y"])
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[each.attrib["text-anchor"]] * wide
        yield Box(text, left, y - 0.8 * size, left + wide, y + 0.2 * size)


@pytest.fixture(params=DOCUMENTS)
def case(request: pytest.FixtureRequest) -> tuple[Json, ET.Element]:
    found = DOCUMENTS[request.param]
    return found, ET.fromstring(plot.svg(found))


def test_no_text_lies_on_another_and_none_outside(case: tuple[Json, ET.Element]) -> None:
    _, root = case
    found = list(boxes(root))
    overlaps = [
        (a.text, b.text)
        for a, b in itertools.combinations(found, 2)
        if a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom
    ]
    assert overlaps == []
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert [b for b in found if b.left < 0 or b.right > width or b.bottom > height] == []


def test_every_value_is_there(case: tuple[Json, ET.Element]) -> None:
    found, root = case
    values = [
        *(e[who]["wall"] for e in found.get("attachments", []) for who in plot.WHO),
        *(e["pods per second"] for e in found.get("pods", [])),
        *(spent for e in found.get("spending", []) for spent in e["ms"].values()),
    ]
    texts = [box.text for box in boxes(root)]
    for value in (f"{each:.1f}" for each in values):
        assert value in texts
        texts.remove(value)  # what is there twice is shown twice


def test_every_word_is_there(case: tuple[Json, ET.Element]) -> None:
    found, root = case
    told = " ".join(box.text for box in boxes(root))
    wanted = [
        *(e["work"] for e in found.get("attachments", [])),
        *plot.WHO.values(),
        *found["machine"].values(),
    ]
    for word in itertools.chain.from_iterable(each.split() for each in wanted):
        assert word in told


def test_shapes_are_inside(case: tuple[Json, ET.Element]) -> None:
    _, root = case
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for each in root.iter(f"{SVG}rect"):
        if each.attrib["width"] != "100%":
            assert 0 <= float(each.attrib["x"]) + float(each.attrib["width"]) <= width
            assert 0 <= float(each.attrib["y"]) + float(each.attrib["height"]) <= height
    for each in root.iter(f"{SVG}circle"):
        assert 0 < float(each.attrib["cx"]) < width
        assert 0 < float(each.attrib["cy"]) < height


def test_failures_are_told() -> None:
    texts = [box.text for box in boxes(ET.fromstring(plot.svg(DOCUMENTS["failed"])))]
    assert "FAILED: Plait, cold, ADD, 8 at a time: 7 of 110" in texts
    assert "No call failed." not in texts
    texts = [box.text for box in boxes(ET.fromstring(plot.svg(DOCUMENTS["whole"])))]
    assert "No call failed." in texts


def test_what_one_side_does_not_have_is_left_out() -> None:
    entry = {"work": "sriov", "verb": "ADD", "note": "", "ours": summary(12.5)}
    root = ET.fromstring(plot.svg(document(attachments=[entry])))
    assert [box.text for box in boxes(root)].count("12.5") == 1


@pytest.mark.parametrize("most", [0, 0.004, 1, 3.2, 25, 25.01, 99.9, 100, 7_312])
def test_ticks_are_few_and_reach_the_most(most: float) -> None:
    marks = svg.ticks(most)
    assert marks[0] == 0 and marks[-1] >= most
    assert 2 <= len(marks) <= 6
    assert marks[-1] <= 2.5 * most or most == 0
