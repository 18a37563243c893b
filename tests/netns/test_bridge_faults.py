"""bridge when any step fails: the world is as before. When the process dies: DEL makes it so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns import confs
from tests.netns.faults import failing, killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.netns.confs import Conf
    from tests.netns.faults import Fault
    from tests.netns.node import Node, Pod

MOST = 250  #: calls of one verb; a test that needs more never comes to its end


def conf(**keys: object) -> Conf:
    ranges = [
        {"range": "10.1.2.0/24", "range_start": "10.1.2.10"},
        {"range": "fd00:1::/64", "range_start": "fd00:1::10"},
    ]
    return confs.bridge(
        name="faulty", isDefaultGateway=True, ipMasq=True, macspoofchk=True,
        ipam={"type": "whereabouts", "ipRanges": ranges},
    ) | keys  # fmt: skip


@pytest.fixture(params=["first-pod", "second-pod"])
def pod(request: pytest.FixtureRequest, node: Node) -> Pod:
    """The pod to add; the second finds a bridge that another depends on."""
    if request.param == "second-pod":
        node.call("ADD", conf(), node.pod("other")).ok()
    return node.pod()


def forget_bridge(node: Node) -> None:
    """A bridge outlives the pods of a good ADD; that of the second pod's neighbour stays."""
    if not any(each.get("master") == "br0" for each in node.ip("link")) and "br0" in node.links():
        node.ip("link", "delete", "br0")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_add_failing_at_every_call(node: Node, pod: Pod, after: bool) -> None:
    before = node.snapshot(pod)
    for nth in range(1, MOST):
        with failing(nth, after=after) as fault:
            reply = node.call("ADD", conf(), pod)
        if not fault.hit:
            reply.ok()
            assert nth > 20
            return
        if reply.status:  # some calls may fail without harm: announcements, hints
            assert node.snapshot(pod) == before, fault.hit
        else:
            node.call("DEL", conf(), pod).ok()
            forget_bridge(node)
            assert node.snapshot(pod) == before, f"{fault.hit} (after DEL)"
    pytest.fail("the ADD never came to its end")


def test_add_killed_at_every_call(node: Node, pod: Pod) -> None:
    """What nobody could undo, DEL finds by the attachment alone."""
    before = node.snapshot(pod)
    for nth in range(1, MOST):
        with killed(nth, after=True) as fault:
            node.call("ADD", conf(), pod).ok()
        node.call("DEL", conf(), pod).ok()
        forget_bridge(node)
        assert node.snapshot(pod) == before, fault.hit
        if not fault.hit:
            return
    pytest.fail("the ADD never came to its end")


@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize("end", [failing, killed], ids=["failing", "killed"])
@pytest.mark.parametrize("pod", ["second-pod"], indirect=True)
def test_delete_that_fails_is_finished_by_the_next(
    node: Node, pod: Pod, verb: str, end: Callable[[int], AbstractContextManager[Fault]]
) -> None:
    """And fails with one error, having done all the rest."""
    before = node.snapshot(pod)
    valid = [{"containerID": "other0", "ifname": "eth0"}]
    keys = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid} if verb == "GC" else {}
    for nth in range(1, MOST):
        node.call("ADD", conf(), pod).ok()
        with end(nth) as fault:
            node.call(verb, conf(**keys), pod)
        node.call(verb, conf(**keys), pod).ok()
        assert node.snapshot(pod) == before, fault.hit
        if not fault.hit:
            assert nth > 5
            return
    pytest.fail(f"the {verb} never came to its end")


def test_check_that_fails_changes_nothing(node: Node) -> None:
    pod = node.pod()
    checked = conf(prevResult=node.call("ADD", conf(), pod).ok())
    before = node.snapshot(pod)
    for nth in range(1, MOST):
        with failing(nth) as fault:
            reply = node.call("CHECK", checked, pod)
        assert node.snapshot(pod) == before
        if not fault.hit:
            reply.ok()
            return
        reply.error()
    pytest.fail("the CHECK never came to its end")
