"""The numbers as a JSON document: what is written for machines, and what reports are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.attachments import VERBS
from tests.bench.clock import summary
from tests.bench.cluster import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.bench.attachments import Row, Side
    from tests.bench.burst import Measured as Crowd
    from tests.bench.clock import Sample
    from tests.bench.cluster import Measured
    from tests.bench.pods import Measured as Filled
    from tests.bench.spending import Spent
    from tests.bench.stores import Row as StoreRow
    from tests.conformance.kernel import Json


def attachments(sides: Iterable[tuple[Row, str, Side]]) -> list[Json]:
    """One object per row and verb; `ours`, `warm` and `go` are summaries."""
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


def pods(measured: Iterable[Filled]) -> list[Json]:
    """One object per number at a time, way and verb; `error` is what the first failure said.

    The median and the percentile are null where every call has failed.
    """
    found = []
    for each in measured:
        samples, failures, seconds = each.outcome
        walls = sorted(sample.wall for sample in samples)
        found.append(
            {
                "who": each.who,
                "at once": each.at_once,
                "verb": each.verb,
                "pods": len(samples) + len(failures),
                "failures": len(failures),
                "error": failures[0][:1000] if failures else "",
                "pods per second": round(len(samples) / seconds, 2),
                "p50": round(walls[len(walls) // 2], 1) if walls else None,
                "p99": round(walls[len(walls) * 99 // 100], 1) if walls else None,
                "cpu": summary(samples).cpu if samples else None,
            }
        )
    return found


def spending(spent: Iterable[Spent]) -> list[Json]:
    return [each._asdict() for each in spent]
