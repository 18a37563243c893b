"""ADD: the delegates in order; if one fails, those that were started are deleted in reverse."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import syncing, versions
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code, invalid
from cni.core.undo import Undo
from meta.multus import (
    chain,
    default_route,
    delegates,
    detach,
    device_info,
    recover,
    results,
    sandbox,
    scratch,
    wishes,
)
from meta.multus.network_status import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cni.core.types import Request, Result
    from meta.multus.delegates import Delegate
    from meta.multus.scratch import Home, Record


def add(
    req: Request,
    wanted: list[Delegate],
    home: Home,
    publish: Callable[[list[Told]], None] | None = None,
    *,
    is_strict: bool = False,
) -> list[Result]:
    """Attach the container to every network; the answers of all, the master's first.

    Call with the container's lock held. `publish` tells the world when all are attached. Raises
    CniError with the code of the delegate that failed, or what `publish` raises; nothing is
    attached then.
    """
    gateways = default_route.wanted(wanted)
    for each in wanted:
        try:
            chain.require(each.network, req)
        except CniError as error:
            raise _about(error, req, each) from None
    _remove_leftovers(req, home, wanted)
    _refuse_taken_ifnames(req, wanted)
    record = scratch.new(home, req.container_id, req.ifname, wanted)
    record.network, record.netns = req.network, req.netns
    record.netns_id = sandbox.identity(req.netns)
    with Undo() as undo:
        undo.push(record.settle)
        record.create()
        answers = []
        for index, delegate in enumerate(wanted):
            answers.append(_attach(req, record, index, undo))
            wishes.check_met(delegate, answers[-1], is_strict=is_strict)
        if gateways:
            answers = _route(req, record, answers, gateways)
        versions.render(answers[0], req.cni_version)  # what cannot be told must not stay
        if publish is not None:
            syncing.wait()
            publish([_told(*each, req) for each in zip(wanted, answers, strict=True)])
        record.finish()
        undo.keep()
    return answers


def _attach(req: Request, record: Record, index: int, undo: Undo) -> Result:
    delegate = record.delegates[index]
    undo.push(_detach_started, req, record, index)
    record.start(index)
    try:
        if file := delegates.device_file(delegate, req):
            root = delegates.device_info_root(req)
            device_info.provide(root, delegate.resource, delegate.requests["deviceID"], file)
        result = chain.add(req, delegate)
    except CniError as error:
        raise _about(error, req, delegate) from error
    results.write(record.home.cni_dir, record.attached(index), result)
    return result


def _told(delegate: Delegate, answer: Result, req: Request) -> Told:
    file = delegates.device_file(delegate, req)
    return Told(delegate.name, answer, device_info.read(file) if file else None)


def _detach_started(req: Request, record: Record, index: int) -> None:
    if index in record.pending:
        detach.remove_one(req, record, index)


def _about(error: CniError, req: Request, delegate: Delegate) -> CniError:
    """The error in the words of the original, which operators search for."""
    name = delegate.network.name
    pod = delegates.pod_label(req.args)
    return error.within(
        f'[{pod}{":" if pod else ""}{name}]: error adding container to network "{name}"'
    )


def _route(
    req: Request, record: Record, answers: list[Result], gateways: default_route.Gateways
) -> list[Result]:
    """Move the pod's default routes to where they were asked for, in the kernel and on record."""
    targets = {
        family: (record.delegates[index].ifname, gateway)
        for family, (index, gateway) in gateways.items()
    }
    try:
        sandbox.move_default_routes(req.netns, targets)
    except OSError as error:
        error.add_note("default-route")
        raise
    routed = default_route.applied(answers, gateways)
    for index, result in enumerate(routed):
        if result != answers[index]:
            results.write(record.home.cni_dir, record.attached(index), result)
    return routed


def _refuse_taken_ifnames(req: Request, wanted: list[Delegate]) -> None:
    """Before anything is attached: the rollback of a late refusal would take a live interface."""
    taken = sandbox.present(req.netns, [each.ifname for each in wanted])
    for each in wanted:
        if each.ifname in taken:
            raise invalid(
                f'DelegateAdd: cannot set "{each.network.type}" interface name to "{each.ifname}":'
                f" validateIfName: interface name {each.ifname} already exists"
            )


def _remove_leftovers(req: Request, home: Home, wanted: Iterable[Delegate]) -> None:
    """What an ADD that was killed, or a container before a boot, has left under this name.

    Raises CniError 7 when the container is attached: a second ADD must not harm it.
    """
    record = recover.find(home, req.container_id, req.ifname, wanted)
    if record is None:
        return
    is_same = not record.netns or _is_same_file(record.netns, req.netns)
    if record.is_complete and is_same and _is_attached(req, record):
        interfaces = ", ".join(each.ifname for each in record.delegates)
        raise CniError(
            Code.INVALID_CONFIG,
            f'container "{req.container_id}" is already attached ({interfaces}): DEL it first',
            record.path,
        )
    netns = req.netns if is_same else sandbox.lasting(record.netns, record.netns_id)
    attempts = Attempts()
    detach.remove(req._replace(netns=netns), record, attempts)
    attempts.run(record.settle)
    try:
        attempts.finish()
    except CniError as error:
        raise error.within("an earlier ADD of the container cannot be undone") from error


def _is_attached(req: Request, record: Record) -> bool:
    """Whether an interface of the record is there; when nobody can look, the record's word."""
    if not record.delegates:
        return False
    if sandbox.can_look(req.netns):
        return bool(sandbox.present(req.netns, [each.ifname for each in record.delegates]))
    return os.path.exists(req.netns)


def _is_same_file(one: str, other: str) -> bool:
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
