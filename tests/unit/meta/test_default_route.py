"""default-route: the plan, and what it does to the results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError
from cni.core.types import Result, Route
from meta.multus import default_route, network, sandbox
from meta.multus.delegates import Delegate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.meta.harness import Json, Node


def delegate(ifname: str, gateways: list[str] | None = None) -> Delegate:
    found = network.parse({"name": ifname, "type": "fake"}, "1.0.0")
    requests: Json = {} if gateways is None else {"default-route": gateways}
    return Delegate(found, ifname, (), {}, requests)


@pytest.mark.parametrize(
    ("gateways", "expected"),
    [
        ([None, None], {}),
        ([None, []], {}),
        ([None, ["10.1.1.1"]], {4: (1, "10.1.1.1")}),
        ([None, ["10.1.1.1", "fc00::1"]], {4: (1, "10.1.1.1"), 6: (1, "fc00::1")}),
        ([None, ["10.1.1.1"], ["fc00::1"]], {4: (1, "10.1.1.1"), 6: (2, "fc00::1")}),
        ([["FC00:0::01"], ["::ffff:10.1.1.1"]], {6: (0, "fc00::1"), 4: (1, "10.1.1.1")}),
    ],
)
def test_the_gateway_of_each_family(
    gateways: list[list[str] | None], expected: dict[int, tuple[int, str]]
) -> None:
    assert default_route.wanted([delegate("x", each) for each in gateways]) == expected


@pytest.mark.parametrize(
    "gateways", [[["10.1.2.1"], ["10.1.2.2"]], [["fc00::1", "fc00::2"]], [["1.1.1.1"], ["1.1.1.1"]]]
)
def test_two_gateways_of_one_family(gateways: list[list[str]]) -> None:
    with pytest.raises(CniError, match="multus does not support ECMP for default-route"):
        default_route.wanted([delegate("x", each) for each in gateways])


def test_only_the_requested_family_moves() -> None:
    v4, v6, odd_v6 = Route("0.0.0.0/0", "10.0.0.1"), Route("::/0", "fe80::1"), Route("::0/0")
    lan, other_table = Route("10.0.0.0/8"), Route("0.0.0.0/0", table=100)
    answers = [Result(routes=(v4, v6, lan, other_table)), Result(routes=(v4,))]
    assert [each.routes for each in default_route.applied(answers, {4: (1, "10.1.0.1")})] == [
        (v6, lan, other_table),
        (Route("0.0.0.0/0", "10.1.0.1"),),
    ]
    answers = [Result(routes=(v4, v6)), Result(routes=(odd_v6,))]
    assert [each.routes for each in default_route.applied(answers, {6: (1, "fc00::1")})] == [
        (v4,),
        (Route("::/0", "fc00::1"),),
    ]


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[int, tuple[str, str]]]]:
    calls: list[tuple[str, dict[int, tuple[str, str]]]] = []

    def move(netns: str, targets: Mapping[int, tuple[str, str]]) -> None:
        calls.append((netns, dict(targets)))

    monkeypatch.setattr(sandbox, "move_default_routes", move)
    return calls


def routed(node: Node, gateways: list[str]) -> Json:
    node.plugin("fake")
    (node.conf_dir / "n.conf").write_text(json.dumps({"name": "n", "type": "fake"}))
    return node.conf(
        {"name": "a", "type": "fake"}, attachments=[{"name": "n", "default-route": gateways}]
    )


def test_the_answer_the_cache_and_the_kernel_agree(
    node: Node, moved: list[tuple[str, dict[int, tuple[str, str]]]]
) -> None:
    reply = node.call("ADD", routed(node, ["10.9.0.1"]))
    assert moved == [(str(node.netns), {4: ("net1", "10.9.0.1")})]
    assert "routes" not in reply.out
    assert "routes" not in node.cached("a-cid1-eth0")["result"]
    assert node.cached("n-cid1-net1")["result"]["routes"] == [
        {"dst": "0.0.0.0/0", "gw": "10.9.0.1"}
    ]
    flags = [(each["IsFilterV4Gateway"], each["IsFilterV6Gateway"]) for each in node.scratch()]
    assert flags == [(True, True), (False, True)]


def test_an_empty_list_keeps_what_the_networks_made(
    node: Node, moved: list[tuple[str, dict[int, tuple[str, str]]]]
) -> None:
    reply = node.call("ADD", routed(node, []))
    assert moved == []
    assert reply.out["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}]


def test_a_kernel_that_refuses_undoes_the_add(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(netns: str, targets: object) -> None:
        error = OSError(101, "Network is unreachable")
        error.add_note("replace route 0.0.0.0/0 via 10.9.0.1")
        raise error

    monkeypatch.setattr(sandbox, "move_default_routes", refuse)
    reply = node.call("ADD", routed(node, ["10.9.0.1"]))
    assert reply.code == 101
    assert reply.msg == "default-route: replace route 0.0.0.0/0 via 10.9.0.1"
    assert node.calls() == ["ADD fake eth0", "ADD fake net1", "DEL fake net1", "DEL fake eth0"]
    assert node.files() == []


def test_ecmp_is_refused_before_anything_runs(node: Node) -> None:
    assert "ECMP" in node.call("ADD", routed(node, ["10.9.0.1", "10.9.0.2"])).msg
    assert node.calls() == []
