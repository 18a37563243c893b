"""An ADD that fails at any step leaves kernel, leases and disk as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.faults import failing

if TYPE_CHECKING:
    from tests.netns.node import Node

CONF: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "faulty",
    "type": "bridge",
    "bridge": "br0",
    "isDefaultGateway": True,
    "ipMasq": True,
    "macspoofchk": True,
    "ipam": {
        "type": "static",
        "addresses": [{"address": "10.1.2.3/24"}, {"address": "fd00:1::3/64"}],
    },
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("first", [False, True], ids=["second-pod", "first-pod"])
def test_bridge_add_failing_at_every_call(node: Node, after: bool, first: bool) -> None:
    if not first:
        addresses = [{"address": "10.1.2.9/24"}, {"address": "fd00:1::9/64"}]
        other = {**CONF, "ipam": {"type": "static", "addresses": addresses}}
        node.call("ADD", other, node.pod()).ok()
    pod = node.pod()
    before = node.snapshot(pod)
    for nth in range(1, 200):
        with failing(nth, after=after) as fault:
            reply = node.call("ADD", CONF, pod)
        if not fault.hit:
            assert nth > 20
            reply.ok()
            return
        if reply.status:  # some calls may fail without harm: announcements, hints
            assert node.snapshot(pod) == before, f"call {nth}: {fault.hit}"
        else:
            node.call("DEL", CONF, pod).ok()
            if first:
                node.ip("link", "delete", "br0")  # a bridge outlives the pods of a good ADD
            assert node.snapshot(pod) == before, f"call {nth}: {fault.hit} (after DEL)"
    pytest.fail("the ADD never came to its end")
