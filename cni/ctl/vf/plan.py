"""The steps from the card as it is to the card as it is wished for, as data.

The order is that of the sriov-network-operator's daemon: the PF up, its VFs created, its MTU
raised, and then VF by VF its driver, its administrative MAC address, its MTU.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import invalid
from cni.ctl.vf.inventory import Vf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cni.ctl.vf.inventory import Pf

KERNEL, VFIO = "netdevice", "vfio-pci"  #: the drivers to choose from, in the operator's words
NO_MAC = "00:00:00:00:00:00"


class Wish(NamedTuple):
    """`number` VFs; those with a number in `wanted` for the kernel or for programs."""

    number: int
    driver: str = KERNEL
    wanted: frozenset[int] | None = None  #: None: all
    mtu: int = 0  #: bytes; 0 leaves it

    def concerns(self, vf: Vf) -> bool:
        return self.wanted is None or vf.number in self.wanted


class Verb(Enum):
    """What a step does; the value is how to say so."""

    PF_UP = "bring up {pf}"
    REMOVE = "remove all VFs of {pf}"
    CREATE = "create {value} VFs of {pf}"
    PF_MTU = "raise the MTU of {pf} to {value}"
    DEFAULT_DRIVER = "{vf}: bind the kernel's own driver"
    ADMIN_MAC = "{vf}: let the PF keep the MAC address of its interface"
    ANY_MAC = "{vf}: let the PF keep a MAC address for it"
    MTU = "{vf}: set MTU {value}"
    VFIO = "{vf}: bind vfio-pci"


class Step(NamedTuple):
    """A verb and its object: the VF of that index, else the PF."""

    verb: Verb
    vf: int | None = None
    value: int = 0

    def describe(self, pf: Pf) -> str:
        addresses = {each.number: f" ({each.address})" for each in pf.vfs if each.address}
        vf = "" if self.vf is None else f"VF {self.vf}{addresses.get(self.vf, '')}"
        return self.verb.value.format(pf=pf.name, vf=vf, value=self.value)


def check(pf: Pf, wish: Wish) -> None:
    """Raises CniError for what the card can never have."""
    if wish.number > pf.total:
        raise invalid(f"{pf.name} can have {pf.total} VFs at most, not {wish.number}")
    if not pf.interface:
        raise invalid(f"PF {pf.address} has no interface here", "is its driver bound?")


def creation(pf: Pf, wish: Wish) -> list[Step]:
    """None when the number is right: every other number goes by 0."""
    if pf.present == wish.number:
        return []
    steps = []
    if wish.number and not pf.is_up:
        steps.append(Step(Verb.PF_UP))  # VFs that meet a PF that is down get no link
    if pf.present:
        steps.append(Step(Verb.REMOVE))
    if wish.number:
        steps.append(Step(Verb.CREATE, value=wish.number))
    return steps


def created(pf: Pf, wish: Wish) -> Pf:
    """The card as it will be after its creation, as far as that can be known before."""
    unknown = "?" if pf.is_probed else ""
    vfs = tuple(Vf(number, "", unknown, unknown) for number in range(wish.number))
    return pf._replace(present=wish.number, is_up=pf.is_up or bool(wish.number), vfs=vfs)


def settings(pf: Pf, wish: Wish, *, fresh: bool = False) -> list[Step]:
    """What is to be done once the number of VFs is right; `fresh` when they were just created."""
    steps = []
    if wish.mtu > pf.mtu:
        steps.append(Step(Verb.PF_MTU, value=wish.mtu))
    for vf in filter(wish.concerns, pf.vfs):
        steps += _for_programs(vf) if wish.driver == VFIO else _for_kernel(vf, wish.mtu, fresh)
    if wish.number and not pf.is_up:
        steps.append(Step(Verb.PF_UP))
    return steps


def _for_kernel(vf: Vf, mtu: int, fresh: bool) -> Iterator[Step]:
    if vf.is_away:
        return  # it is as wished for; the rest cannot be seen from here
    bound = bool(vf.interface)
    if not bound:
        yield Step(Verb.DEFAULT_DRIVER, vf.number)
    if fresh or not bound or vf.settings.mac != vf.mac:
        yield Step(Verb.ADMIN_MAC, vf.number)
    if mtu and (not bound or vf.mtu != mtu):
        yield Step(Verb.MTU, vf.number, mtu)


def _for_programs(vf: Vf) -> Iterator[Step]:
    """A program gets the address that the PF keeps; without one, another at every start."""
    if vf.driver and not vf.is_for_programs:
        if not vf.interface:  # that has the address
            yield Step(Verb.DEFAULT_DRIVER, vf.number)
        # even when it looks kept: igb shows an address that it forgets when the driver goes
        yield Step(Verb.ADMIN_MAC, vf.number)
    elif not vf.driver or vf.settings.mac in (None, NO_MAC):
        yield Step(Verb.ANY_MAC, vf.number)
    if vf.driver != VFIO:
        yield Step(Verb.VFIO, vf.number)


def objections(pf: Pf, steps: Sequence[Step], *, fresh: bool = False) -> list[str]:
    """What the steps would take away from those who use the card.

    VFs that were just created are only in use when an attachment has taken one since.
    """
    verbs = {step.verb for step in steps}
    indices = {step.vf for step in steps}
    found = []
    if verbs & {Verb.REMOVE, Verb.CREATE, Verb.PF_MTU} and not fresh:  # each resets the card
        found += [f"{pf.name} {use}" for use in pf.uses]
    for vf in pf.vfs:
        if not (verbs & {Verb.REMOVE, Verb.PF_MTU} or vf.number in indices):
            continue
        if not fresh or vf.is_away or (vf.owner and vf.owner.lives):
            found += in_use(vf)
    return found


def prohibitions(pf: Pf, steps: Sequence[Step]) -> list[str]:
    """What not even force helps against: vfio does not let go of a device that a program has open,
    and who asks it to can never be ended.
    """
    gone = any(step.verb is Verb.REMOVE for step in steps)
    indices = {step.vf for step in steps}
    return [
        f"{vf} is open in {program}"
        for vf in pf.vfs
        if gone or vf.number in indices
        for program in vf.programs
    ]


def in_use(vf: Vf) -> list[str]:
    found = []
    if vf.owner and vf.owner.counts:
        where = (
            f", in {vf.owner.netns}" if vf.owner.netns and vf.owner.netns != str(vf.owner) else ""
        )
        state = "" if vf.owner.phase == "done" else f" ({vf.owner.phase})"
        found.append(f"{vf} belongs to {vf.owner}{state}{where}")
    elif vf.is_away:
        found.append(f"{vf} has its interface in another network namespace")
    name = f'{vf} "{vf.interface}"' if vf.interface else str(vf)
    found += [f"{name} {use}" for use in vf.uses]
    return found + [f"{vf} is open in {program}" for program in vf.programs]


def indices(text: str, count: int) -> frozenset[int]:
    """The VFs of `0-3` or `0,2-4`; raises ValueError for what is no such list below `count`."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise ValueError(f'"{part}" is neither a number nor a range such as 0-3')
        low, high = int(first), int(last or first)
        if low > high:
            raise ValueError(f'"{part}" ends before it begins')
        if high >= count:
            raise ValueError(f'"{part}" goes beyond the last of {count} VFs, which is {count - 1}')
        found.update(range(low, high + 1))
    return frozenset(found)
