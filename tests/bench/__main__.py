"""Measures, and writes build/bench.json and build/bench.md; the table goes to standard output too.

    python -m tests.bench                  everything, some minutes
    python -m tests.bench --quick          few rounds, no 100,000 leases: a minute
    python -m tests.bench --only multus    rows whose name holds the word, nothing else
    python -m tests.bench --only ipam      addresses: beside many, shared by nodes, 110 pods
    python -m tests.bench --profile        where the time of an ADD goes, from the source tree

Needs root, and a machine with nothing else to do: the report says how busy it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import (
    attachments,
    burst,
    cluster,
    leasing,
    machine,
    profile,
    report,
    starting,
    stores,
)
from tests.conformance.node import OURS, REPOSITORY, fresh_node, types

if TYPE_CHECKING:
    from tests.conformance.kernel import Json


def main() -> int:
    options = _options()
    if os.geteuid() != 0:
        sys.exit("bench: namespaces need root")
    with tempfile.TemporaryDirectory(prefix="plait-bench.") as work:
        if options.profile:
            with fresh_node(Path(work)) as node:
                profile.show(node, _profiled(options.profile))
            return 0
        if not types():
            sys.exit(f"bench: no plugins in {OURS}: run `make build`, or set PLAIT_BIN")
        document = _measure(options, Path(work))
    text = report.markdown(document)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "bench.json").write_text(json.dumps(document, indent=2) + "\n")
    (options.output / "bench.md").write_text(text)
    print(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", metavar="WORD", default="")
    parser.add_argument("--rounds", type=int, metavar="N", help="default 40, with --quick 7")
    parser.add_argument("--output", type=Path, metavar="DIR", default=REPOSITORY / "build")
    parser.add_argument(
        "--profile", nargs="?", const="bridge", choices=("bridge", "masquerade", "multus")
    )
    return parser.parse_args()


def _measure(options: argparse.Namespace, work: Path) -> Json:
    rounds = options.rounds or (7 if options.quick else 40)
    document: Json = {"machine": machine.describe(), "rounds": rounds}
    before = machine.pressure()
    if not options.only:
        _say(f"starts, {rounds} rounds")
        document["starting"] = report.starting(starting.measure(rounds))
    _say(f"attachments, {rounds} rounds")
    with fresh_node(work / "node") as node:
        sides = attachments.measure(node, rounds, options.only)
        document["attachments"] = report.attachments(sides)
    with fresh_node(work / "cluster") as node:
        _say(f"multus in a cluster, {rounds} rounds")
        if measured := cluster.measure(node, rounds, options.only):
            document["cluster"] = report.cluster(measured)
    if options.only in ("", "ipam"):
        _addresses(options, work, rounds, document)
    document["pressure"] = {"before": before, "after": machine.pressure()}
    document["sizes"] = machine.sizes()
    return document


def _addresses(options: argparse.Namespace, work: Path, rounds: int, document: Json) -> None:
    cases = leasing.FEW if options.quick else leasing.ALL
    few = max(3, rounds // 4)  # a look through 100,000 files takes seconds
    _say(f"{few} rounds at {', '.join(map(str, cases))}")
    document["leasing"] = report.leasing(leasing.measure(work / "leases", cases, few))
    with fresh_node(work / "stores") as node:
        _say(f"stores that nodes share, {few} rounds")
        rows = [*stores.kubernetes(node, few), *stores.etcd(node, few)]
        document["stores"] = report.stores(rows)
    with fresh_node(work / "burst") as node:
        _say("a node that fills up")
        pods = burst.PODS // 5 if options.quick else burst.PODS
        document["bursts"] = report.bursts(burst.measure(node, pods))


def _profiled(what: str) -> Json:
    rows = {row.name: row for row in attachments.rows(Path("/nonexistent"))}
    names = {
        "bridge": "bridge + addresses",
        "masquerade": "bridge + addresses + masquerading",
        "multus": "multus, 3 x (bridge + addresses)",
    }
    call = rows[names[what]].ours
    assert call is not None
    return call.confs[0]


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
