"""Does the steps of a plan, while no ADD can take a VF, and says of each that it is done."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from cni.core import signals
from cni.core.errors import CniError, Code, Interrupted, describe
from cni.ctl.vf import inventory, owners, uses
from cni.ctl.vf.plan import (
    NO_MAC,
    VFIO,
    Verb,
    check,
    created,
    creation,
    objections,
    prohibitions,
    settings,
)
from cni.host import driver, link, numvfs, pci, vf
from cni.sriov import allocation
from cni.store.lock import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from cni.ctl.vf.inventory import Pf, Vf
    from cni.ctl.vf.plan import Step, Wish
    from cni.host.link import Link
    from cni.host.rtnl import Rtnl

_INTERFACE_WAIT = 10.0  #: seconds for a driver to bring its interface
_CARRIER_WAIT = 5.0  #: seconds for a cable to show its link, if there is one
_LOCK_WAIT = 60.0  #: seconds for another call to come to an end
_NAMED = 4  #: how many objections one line of an error holds


class World(NamedTuple):
    """Where a command works."""

    nl: Rtnl
    state_dir: str
    say: Callable[[str], object]  #: one line for the operator

    def read(self, pf: str) -> Pf:
        return inventory.read(self.nl, self.state_dir, pf)


class _Locks(ExitStack):
    """The locks of VFs, each taken once: the plugin changes none of them meanwhile."""

    def __init__(self, state_dir: str) -> None:
        super().__init__()
        self._state_dir = state_dir
        self._held: set[str] = set()

    def take(self, vfs: Iterable[Vf]) -> None:
        for address in sorted({each.address for each in vfs} - self._held):
            self.enter_context(allocation.exclusive(self._state_dir, address))
            self._held.add(address)


def provision(world: World, pf: str, wish: Wish, *, force: bool = False) -> int:
    """Make the card, named by its PCI address, as wished for; returns how many steps that took.

    Raises CniError: refused before any change, or saying which step failed and how things are.
    """
    check(world.read(pf), wish)
    with _alone(world, pf), _Locks(world.state_dir) as locks:
        card = world.read(pf)
        first, rest = _plan(card, wish)
        if _needs_vfio(rest):
            driver.load(VFIO)
            driver.require_iommu(pf)
        made = 0
        if first:
            locks.take(card.vfs)
            made = _create(world, pf, wish, force)
            card = world.read(pf)
            locks.take(card.vfs)
            _forget_leftovers(world, pf)
        locks.take(_touched(card, settings(card, wish, fresh=bool(made))))
        card = world.read(pf)  # as it is under the locks
        steps = settings(card, wish, fresh=bool(made))
        _refuse(world, card, steps, force, made)
        _do(world, card, steps)
        return made + len(steps)


def _alone(world: World, pf: str) -> AbstractContextManager[None]:
    """No other call of this kind works on the card in the body."""
    path = f"{world.state_dir}/sriov/pci/pf_lock/{pf}.provision.lock"
    return locked(path, _LOCK_WAIT, what=f"the lock for the provisioning of {pf}")


def rehearse(world: World, pf: str, wish: Wish, *, force: bool = False) -> int:
    """Say the steps and do none; raises CniError where `provision` would refuse."""
    card = world.read(pf)
    check(card, wish)
    first, rest = _plan(card, wish)
    later = created(card, wish) if first else card
    if _needs_vfio(rest):
        driver.require_iommu(pf)
        if not driver.is_loaded(VFIO):
            world.say(f"would load the module of {VFIO}")
    for step in (*first, *rest):
        world.say(f"would {step.describe(later)}")
    _refuse(world, card, first or rest, force)
    return len(first) + len(rest)


def _plan(card: Pf, wish: Wish) -> tuple[list[Step], list[Step]]:
    """The steps that create VFs, and those that follow."""
    first = creation(card, wish)
    return first, settings(created(card, wish) if first else card, wish, fresh=bool(first))


def _needs_vfio(steps: Iterable[Step]) -> bool:
    return any(step.verb is Verb.VFIO for step in steps)


def _create(world: World, pf: str, wish: Wish, force: bool) -> int:
    with allocation.exclusive_pf(world.state_dir, pf):
        card = world.read(pf)
        steps = creation(card, wish)
        _refuse(world, card, steps, force)
        _do(world, card, steps)
        return len(steps)


def _forget_leftovers(world: World, pf: str) -> None:
    """Of what was at the addresses of new VFs, whose locks are held; not of an ADD that was faster
    than we.
    """
    vfs = world.read(pf).vfs
    owners.forget(world.state_dir, [vf.address for vf in vfs if not (vf.owner and vf.owner.lives)])


def _touched(card: Pf, steps: Sequence[Step]) -> list[Vf]:
    indices = {step.vf for step in steps}
    return [each for each in card.vfs if each.number in indices]


def _refuse(world: World, card: Pf, steps: Sequence[Step], force: bool, made: int = 0) -> None:
    """`made`: how many steps were done before, which created the VFs."""
    if not steps:
        return
    card = uses.add_to(world.nl, card)
    found = prohibitions(card, steps)
    hint = "end the program first"
    if not found and not force:
        found = objections(card, steps, fresh=bool(made))
        hint = "--force does it all the same"
    if found:
        state = "its VFs are new and not set up" if made else "nothing was changed"
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f"{card.name} is in use, {state} ({hint})",
            "; ".join(found[:_NAMED]) + more,
        )


def _do(world: World, card: Pf, steps: Sequence[Step]) -> None:
    for number, step in enumerate(steps):
        try:
            signals.check()
            _ACTIONS[step.verb](world, card, step)
        except (OSError, CniError, Interrupted) as failure:
            raise _failed(card, step, number, len(steps), failure) from failure
        world.say(f"done: {step.describe(card)}")


def _failed(card: Pf, step: Step, number: int, total: int, cause: BaseException) -> CniError:
    said = describe(cause)
    now = f"{card.name} has {numvfs.current(card.address)} VFs now"
    passing = isinstance(cause, (TimeoutError, Interrupted)) or said.code == Code.TRY_AGAIN_LATER
    hint = "; the same command again goes on from there" if passing else ""
    return CniError(
        said.code,
        f"cannot {step.describe(card)}: {said}",
        f"{now}, {number} of {total} steps are done{hint}",
    )


def _uplink(world: World, card: Pf) -> Link:
    return link.get(world.nl, card.interface)


def _pf_up(world: World, card: Pf, _: Step) -> None:
    vf.patiently(link.set_up, world.nl, _uplink(world, card))
    deadline = time.monotonic() + _CARRIER_WAIT
    while not _uplink(world, card).has_carrier and time.monotonic() < deadline:
        signals.sleep(0.05)


def _remove(world: World, card: Pf, _: Step) -> None:
    numvfs.change(card.address, 0)
    owners.forget(world.state_dir, [each.address for each in card.vfs])


def _create_vfs(world: World, card: Pf, step: Step) -> None:
    numvfs.change(card.address, step.value)
    if not numvfs.are_probed(card.address):
        return
    deadline = time.monotonic() + _INTERFACE_WAIT
    for each in world.read(card.address).vfs:
        try:
            driver.wait_interface(each.address, max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return  # who needs an interface will say so


def _pf_mtu(world: World, card: Pf, step: Step) -> None:
    vf.patiently(link.set_mtu, world.nl, _uplink(world, card), step.value)


def _vf(card: Pf, step: Step) -> Vf:
    return next(each for each in card.vfs if each.number == step.vf)


def _interface(world: World, card: Pf, step: Step) -> Link:
    device = _vf(card, step).address
    name = driver.wait_interface(device, _INTERFACE_WAIT)
    return inventory.interface(world.nl, device) or link.get(world.nl, name)


def _default_driver(_: World, card: Pf, step: Step) -> None:
    """Bound anew when the interface is in another namespace: it gets another one here."""
    device = _vf(card, step)
    driver.bind_default(device.address, again=device.is_away)
    try:
        driver.wait_interface(device.address, _INTERFACE_WAIT)
    except TimeoutError:
        # a driver that was too early for its card succeeds the second time
        driver.bind_default(device.address, again=True)
        driver.wait_interface(device.address, _INTERFACE_WAIT)


def _admin_mac(world: World, card: Pf, step: Step) -> None:
    mac = _interface(world, card, step).mac
    vf.patiently(_put_mac, world, card, _vf(card, step).number, mac)


def _any_mac(world: World, card: Pf, step: Step) -> None:
    """The one that the PF shows, or a random one: nobody has given the VF any."""
    device, (first, *others) = _vf(card, step), os.urandom(6)
    mac = ":".join(f"{each:02x}" for each in (first & 0xFC | 0x02, *others))  # local, unicast
    shown = device.settings.mac
    vf.patiently(_put_mac, world, card, device.number, mac if shown in (None, NO_MAC) else shown)


def _put_mac(world: World, card: Pf, number: int, mac: str) -> None:
    """The PF is locked for the one request: others need not wait for this VF's reset."""
    with allocation.exclusive_pf(world.state_dir, card.address):
        vf.put(world.nl, _uplink(world, card), number, "mac", mac)


def _mtu(world: World, card: Pf, step: Step) -> None:
    vf.patiently(link.set_mtu, world.nl, _interface(world, card, step), step.value)


def _vfio(_: World, card: Pf, step: Step) -> None:
    device = _vf(card, step).address
    before = pci.driver(pci.PCI, device)
    try:
        driver.bind(device, VFIO)
    except OSError:
        try:
            if before:
                driver.bind(device, before)
        except OSError:
            pass  # the first error says more
        raise


_ACTIONS: dict[Verb, Callable[[World, Pf, Step], None]] = {
    Verb.PF_UP: _pf_up,
    Verb.REMOVE: _remove,
    Verb.CREATE: _create_vfs,
    Verb.PF_MTU: _pf_mtu,
    Verb.DEFAULT_DRIVER: _default_driver,
    Verb.ADMIN_MAC: _admin_mac,
    Verb.ANY_MAC: _any_mac,
    Verb.MTU: _mtu,
    Verb.VFIO: _vfio,
}
