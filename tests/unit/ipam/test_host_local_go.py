"""host-local beside the original: on the same files, in turn and at once, and the same answers."""

from __future__ import annotations

import json
import os
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.host_local import Network, conf, needs_go, reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.ipam.harness import Json, Reply

pytestmark = needs_go

NET = conf("10.0.0.0/24", "fd00::/64")
BOTH = pytest.mark.parametrize("go_first", [True, False], ids=["go first", "ours first"])


@pytest.fixture
def net(tmp_path: Path) -> Network:
    return Network(tmp_path / "state")


def call(net: Network, go: bool, verb: str, ipam: Json, container: str, **more: Any) -> Reply:
    return (net.go if go else net.call)(verb, ipam, container, **more)


@BOTH
class TestInTurn:
    def test_the_one_deletes_what_the_other_added(self, net: Network, go_first: bool) -> None:
        result = call(net, go_first, "ADD", NET, "c1").ok()
        call(net, not go_first, "CHECK", NET, "c1", prevResult=result).ok()
        call(net, go_first, "CHECK", NET, "c1", prevResult=result).ok()
        call(net, not go_first, "DEL", NET, "c1").ok()
        assert not net.leases()
        call(net, not go_first, "CHECK", NET, "c1", prevResult=result).error(
            102 if go_first else 999
        )

    def test_they_go_round_together(self, net: Network, go_first: bool) -> None:
        for number in range(2, 8):
            whose = go_first if number % 2 else not go_first
            ips = call(net, whose, "ADD", NET, f"c{number}").ips()
            assert ips == [f"10.0.0.{number}/24", f"fd00::{number}/64"]
        for number in range(2, 8):
            whose = go_first if number % 3 else not go_first
            call(net, whose, "DEL", NET, f"c{number}").ok()
        assert not net.leases()

    def test_a_full_range(self, net: Network, go_first: bool) -> None:
        small = conf("10.0.0.0/29")
        for number in range(5):
            call(net, (number % 2 == 0) == go_first, "ADD", small, f"c{number}").ok()
        for go in (True, False):
            said = call(net, go, "ADD", small, "late").error(999 if go else 100)
            assert (
                "failed to allocate for range 0: no IP addresses available in range set: "
                "10.0.0.1-10.0.0.6" in said
            )
        call(net, not go_first, "DEL", small, "c3").ok()
        assert call(net, go_first, "ADD", small, "late").ips() == ["10.0.0.5/29"]

    def test_a_request_for_what_the_other_gave(self, net: Network, go_first: bool) -> None:
        call(net, go_first, "ADD", NET, "c1").ok()
        ips = {"ips": ["10.0.0.2"]}
        said = call(net, not go_first, "ADD", NET, "c2", runtimeConfig=ips).value["msg"]
        assert "requested IP address 10.0.0.2 is not available in range set" in said


def test_again_after_go(net: Network) -> None:
    """What the original refuses to its own container."""
    first = net.go("ADD", NET).ips()
    assert "duplicate allocation is not allowed" in net.go("ADD", NET).value["msg"]
    assert net.add(NET) == first


def test_at_once(net: Network) -> None:
    """Half of the calls by Go, with deletions between: no address twice, none lost."""
    rounds = range(24)
    running = [net.start("ADD", NET, f"a{i}", go=i % 2 == 0) for i in rounds]
    given = [ip for each in running for ip in reply(each).ips()]
    assert len(set(given)) == len(given) == 2 * len(rounds)
    running = [net.start("DEL", NET, f"a{i}", go=i % 3 == 0) for i in rounds]
    running += [net.start("ADD", NET, f"b{i}", go=i % 2 == 0) for i in rounds]
    replies = [reply(each) for each in running]
    given = [ip for each in replies[len(rounds) :] for ip in each.ips()]
    assert len(set(given)) == len(given) == 2 * len(rounds)
    found = net.leases()
    assert set(found) == {ip.partition("/")[0] for ip in given}
    for i in rounds:
        net.delete(NET, f"b{i}")
    assert not net.leases()


SETS: list[Json] = [
    conf("10.0.0.0/29"),
    conf(["10.0.0.0/29", "10.0.1.0/30", "10.0.2.0/29"]),
    conf([{"subnet": "10.0.0.0/28", "rangeStart": "10.0.0.3", "rangeEnd": "10.0.0.8"}]),
    conf([{"subnet": "10.0.0.0/28", "rangeStart": "10.0.0.3", "gateway": "10.0.0.3"}]),
    conf([{"subnet": "10.0.0.0/29", "gateway": "10.0.0.6"}], "fd00::/125"),
    conf(["fd00::8/125", {"subnet": "fd00::/126", "gateway": "fd00::3"}]),
    conf([{"subnet": "10.0.0.0/29", "gateway": "192.0.2.1"}]),
    {**conf("10.0.1.0/29"), "subnet": "10.0.0.0/30"},
]


@pytest.mark.parametrize("ipam", SETS, ids=str)
def test_the_same_addresses(tmp_path: Path, ipam: Json) -> None:
    """One history on two nodes, that of the original and ours."""
    ours, go = Network(tmp_path / "ours"), Network(tmp_path / "go")
    rng = random.Random(str(ipam))
    holding: list[str] = []
    for number in range(60):
        if holding and rng.random() < 0.4:
            victim = holding.pop(rng.randrange(len(holding)))
            ours.delete(ipam, victim)
            go.go("DEL", ipam, victim).ok()
            continue
        more: dict[str, Any] = {}
        if rng.random() < 0.3:
            prefix = "fd00::" if ipam["ranges"][0][0]["subnet"].startswith("fd") else "10.0.0."
            more = {"runtimeConfig": {"ips": [f"{prefix}{rng.randrange(1, 9)}"]}}
        name = f"c{number}"
        mine, theirs = ours.call("ADD", ipam, name, **more), go.go("ADD", ipam, name, **more)
        assert mine.status == theirs.status, (mine, theirs)
        if mine.status == 0:
            assert mine.value == {k: v for k, v in theirs.value.items() if k != "dns"}
            holding.append(name)
        else:  # the original goes on to the next turn when it fails in the end, too
            for last in go.files.glob("last_reserved_ip.*"):
                ours.write(last.name, last.read_text())
        assert ours.leases() == go.leases()


@pytest.mark.parametrize(
    "ipam",
    [
        conf(),
        conf([]),
        conf("10.0.0.1/24"),
        conf("10.0.0.0/31"),
        conf("fd00::/127"),
        conf("::ffff:10.0.0.0/120"),
        conf([{"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.0"}]),
        conf([{"subnet": "10.0.0.0/24", "rangeEnd": "10.0.1.0"}]),
        conf([{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"}]),
        conf(["10.0.0.0/24", "fd00::/64"]),
        conf(["10.1.0.0/22", "10.1.2.0/24"]),
        conf("10.1.0.0/22", "10.1.2.0/24"),
    ],
    ids=str,
)
def test_the_same_complaints(net: Network, ipam: Json) -> None:
    """Ours says which key beside what the original says."""
    theirs = net.go("ADD", ipam).value["msg"]
    mine = net.call("ADD", ipam).error(7)
    words = theirs.partition(": ")[2] or theirs
    assert words in mine, (theirs, mine)


def test_at_once_and_killed(net: Network) -> None:
    """Any of them may die at any moment; whoever is left cleans up behind it."""
    seed = os.environ.get("PLAIT_SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"PLAIT_SEED={seed}")
    rng = random.Random(seed)
    for turn in range(8):
        names = [f"c{turn}-{i}" for i in range(5)]
        running = {name: net.start("ADD", NET, name, go=rng.random() < 0.5) for name in names}
        for each in running.values():
            if rng.random() < 0.6:
                time.sleep(rng.random() * 0.05)
                each.kill()
        given: list[str] = []
        for name, each in running.items():
            out, _ = each.communicate()
            if each.returncode == 0:
                given += [ip["address"].partition("/")[0] for ip in json.loads(out)["ips"]]
                assert {net.leases()[ip] for ip in given[-2:]} == {f"{name}\r\neth0"}
        assert len(set(given)) == len(given)
        for name in names:
            call(net, rng.random() < 0.5, "DEL", NET, name).ok()
    net.delete(NET, "nobody")  # the last may have been the original, which leaves empty files
    assert not net.leases()
