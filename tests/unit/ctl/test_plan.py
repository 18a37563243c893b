"""From the card as it is to the card as it is wished for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError
from cni.ctl.vf.owners import Owner
from cni.ctl.vf.plan import (
    VFIO,
    Step,
    Verb,
    Wish,
    check,
    created,
    creation,
    indices,
    objections,
    prohibitions,
    settings,
)
from cni.host.vf import Settings
from tests.unit.ctl.cards import OWNER, away, for_programs, late, pf, vf

if TYPE_CHECKING:
    from cni.ctl.vf.inventory import Pf, Vf

LEFT = Owner("", "", "", "/run/netns/gone", "stale", lives=False)
NOT_KEPT = Settings(mac="00:00:00:00:00:00")


def verbs(steps: list[Step], number: int | None = None) -> list[Verb]:
    return [step.verb for step in steps if step.vf == number]


@pytest.mark.parametrize(
    ("card", "number", "expected"),
    [
        (pf(vf(0), vf(1)), 2, []),
        (pf(), 4, [Verb.CREATE]),
        (pf(is_up=False), 4, [Verb.PF_UP, Verb.CREATE]),
        (pf(vf(0)), 4, [Verb.REMOVE, Verb.CREATE]),
        (pf(vf(0), vf(1)), 1, [Verb.REMOVE, Verb.CREATE]),
        (pf(vf(0)), 0, [Verb.REMOVE]),
        (pf(vf(0), is_up=False), 0, [Verb.REMOVE]),
        (pf(), 0, []),
    ],
)
def test_creation(card: Pf, number: int, expected: list[Verb]) -> None:
    """Another number goes by 0, and the card is up before it gets VFs."""
    assert verbs(creation(card, Wish(number))) == expected


def test_what_is_so_already_takes_no_steps() -> None:
    assert settings(pf(vf(0), vf(1)), Wish(2)) == []
    assert settings(pf(vf(0), vf(1)), Wish(2, mtu=1500)) == []
    assert settings(pf(for_programs(0)), Wish(1, VFIO)) == []
    assert settings(pf(away(0, settings=NOT_KEPT)), Wish(1, mtu=9000))[1:] == []
    assert settings(pf(is_up=False), Wish(0)) == []


@pytest.mark.parametrize(
    ("device", "driver", "expected"),
    [
        (vf(0), "netdevice", []),
        (vf(0, settings=NOT_KEPT), "netdevice", [Verb.ADMIN_MAC]),
        (for_programs(0), "netdevice", [Verb.DEFAULT_DRIVER, Verb.ADMIN_MAC]),
        (vf(0, driver="", interface=""), "netdevice", [Verb.DEFAULT_DRIVER, Verb.ADMIN_MAC]),
        (vf(0), VFIO, [Verb.ADMIN_MAC, Verb.VFIO]),
        (late(0), "netdevice", [Verb.DEFAULT_DRIVER, Verb.ADMIN_MAC]),
        (vf(0, driver="", interface=""), VFIO, [Verb.ANY_MAC, Verb.VFIO]),
        (for_programs(0, settings=NOT_KEPT), VFIO, [Verb.ANY_MAC]),
        (for_programs(0, "igb_uio", settings=NOT_KEPT), VFIO, [Verb.ANY_MAC, Verb.VFIO]),
        (for_programs(0, "igb_uio"), VFIO, [Verb.VFIO]),
        (away(0), VFIO, [Verb.DEFAULT_DRIVER, Verb.ADMIN_MAC, Verb.VFIO]),
        (late(0), VFIO, [Verb.DEFAULT_DRIVER, Verb.ADMIN_MAC, Verb.VFIO]),
    ],
)  # fmt: skip
def test_a_driver(device: Vf, driver: str, expected: list[Verb]) -> None:
    """A program's VF keeps the MAC address that its interface had, or gets one."""
    assert verbs(settings(pf(device), Wish(1, driver)), 0) == expected


def test_mtus() -> None:
    """The card's is raised, before the VFs', and never lowered."""
    steps = settings(pf(vf(0), vf(1, mtu=9000), mtu=1500), Wish(2, mtu=9000))
    assert steps == [Step(Verb.PF_MTU, value=9000), Step(Verb.MTU, 0, 9000)]
    assert settings(pf(vf(0), mtu=9000), Wish(1, mtu=1400)) == [Step(Verb.MTU, 0, 1400)]
    assert verbs(settings(pf(for_programs(0)), Wish(1, VFIO, mtu=9000))) == [Verb.PF_MTU]


def test_only_the_wanted_vfs() -> None:
    card = pf(vf(0), vf(1), vf(2))
    steps = settings(card, Wish(3, VFIO, frozenset({1})))
    assert {step.vf for step in steps} == {1}


def test_the_card_comes_up_last_when_nothing_else_needs_it() -> None:
    assert settings(pf(vf(0), is_up=False), Wish(1)) == [Step(Verb.PF_UP)]


def test_fresh_vfs_get_everything() -> None:
    """What a card shows of them at once is not yet what it keeps."""
    wish = Wish(2, mtu=9000)
    card = created(pf(vf(0), is_up=False), wish)
    assert (card.present, card.is_up, [each.number for each in card.vfs]) == (2, True, [0, 1])
    steps = settings(card, wish, fresh=True)
    assert verbs(steps) == [Verb.PF_MTU]
    assert verbs(steps, 1) == [Verb.ADMIN_MAC, Verb.MTU]
    assert settings(pf(away(0)), Wish(1), fresh=True) == []  # somebody was faster
    unprobed = created(pf(is_probed=False), wish)
    assert verbs(settings(unprobed, Wish(2, VFIO), fresh=True), 1) == [Verb.ANY_MAC, Verb.VFIO]


def test_what_can_never_be() -> None:
    with pytest.raises(CniError, match="pf0 can have 7 VFs at most, not 8"):
        check(pf(), Wish(8))
    with pytest.raises(CniError, match="has no interface here"):
        check(pf(interface=""), Wish(1))


def test_descriptions_name_the_device() -> None:
    card = pf(vf(0))
    assert Step(Verb.PF_MTU, value=9000).describe(card) == "raise the MTU of pf0 to 9000"
    assert Step(Verb.VFIO, 0).describe(card) == "VF 0 (0000:21:10.0): bind vfio-pci"
    assert Step(Verb.VFIO, 3).describe(card) == "VF 3: bind vfio-pci"
    assert Step(Verb.CREATE, value=4).describe(pf(interface="")).endswith("of 0000:21:00.0")


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (vf(0, owner=OWNER), "VF 0 (0000:21:10.0) belongs to net/c1/net1, in /run/netns/a"),
        (
            away(0, owner=OWNER._replace(phase="stale", lives=False)),
            "VF 0 (0000:21:10.0) belongs to net/c1/net1 (stale), in /run/netns/a",
        ),
        (
            away(0, owner=OWNER._replace(network="", container_id="", ifname="")),
            "VF 0 (0000:21:10.0) belongs to /run/netns/a",
        ),
        (away(0), "VF 0 (0000:21:10.0) has its interface in another network namespace"),
        (
            away(0, owner=LEFT),
            "VF 0 (0000:21:10.0) has its interface in another network namespace",
        ),
        (
            for_programs(0, programs=("testpmd (7)",)),
            "VF 0 (0000:21:10.0) is open in testpmd (7)",
        ),
        (
            vf(0, uses=("has the address 10.0.0.1/24",)),
            'VF 0 (0000:21:10.0) "eth0" has the address 10.0.0.1/24',
        ),
    ],
)
def test_objections(device: Vf, said: str) -> None:
    card = pf(device, vf(1))
    assert objections(card, [Step(Verb.REMOVE)]) == [said]
    assert objections(card, [Step(Verb.VFIO, 0)]) == [said]
    assert objections(card, [Step(Verb.VFIO, 1)]) == []
    # a card that is reset disturbs all
    assert objections(card, [Step(Verb.MTU, 1), Step(Verb.PF_MTU)]) == [said]


def test_a_forgotten_file_is_no_objection() -> None:
    assert objections(pf(vf(0, owner=LEFT)), [Step(Verb.REMOVE)]) == []


def test_who_has_a_vf_that_was_just_created() -> None:
    stale = OWNER._replace(phase="stale", lives=False)
    card = pf(vf(0, owner=stale, uses=("is a port",)), vf(1, owner=OWNER), away(2))
    steps = [Step(Verb.PF_MTU), *(Step(Verb.VFIO, number) for number in range(3))]
    said = objections(card._replace(uses=("carries",)), steps, fresh=True)
    assert [line[:4] for line in said] == ["VF 1", "VF 2"]


def test_a_program_is_never_robbed() -> None:
    """The kernel waits for it in the unbinding, for ever."""
    card = pf(for_programs(0, programs=("testpmd (7)",)), vf(1))
    said = ["VF 0 (0000:21:10.0) is open in testpmd (7)"]
    assert prohibitions(card, [Step(Verb.REMOVE)]) == said
    assert prohibitions(card, [Step(Verb.DEFAULT_DRIVER, 0)]) == said
    assert prohibitions(card, [Step(Verb.PF_MTU), Step(Verb.VFIO, 1)]) == []


def test_the_card_is_not_reset_under_the_node() -> None:
    card = pf(vf(0), uses=("carries a default route of this node",))
    said = ["pf0 carries a default route of this node"]
    for verb in (Verb.REMOVE, Verb.CREATE, Verb.PF_MTU):
        assert objections(card, [Step(verb)]) == said
    assert objections(card, [Step(Verb.VFIO, 0), Step(Verb.PF_UP)]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", {0}), ("0-3", {0, 1, 2, 3}), ("0,2-4", {0, 2, 3, 4}), (" 1 , 1-1", {1}), ("6", {6})],
)
def test_ranges(text: str, expected: set[int]) -> None:
    assert indices(text, 7) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "neither a number nor a range"),
        ("a", "neither"),
        ("1-", "neither"),
        ("-1", "neither"),
        ("1-2-3", "neither"),
        ("1,,2", "neither"),
        ("0x1", "neither"),
        ("3-1", "ends before it begins"),
        ("2-7", "goes beyond the last of 7 VFs, which is 6"),
    ],
)
def test_no_ranges(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        indices(text, 7)
