"""Measures, and writes bench.json, bench.md and bench.svg to build/; the table is printed too.

    python -m tests.bench                  everything, some minutes
    python -m tests.bench --quick          few rounds, few pods, no 100,000 leases: a minute
    python -m tests.bench --only multus    rows whose name holds the word, nothing else
    python -m tests.bench --only pods      110 pods of three networks, 1, 2, 4 and 8 at a time
    python -m tests.bench --only spending  where the time of an ADD goes, as plugins record it
    python -m tests.bench --only ipam      addresses: beside many, shared by nodes, 110 pods
    python -m tests.bench --profile        an ADD from the source tree: imports and functions
    python -m tests.bench --publish        docs/bench-latest.json and docs/bench.svg as well

Needs root, and a machine with nothing else to do: the report says how busy it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import (
    attachments,
    burst,
    cluster,
    document,
    leasing,
    machine,
    plot,
    pods,
    profile,
    report,
    spending,
    starting,
    stores,
)
from tests.conformance.node import AGENT, OURS, REPOSITORY, fresh_node, types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node


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
        if AGENT:
            sys.exit("bench: with PLAIT_AGENT not everything would be measured: unset it")
        measured = _measure(options, Path(work))
    text = report.markdown(measured)
    made = json.dumps(measured, indent=2) + "\n"
    image = plot.svg(measured)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "bench.json").write_text(made)
    (options.output / "bench.md").write_text(text)
    (options.output / "bench.svg").write_text(image)
    if options.publish:
        (REPOSITORY / "docs" / "bench-latest.json").write_text(made)
        (REPOSITORY / "docs" / "bench.svg").write_text(image)
    print(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", metavar="WORD", default="")
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--rounds", type=int, metavar="N", help="default 40, with --quick 7")
    parser.add_argument("--output", type=Path, metavar="DIR", default=REPOSITORY / "build")
    parser.add_argument(
        "--profile", nargs="?", const="bridge", choices=("bridge", "masquerade", "multus")
    )
    return parser.parse_args()


def _measure(options: argparse.Namespace, work: Path) -> Json:
    rounds = options.rounds or (7 if options.quick else 40)
    found: Json = {"machine": machine.describe(), "rounds": rounds}
    before = machine.pressure()
    with _node(work, "node") as node:
        if not options.only:
            _say(f"starts, {rounds} rounds")
            found["starting"] = document.starting(starting.measure(node, rounds))
        _say(f"attachments, {rounds} rounds")
        sides = attachments.measure(node, rounds, options.only)
        found["attachments"] = document.attachments(sides)
    if options.only in ("", "pods"):
        found["pods"] = _pods(options, work)
    if options.only in ("", "spending"):
        with _node(work, "spending") as node:
            _say(f"where the time goes, {rounds} rounds")
            found["spending"] = document.spending(spending.measure(node, rounds))
            if not found["spending"]:
                _say("these executables record nothing of what they spend their time on")
    with _node(work, "cluster") as node:
        _say(f"multus in a cluster, {rounds} rounds")
        if measured := cluster.measure(node, rounds, options.only):
            found["cluster"] = document.cluster(measured)
    if options.only in ("", "ipam"):
        _addresses(options, work, rounds, found)
    found["pressure"] = {"before": before, "after": machine.pressure()}
    found["sizes"] = machine.sizes()
    return found


@contextmanager
def _node(work: Path, name: str) -> Iterator[Node]:
    """A fresh one; its run directory is in /run and so in memory, as where systemd starts."""
    root = work / name
    root.mkdir()
    with (
        tempfile.TemporaryDirectory(prefix="plait-bench.", dir="/run") as run_dir,
        fresh_node(root, Path(run_dir)) as node,
    ):
        yield node


def _pods(options: argparse.Namespace, work: Path) -> list[Json]:
    count, at_once = (12, (1, 4)) if options.quick else (pods.PODS, pods.AT_ONCE)
    with _node(work, "pods") as node:
        found = []
        for each in pods.measure(node, count, at_once):
            _say(f"{count} pods of three networks, {each[0].at_once} at a time: measured")
            found += document.pods(each)
        return found


def _addresses(options: argparse.Namespace, work: Path, rounds: int, found: Json) -> None:
    cases = leasing.FEW if options.quick else leasing.ALL
    few = max(3, rounds // 4)  # a look through 100,000 files takes seconds
    _say(f"{few} rounds at {', '.join(map(str, cases))}")
    found["leasing"] = document.leasing(leasing.measure(work / "leases", cases, few))
    with _node(work, "stores") as node:
        _say(f"stores that nodes share, {few} rounds")
        rows = [*stores.kubernetes(node, few), *stores.etcd(node, few)]
        found["stores"] = document.stores(rows)
    with _node(work, "burst") as node:
        _say("a node that fills up")
        count = burst.PODS // 5 if options.quick else burst.PODS
        found["bursts"] = document.bursts(burst.measure(node, count))


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
