"""The document as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.clock import Summary

if TYPE_CHECKING:
    from tests.conformance.kernel import Json

WHO = {"ours": "Plait, cold", "warm": "Plait, warm", "go": "Go"}

_LEGEND = (
    "Milliseconds of wall clock from spawn to exit: median (best). Everything in one table was "
    "measured in turns, one run of each, then the next round. CPU is the mean of user and system "
    "time of the process and its children. Warm: through the agent, which is let come to rest "
    "before the next call, save in bursts; CPU is what both spend. The run directory is in memory, "
    "as /run is on a node; the state is on the disk."
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
  is asked: ssl, the kubeconfig, the certificates."""


_STORES_NOTES = """\
- bridge and whereabouts, whole processes on one node; the store alone: by processes that are
  there already. CPU: of one call, the server's not included. The API server is that of the tests, a
  process of Python on the same machine; the etcd is a real one that does not sync its disk.
- original, elsewhere: bridge and whereabouts beside a real Kubernetes 1.36 on another machine."""

_PODS_NOTE = """\
- pods per second; median and 99th percentile of one pod's call, and its mean of CPU, in ms.
- Plait: multus with three times bridge and whereabouts; Go: three times bridge and host-local, one
  after the other, with no meta plugin at all. Every burst finds none of its bridges there."""

_SPENDING_NOTE = """\
Milliseconds, medians, so the lines do not quite add up to the last one. Being recorded makes a call
a little slower, its imports above all. start: processor time until the record begins; before and
after: what no record holds, which is the executable itself where the agent runs the call."""

_BURST_NOTE = """

A kubelet's 110 pods (fewer with --quick), an ADD of each and then a DEL of each: pods per second;
median and 99th percentile of one call, and its mean of CPU, in milliseconds."""


def markdown(document: Json) -> str:
    parts = ["# What a call costs", _LEGEND, _machine(document)]
    if document.get("attachments"):
        parts += ["## Attachments", _attachments(document["attachments"])]
    if document.get("pods"):
        parts += ["## A node that fills up with pods of three networks", _pods(document["pods"])]
    if document.get("spending"):
        parts += ["## Where the time of an ADD goes", _spending(document["spending"])]
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
        found = {who: Summary(**entry[who]) for who in WHO if who in entry}
        go = found.get("go")
        ratios = [
            f"{found[who].wall / go.wall:.1f}" if go and who in found else ""
            for who in ("ours", "warm")
        ]
        rows.append(
            [
                entry["work"],
                entry["verb"],
                *(str(found.get(who, "")) for who in WHO),
                " / ".join(filter(None, ratios)),
                " / ".join(f"{each.cpu:.0f}" for each in found.values()),
            ]
        )
    heads = ["work", "verb", *WHO.values(), "cold / warm : Go", "CPU, cold / warm / Go"]
    notes = dict.fromkeys(f"- {e['work']}: {e['note']}" for e in entries if e["note"])
    return _table(heads, rows) + "\n\n" + "\n".join(notes)


def _pods(entries: list[Json]) -> str:
    cells: dict[tuple[str, str], list[str]] = {}
    for e in entries:
        cell = f"{e['pods per second']} /s, {e['p50']}, {e['p99']}, {e['cpu'] or 0:.0f}"
        if e["failures"]:
            cell += f", {e['failures']} of {e['pods']} FAILED"
        cells.setdefault((WHO[e["who"]], e["verb"]), []).append(cell)
    ways = dict.fromkeys(e["at once"] for e in entries)
    table = _table(
        ["what", "verb", *(f"{each} at a time" for each in ways)],
        [[*key, *found] for key, found in cells.items()],
    )
    failed = [e for e in entries if e["failures"]]
    told = [
        f"- FAILED: {WHO[e['who']]}, {e['verb']}, {e['at once']} at a time: "
        f"{' '.join(e['error'].split())}"
        for e in failed
    ]
    count = f"- {max(e['pods'] for e in entries)} pods, an ADD of each and then a DEL of each; "
    count += f"failures: {sum(e['failures'] for e in failed)}."
    return "\n".join([f"{table}\n", count, _PODS_NOTE, *told])


def _spending(entries: list[Json]) -> str:
    kinds = dict.fromkeys(kind for e in entries for kind in e["ms"])
    rows = [[kind, *(f"{e['ms'].get(kind, 0):.1f}" for e in entries)] for kind in kinds]
    rows.append(["the whole call", *(f"{e['wall']:.1f}" for e in entries)])
    heads = [f"{e['work']}, {WHO[e['who']].removeprefix('Plait, ')}" for e in entries]
    return f"{_table(['spent on', *heads], rows)}\n\n{_SPENDING_NOTE}"


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


def _table(heads: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
