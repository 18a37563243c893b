"""The numbers as a JSON document, and that document as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench.attachments import VERBS
from tests.bench.clock import Summary, summary
from tests.bench.cluster import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.bench.attachments import Row, Side
    from tests.bench.burst import Measured as Crowd
    from tests.bench.clock import Sample
    from tests.bench.cluster import Measured
    from tests.bench.stores import Row as StoreRow
    from tests.conformance.kernel import Json

_LEGEND = (
    "Milliseconds of wall clock from spawn to exit: median (best). Everything in one table was "
    "measured in turns, one run of each, then the next round. CPU is the median of user and "
    "system time of the process and its children."
)

_CLUSTER_NOTES = """\
- The default network is of bridge and Go's host-local; the pod's annotation asks for the others.
- no events: `"events": false`; no cluster: the same networks, all in the configuration.
- The API server is that of the tests, a process of Python on the same machine.
- multus-cni, elsewhere: the thin plugin beside Kubernetes 1.36, measured on another machine. Only
  how it grows compares. Its whereabouts asks ten times more for each network and ADD; ours keeps
  its leases on the node here.
- What an ADD consists of, the last lines by a client that does nothing but write and read: how the
  server and a connection take part. Both kinds of STATUS differ by what a cluster needs before it
  is asked: http.client and ssl, the kubeconfig, the certificates."""


_STORES_NOTES = """\
- bridge and whereabouts, whole processes on one node; the store alone: by processes that are
  there already. CPU: of one call, the server's not included. The API server is that of the tests, a
  process of Python on the same machine; the etcd is a real one that does not sync its disk.
- original, elsewhere: bridge and whereabouts beside a real Kubernetes 1.36 on another machine."""

_BURST_NOTE = """

A kubelet's 110 pods (fewer with --quick), an ADD of each and then a DEL of each: pods per second;
median and 99th percentile of one call, and its median of CPU, in milliseconds."""


def attachments(sides: Iterable[tuple[Row, str, Side]]) -> list[Json]:
    """One object per row and verb; `ours` and `go` are summaries."""
    found: dict[tuple[str, str], Json] = {}
    for row, who, side in sides:
        for verb in VERBS:
            key = (row.name, verb)
            entry = found.setdefault(key, {"work": row.name, "verb": verb, "note": row.note})
            entry[who] = summary(side.samples[verb])._asdict()
    return list(found.values())


def cluster(measured: Measured) -> Json:
    """`rows` with summaries of each way and verb, and `parts` of an ADD."""
    rows = []
    for row in ROWS:
        if row.name not in measured.samples:
            continue
        ways = {
            way: {verb: summary(samples)._asdict() for verb, samples in verbs.items()}
            for way, verbs in measured.samples[row.name].items()
        }
        original = row.original
        quoted = original and {**original._asdict(), "calls": original.calls._asdict()}
        calls = measured.calls[row.name]._asdict()
        rows.append({"work": row.name, **ways, "calls": calls, "original": quoted})
    return {"rows": rows, "parts": starting(measured.parts)}


def starting(samples: Mapping[str, list[Sample]]) -> list[Json]:
    return [{"what": name, **summary(each)._asdict()} for name, each in samples.items()]


def leasing(samples: Mapping[str, Mapping[str, Mapping[str, list[Sample]]]]) -> list[Json]:
    """`leases` says how many there are, as the heading of a column does."""
    return [
        {"what": name, "leases": count, "verb": verb, **summary(each)._asdict()}
        for name, counts in samples.items()
        for count, verbs in counts.items()
        for verb, each in verbs.items()
    ]


def stores(rows: Iterable[StoreRow]) -> list[Json]:
    """One object per row: its summary, the slowest call, `wall` of all, or 0 for one at a time."""
    return [
        {
            **row._asdict(),
            "samples": summary(row.samples)._asdict(),
            "slowest": round(max(each.wall for each in row.samples), 3),
        }
        for row in rows
    ]


def bursts(measured: Iterable[Crowd]) -> list[Json]:
    found = []
    for each in measured:
        walls = sorted(sample.wall for sample in each.burst.samples)
        found.append(
            {
                "what": each.what,
                "at once": each.at_once,
                "verb": each.verb,
                "pods per second": round(len(walls) / each.burst.seconds, 1),
                "p50": round(walls[len(walls) // 2], 1),
                "p99": round(walls[len(walls) * 99 // 100], 1),
                "cpu": summary(each.burst.samples).cpu,
            }
        )
    return found


def markdown(document: Json) -> str:
    parts = ["# What a call costs", _LEGEND, _machine(document)]
    if document.get("attachments"):
        parts += ["## Attachments", _attachments(document["attachments"])]
    if document.get("cluster"):
        parts += ["## multus in a cluster", _cluster(document["cluster"])]
    if document.get("starting"):
        parts += ["## The start of an executable", _starting(document["starting"])]
    if document.get("leasing"):
        parts += ["## One address beside many", _leasing(document["leasing"])]
    if document.get("stores"):
        parts += ["## One address of a store that nodes share", _stores(document["stores"])]
    if document.get("bursts"):
        parts += ["## A node that fills up", _bursts(document["bursts"])]
    parts += ["## On disk", _sizes(document["sizes"])]
    return "\n\n".join(parts) + "\n"


def _machine(document: Json) -> str:
    lines = [f"- {key}: {value}" for key, value in document["machine"].items()]
    busy = document["pressure"]
    lines.append(f"- rounds: {document['rounds']} for attachments and starts")
    waited = " and ".join(f"{busy[when]} % {when}" for when in ("before", "after"))
    lines.append(f"- others waited for a processor (PSI, some avg10): {waited}")
    return "\n".join(lines)


def _attachments(entries: list[Json]) -> str:
    rows = []
    for entry in entries:
        ours, go = _summary(entry.get("ours")), _summary(entry.get("go"))
        rows.append(
            [
                entry["work"],
                entry["verb"],
                str(ours) if ours else "",
                str(go) if go else "",
                f"{ours.wall / go.wall:.1f}" if ours and go else "",
                " / ".join(f"{each.cpu:.0f}" for each in (ours, go) if each),
            ]
        )
    heads = ["work", "verb", "Plait", "Go", "ratio", "CPU, Plait / Go"]
    notes = dict.fromkeys(f"- {e['work']}: {e['note']}" for e in entries if e["note"])
    return _table(heads, rows) + "\n\n" + "\n".join(notes)


def _cluster(document: Json) -> str:
    rows = []
    for entry in document["rows"]:
        calls, original = entry["calls"], entry["original"]
        for verb, asked in (("ADD", _asked(calls)), ("DEL", str(calls["delete"]))):
            theirs, their_calls = "", ""
            if original:
                theirs = str(original["add" if verb == "ADD" else "delete"])
                said = original["calls"]
                their_calls = _asked(said) if verb == "ADD" else str(said["delete"])
            ways = [str(Summary(**entry[way][verb])) for way in ("cluster", "quiet", "alone")]
            rows.append([entry["work"], verb, *ways, asked, theirs, their_calls])
    heads = ["work", "verb", "Plait", "no events", "no cluster", "calls"]
    return "\n\n".join(
        [
            _table([*heads, "multus-cni, elsewhere", "its calls"], rows),
            _CLUSTER_NOTES,
            _starting(document["parts"]),
        ]
    )


def _asked(calls: Json) -> str:
    return f"{calls['add']} + {calls['events']} events"


def _starting(entries: list[Json]) -> str:
    rows = [
        [e.pop("what"), str(Summary(**e)), f"{e['cpu']:.1f}" if e["cpu"] else ""]
        for e in map(dict, entries)
    ]
    return _table(["what", "wall", "CPU"], rows)


def _leasing(entries: list[Json]) -> str:
    counts = list(dict.fromkeys(entry["leases"] for entry in entries))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for entry in entries:
        own = {key: entry[key] for key in Summary._fields}
        cells.setdefault((entry["what"], entry["verb"]), {})[entry["leases"]] = str(Summary(**own))
    rows = [[*key, *(found.get(count, "") for count in counts)] for key, found in cells.items()]
    return _table(["what", "verb", *counts], rows)


def _stores(entries: list[Json]) -> str:
    rows = [
        [
            e["work"],
            e["verb"],
            str(Summary(**e["samples"])),
            f"{e['samples']['cpu']:.0f}",
            f"{e['slowest']:.1f}",
            f"{e['wall']:.0f}" if e["wall"] else "",
            e["calls"],
            e["original"],
        ]
        for e in entries
    ]
    heads = [
        "work",
        "verb",
        "Plait",
        "CPU",
        "slowest",
        "all of them",
        "requests",
        "original, elsewhere",
    ]
    return f"{_table(heads, rows)}\n\n{_STORES_NOTES}"


def _bursts(entries: list[Json]) -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for e in entries:
        cell = f"{e['pods per second']} /s, {e['p50']}, {e['p99']}, {e['cpu']:.0f}"
        found.setdefault((e["what"], e["verb"]), []).append(cell)
    ways = dict.fromkeys(e["at once"] for e in entries)
    rows = [[*key, *cells] for key, cells in found.items()]
    return _table(["what", "verb", *(f"{each} at a time" for each in ways)], rows) + _BURST_NOTE


def _sizes(sizes: Json) -> str:
    rows = [
        [f"Plait, {sizes['plait types']} plugins and the command", _megabytes(sizes["plait"])],
        [
            f"Go, the {sizes['go, same types']} of these that Debian has, and host-local",
            _megabytes(sizes["go, same types and host-local"]),
        ],
        ["Go, all of Debian's package", _megabytes(sizes["go, all"])],
    ]
    return _table(["what", "MB"], rows)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


def _summary(entry: Any) -> Summary | None:
    return Summary(**entry) if entry else None


def _table(heads: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
