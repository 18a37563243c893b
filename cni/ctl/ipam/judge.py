"""Whether a lease is of the dead. Nothing is asked or changed here.

The namespace decides where it can be seen: what lives keeps its address, whatever a cluster says
of its pod. What only a cluster says has to be said several times, and annotations say nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.ctl.ipam import sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipam.stores import Lease

#: the boot that made a lease: this or not known, one before, one before whose leases rest still
THIS, EARLIER, RESTING = "this", "earlier", "resting"
#: a lease's pod: with the lease's UID, with one while the lease has none, with another, in no list
SAME, NAMESAKE, OTHER, ABSENT, UNKNOWN = "same", "namesake", "other", "absent", "unknown"
#: verdicts: it may be in use, it seems dead, it is dead
LIVES, SUSPECT, DEAD = "lives", "suspect", "dead"
#: what is done
KEPT, WAITING, RELEASED = "kept", "waiting", "released"


class Sight(NamedTuple):
    """What is to be seen of a lease's owner."""

    boot: str = THIS
    netns: str = sandbox.UNKNOWN
    pod: str = UNKNOWN
    has_uid: bool = True


class Verdict(NamedTuple):
    kind: str  #: LIVES, SUSPECT, DEAD
    reason: str


class Strikes(NamedTuple):
    """How often in a row a lease was a suspect, and when first, in seconds since 1970."""

    number: int
    first: int


class Rules(NamedTuple):
    strikes: int = 3
    grace: int = 300  #: seconds that a lease is left alone


class Decision(NamedTuple):
    what: str  #: KEPT, WAITING, RELEASED
    reason: str
    strikes: Strikes | None  #: to be remembered


def pod_state(lease: Lease, pods: Mapping[str, frozenset[str]] | None) -> str:
    """What the list says of the lease's pod; None: there is no list."""
    if pods is None or not lease.pod_name or not lease.pod_namespace:
        return UNKNOWN
    uids = pods.get(f"{lease.pod_namespace}/{lease.pod_name}")
    if uids is None:
        return ABSENT
    if not lease.pod_uid:
        return NAMESAKE
    return SAME if lease.pod_uid in uids else OTHER


def judge(sight: Sight, *, shares_pools: bool = False) -> Verdict:
    """`shares_pools`: with nodes of the original, whose entries have no UID: the name suffices."""
    if sight.boot == EARLIER:
        return Verdict(DEAD, "an earlier boot has ended with it")
    if sight.boot == RESTING:
        return Verdict(LIVES, "it rests after the boot, its container may be started again")
    if sight.netns == sandbox.THERE:
        return Verdict(LIVES, "its network namespace is there")
    if sight.pod == OTHER:
        return Verdict(SUSPECT, "its pod was replaced, the present one has another UID")
    if sight.pod == ABSENT and (sight.has_uid or shares_pools):
        return Verdict(SUSPECT, "its pod does not exist")
    if sight.netns == sandbox.GONE:
        if sight.pod == ABSENT:
            return Verdict(SUSPECT, "its network namespace is gone, and so is its pod")
        if sight.pod == SAME:
            return Verdict(SUSPECT, "its network namespace is gone, though its pod exists")
        return Verdict(DEAD, "its network namespace is gone")
    if sight.pod == ABSENT:
        return Verdict(LIVES, "no pod has its name, and it has no UID to be sure")
    if sight.pod in (SAME, NAMESAKE):
        return Verdict(LIVES, "its pod exists")
    return Verdict(LIVES, "nothing is known of its owner")


def decide(
    verdict: Verdict, created: int, before: Strikes | None, rules: Rules, now: int
) -> Decision:
    """What becomes of a lease that was made at `created`; 0: nobody knows when.

    Its age counts from the first strike then, and when its clock was ahead of ours.
    """
    if verdict.kind == LIVES:
        return Decision(KEPT, verdict.reason, None)
    strikes = Strikes(before.number + 1 if before else 1, before.first if before else now)
    strikes = strikes._replace(first=min(strikes.first, now))
    made = created if 0 < created <= now else strikes.first
    needed = rules.strikes if verdict.kind == SUSPECT else 1
    if strikes.number < needed:
        said = f"{verdict.reason}: strike {strikes.number} of {needed}"
        return Decision(WAITING, said, strikes)
    if now - made < rules.grace:
        said = f"{verdict.reason}: left alone for {rules.grace - (now - made)} s"
        return Decision(WAITING, said, strikes)
    return Decision(RELEASED, verdict.reason, strikes)
