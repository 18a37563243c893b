"""Every plugin in every version of the specification: the life of one attachment, verb by verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.networks import NETWORKS
from tests.conformance.node import types
from tests.conformance.shapes import VERSIONS, anonymous, at_least, check

if TYPE_CHECKING:
    from tests.conformance.node import Node, Pod

VALID = "cni.dev/valid-attachments"


class Life:
    """One attachment and what is asked about it."""

    def __init__(self, node: Node, plugin_type: str, version: str) -> None:
        self.network = NETWORKS[plugin_type]
        self.network.prepare(node)
        self.node = node
        self.version = version
        self.pod: Pod = node.pod("cid")
        self.conf = {**self.network.conf, "cniVersion": version, "name": "life"}

    def ask(self, verb: str, **more: Any) -> Any:
        for_pod = None if verb in ("VERSION", "GC", "STATUS") else self.pod
        conf = {**self.conf, **more}
        return self.node.call(verb, conf, for_pod, ifname=self.network.ifname)

    def expect_silence(self, verb: str, since: str, **more: Any) -> None:
        """Success and not a word; in a configuration older than the verb, error 1."""
        reply = self.ask(verb, **more)
        if at_least(self.version, since):
            reply.silent()
        else:
            assert verb in reply.error(1)["msg"]

    def gc(self, *valid: str) -> None:
        attachments = [{"containerID": c, "ifname": self.network.ifname} for c in valid]
        self.expect_silence("GC", "1.1.0", **{VALID: attachments})


def test_every_plugin_has_a_network_here() -> None:
    # a network of passthru has no addresses; the cards of sriov are in tests/vm
    assert types() == sorted({*NETWORKS, "passthru", "sriov"})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("plugin_type", sorted(NETWORKS))
def test_life_of_an_attachment(node: Node, plugin_type: str, version: str) -> None:
    life = Life(node, plugin_type, version)
    before = node.traces(life.pod)

    life.expect_silence("STATUS", "1.1.0")
    result = life.ask("ADD").result()
    check(result, version)
    assert anonymous(result, life.pod.path) == life.network.golden(version)

    life.expect_silence("CHECK", "0.4.0", prevResult=result)
    life.gc(life.pod.container_id)
    life.expect_silence("CHECK", "0.4.0", prevResult=result)

    life.ask("DEL", prevResult=result).silent()
    assert node.traces(life.pod) == before
    life.ask("DEL").silent()
    life.gc()
    assert node.traces(life.pod) == before


@pytest.mark.parametrize("version", ["1.1.0"])
@pytest.mark.parametrize("plugin_type", sorted(NETWORKS))
def test_gc_takes_what_the_runtime_no_longer_has(
    node: Node, plugin_type: str, version: str
) -> None:
    life = Life(node, plugin_type, version)
    before = node.traces(life.pod)
    life.ask("ADD").result()
    if plugin_type == "loopback":
        return  # it keeps no record, and has no link of its own
    added = node.traces(life.pod)
    life.ask("GC").silent()  # the runtime does not say what it has: nothing may go
    assert node.traces(life.pod) == added
    life.gc("someone-else")
    assert node.traces(life.pod) == before


@pytest.mark.parametrize("command", ["VERSION", ""])
@pytest.mark.parametrize("plugin_type", sorted(NETWORKS))
def test_version_needs_nothing(node: Node, plugin_type: str, command: str) -> None:
    reply = node.call(command, {"type": plugin_type})
    if command:
        assert reply.result() == {"cniVersion": "1.1.0", "supportedVersions": list(VERSIONS)}
    else:
        reply.silent()
        assert plugin_type in reply.stderr
        assert ", ".join(VERSIONS) in reply.stderr


@pytest.mark.parametrize("inner", VERSIONS)
def test_prev_result_of_any_version_is_understood(node: Node, inner: str) -> None:
    """A runtime may have stored the result of an older configuration."""
    conf = {**NETWORKS["bridge"].conf, "name": "life"}
    pod = node.pod()
    result = node.call("ADD", {**conf, "cniVersion": inner}, pod).result()
    now = {**conf, "cniVersion": "1.0.0", "prevResult": result}
    if at_least(inner, "0.3.0"):
        node.call("CHECK", now, pod).silent()
    else:  # it names no interface, so there is nothing to hold the kernel against
        node.call("CHECK", now, pod).error()
    node.call("DEL", now, pod).silent()
