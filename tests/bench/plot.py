"""The document as a picture: ours cold and warm, and the originals."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.svg import Figure, ticks, width

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conformance.kernel import Json

WHO = {"ours": "Plait, cold", "warm": "Plait, warm (plait agent)", "go": "Go (Debian's package)"}
VERBS = ("ADD", "DEL")

_MARGIN = 24.0
_LABELS = 34  #: letters of a label, before it is wrapped
_PANEL = 250.0  #: pixels of a panel's axis
_GAP = 80.0  #: between panels: room for the value of the longest bar
_SMALL = 10  #: pixels of the text of values
_BAR, _LINE = 12.0, 15.0  #: pixels from bar to bar, from line to line
_HEIGHT = 170.0  #: of the axis of curves
_LEFT = _MARGIN + width("m" * _LABELS) + 12  #: where the first panel starts
_WIDTH = _LEFT + 2 * (_PANEL + _GAP)


class Bars(NamedTuple):
    """Panels beside each other that share rows: title -> label -> who -> milliseconds."""

    title: str
    axis: str
    panels: Mapping[str, Mapping[str, Mapping[str, float]]]


def svg(document: Json) -> str:
    """What is not in the document is not in the picture."""
    figure = Figure()
    title = "What a call costs: Plait and the Go plugins"
    figure.text(_MARGIN, 36, title, size=18, weight="bold")
    y = _legend(figure, 62)
    if entries := document.get("attachments"):
        y = _bars(figure, y, _attachments(entries))
    if entries := document.get("pods"):
        y = _pods(figure, y, entries)
    if entries := document.get("spending"):
        y = _bars(figure, y, _spending(entries))
    y = _caption(figure, y, document)
    return figure.image(_WIDTH, y + _MARGIN, title)


def _legend(figure: Figure, y: float) -> float:
    x = _MARGIN
    for who, name in WHO.items():
        figure.rect(x, y - 9, 10, 10, who)
        figure.text(x + 16, y, name)
        x += 16 + width(name) + 24
    return y + 24


def _attachments(entries: list[Json]) -> Bars:
    panels: dict[str, dict[str, dict[str, float]]] = {}
    for entry in entries:
        found = {who: entry[who]["wall"] for who in WHO if who in entry}
        panels.setdefault(entry["verb"], {})[entry["work"]] = found
    return Bars("One attachment", "median, ms from start to end of the process", panels)


def _spending(entries: list[Json]) -> Bars:
    kinds = list(dict.fromkeys(kind for entry in entries for kind in entry["ms"]))
    panels: dict[str, dict[str, dict[str, float]]] = {}
    for entry in entries:
        rows = panels.setdefault(entry["work"], {kind: {} for kind in kinds})
        for kind, spent in entry["ms"].items():
            rows[kind][entry["who"]] = spent
    return Bars("Where the time of an ADD goes", "median, ms", panels)


def _bars(figure: Figure, y: float, bars: Bars) -> float:
    """Draws below `y`; returns where it ends."""
    y = _heading(figure, y, bars.title)
    labels = list(dict.fromkeys(label for rows in bars.panels.values() for label in rows))
    values = [
        each for rows in bars.panels.values() for found in rows.values() for each in found.values()
    ]
    marks = ticks(max(values, default=0.0))
    wrapped = {label: wrap(label, _LABELS) or [""] for label in labels}
    present = {who for rows in bars.panels.values() for found in rows.values() for who in found}
    shown = [who for who in WHO if who in present]
    heights = {
        label: max(len(shown) * _BAR, len(lines) * _LINE) + 8 for label, lines in wrapped.items()
    }
    top, bottom = y + 22, y + 22 + sum(heights.values())
    for index, (panel, rows) in enumerate(bars.panels.items()):
        left = _LEFT + index * (_PANEL + _GAP)
        figure.text(left, y + 8, panel, weight="bold")
        for mark in marks:
            x = left + _PANEL * mark / marks[-1]
            figure.line(x, top, x, bottom)
            figure.text(x, bottom + 14, f"{mark:g}", size=_SMALL, anchor="middle", kind="muted")
        figure.text(left, bottom + 30, bars.axis, size=_SMALL, kind="muted")
        row = top
        for label in labels:
            for number, who in enumerate(shown):
                if (value := rows.get(label, {}).get(who)) is None:
                    continue
                long, at = _PANEL * value / marks[-1], row + 4 + number * _BAR
                figure.rect(left, at, long, _BAR - 2, who)
                figure.text(left + long + 4, at + _BAR - 3, f"{value:.1f}", size=_SMALL)
            row += heights[label]
    row = top
    for label, lines in wrapped.items():
        first = row + (heights[label] - len(lines) * _LINE) / 2 + 11
        for number, line in enumerate(lines):
            figure.text(_LEFT - 12, first + number * _LINE, line, anchor="end")
        row += heights[label]
    return bottom + 54


def _pods(figure: Figure, y: float, entries: list[Json]) -> float:
    """Curves over the number at a time, and the values of each below it."""
    pods = max(entry["pods"] for entry in entries)
    y = _heading(figure, y, f"A burst of {pods} pods with three networks each")
    at_once = sorted({entry["at once"] for entry in entries})
    marks = ticks(max(entry["pods per second"] for entry in entries))
    bottom = y + 22 + _HEIGHT
    step = _PANEL / len(at_once)
    shown = [who for who in WHO if any(entry["who"] == who for entry in entries)]
    for index, verb in enumerate(VERBS):
        left = _LEFT + index * (_PANEL + _GAP)
        figure.text(left, y + 8, f"{verb}, pods per second", weight="bold")
        for mark in marks:
            at = bottom - _HEIGHT * mark / marks[-1]
            figure.line(left, at, left + _PANEL, at)
            figure.text(left - 6, at + 4, f"{mark:g}", size=_SMALL, anchor="end", kind="muted")
        columns = {number: left + step * (i + 0.5) for i, number in enumerate(at_once)}
        for number, x in columns.items():
            figure.text(x, bottom + 16, str(number), anchor="middle")
        figure.text(left, bottom + 32, "pods at a time", size=_SMALL, kind="muted")
        for row, who in enumerate(shown):
            found = {
                entry["at once"]: entry["pods per second"]
                for entry in entries
                if entry["who"] == who and entry["verb"] == verb
            }
            points = [(columns[n], bottom - _HEIGHT * found[n] / marks[-1]) for n in sorted(found)]
            figure.curve(points, who)
            below = bottom + 50 + row * _LINE
            for number, value in found.items():
                figure.text(columns[number], below, f"{value:.1f}", size=_SMALL, anchor="middle")
    for row, who in enumerate(shown):
        below = bottom + 50 + row * _LINE
        figure.text(_LEFT - 30, below, WHO[who], anchor="end")
        figure.rect(_LEFT - 24, below - 9, 10, 10, who)
    return _failures(figure, bottom + 50 + len(shown) * _LINE + 4, entries)


def _failures(figure: Figure, y: float, entries: list[Json]) -> float:
    failed = [entry for entry in entries if entry["failures"]]
    if not failed:
        figure.text(_LEFT, y, "No call failed.", size=_SMALL, kind="muted")
    for entry in failed:
        figure.text(
            _LEFT,
            y,
            f"FAILED: {WHO[entry['who']]}, {entry['verb']}, {entry['at once']} at a time: "
            f"{entry['failures']} of {entry['pods']}",
            kind="bad",
        )
        y += _LINE
    return y + 34


def _heading(figure: Figure, y: float, text: str) -> float:
    figure.text(_MARGIN, y + 14, text, size=15, weight="bold")
    return y + 32


def _caption(figure: Figure, y: float, document: Json) -> float:
    """When, where, and with what."""
    machine, busy = document.get("machine", {}), document.get("pressure", {})
    told = [f"{key} {value}" for key, value in machine.items()]
    told += [f"{document['rounds']} rounds"] if "rounds" in document else []
    if busy:
        told.append(
            f"others waited for a processor {busy['before']} % of the time before, "
            f"{busy['after']} % after"
        )
    letters = int((_WIDTH - 2 * _MARGIN) / width("m", _SMALL + 1))
    for line in wrap("; ".join(told), letters):
        figure.text(_MARGIN, y, line, size=_SMALL + 1, kind="muted")
        y += _LINE
    return y
