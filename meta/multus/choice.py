"""The networks of a container, looked up: in the configuration, in the API server, in files.

Everything is resolved and checked here, before anything is attached.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cni.core import log
from cni.core.errors import CniError, invalid
from meta.multus import confdir, nad, network, selection
from meta.multus.wanted import networks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cni.core.types import Json
    from meta.conf import Selection
    from meta.multus.nad import Found, Key
    from meta.multus.network import Network
    from meta.multus.subject import Subject
    from meta.multus.wanted import Wanted


#: an address that the pod would like to have again; each range takes it for what it is worth
PREFERRED_IP = "whereabouts.cni.cncf.io/preferred-ip"


class Choice(NamedTuple):
    """A network that the container shall have, its place in the list, what was wished with it."""

    position: int
    network: Network
    selection: Selection | None = None
    label: str = ""  #: what the pod's status calls it, when that is not the network's name
    resource: str = ""  #: of which it has a device
    device: str = ""


def choose(subject: Subject) -> list[Choice]:
    """The networks of a container, resolved; of a pod, with its annotations.

    Raises CniError 6, 7 or 11 naming the key that is wrong, or the network that cannot be had.
    """
    if not subject.conf.cluster_network and not subject.conf.delegates:
        raise invalid("at least one delegate/clusterNetwork must be specified")
    return list(_resolved(subject, tolerant=False))


def choose_leniently(subject: Subject) -> list[Choice]:
    """Those that can be resolved: for GC, and for a DEL of which nothing is recorded."""
    try:
        return list(_resolved(subject, tolerant=True))
    except CniError as error:
        log.warning("the networks are not known", reason=error)
        return []


def _resolved(subject: Subject, *, tolerant: bool) -> Iterator[Choice]:
    cluster = subject.cluster
    wanted = networks(subject.conf, subject.namespace, subject.pod, has_api=cluster is not None)
    keys = {each.nad for each in wanted if each.nad and each.nad.name}
    found = cluster.nads(sorted(keys)) if cluster and keys else {}
    if cluster:
        needed = dict.fromkeys(each.nad for each in wanted if each.nad and not each.file)
        cluster.missing += [key for key in needed if key in found and found[key] is None]
    for index, each in enumerate(wanted):
        with _resolving(each.what, tolerant=tolerant):
            if choice := _resolve(index, each, subject, found):
                yield choice


@contextmanager
def _resolving(what: str, *, tolerant: bool) -> Iterator[None]:
    """Names in an error what was being resolved; when tolerant, logs it and goes on."""
    try:
        yield
    except CniError as error:
        if not tolerant:
            raise error.within(what) from None
        log.warning("a network cannot be resolved", network=what, reason=error)


def _resolve(
    index: int, wanted: Wanted, subject: Subject, found: Mapping[Key, Found]
) -> Choice | None:
    element = wanted.selection
    if element is not None:
        selection.check([element])
    known = _object(wanted, found)
    if known is not None:
        resolved = nad.network_of(known, subject.conf_dir, subject.version)
    else:
        document = _document(wanted, subject.conf_dir)
        if document is None:
            return None
        name = element.name if element else ""
        resolved = network.parse(document, subject.version, name)
    if element is not None and element.cni_args is not None:
        resolved = with_cni_args(resolved, element.cni_args)
    hint = subject.pod.annotations.get(PREFERRED_IP) if subject.pod else None
    if hint and any(_leases_with_hints(plugin) for plugin in resolved.plugins):
        resolved = with_cni_args(resolved, {"preferred-ip": hint})
    if known is None:
        return Choice(index, resolved, element)
    return Choice(index, resolved, element, str(known.key), known.resource)


def _document(wanted: Wanted, conf_dir: str) -> Json | None:
    """What the configuration says of a network, or a file; None for a chain without a plugin."""
    if wanted.chain:
        plugins = confdir.plugins(wanted.chain)
        first = {"type": "passthru", "name": "passthru-cni"}
        return {"name": wanted.file, "plugins": [first, *plugins]} if plugins else None
    if wanted.document is not None:
        return wanted.document
    if wanted.selection is not None:  # of an attachment: a name, never a path
        return confdir.by_name(conf_dir, wanted.selection.name)
    return confdir.by_value(wanted.file, conf_dir)


def _leases_with_hints(plugin: Json) -> bool:
    ipam = plugin.get("ipam")
    return isinstance(ipam, dict) and ipam.get("type") == "whereabouts"


def _object(wanted: Wanted, found: Mapping[Key, Found]) -> nad.Nad | None:
    """The NAD of a network; None when it is to be looked up elsewhere."""
    if wanted.nad is None:
        return None
    if not wanted.nad.name:
        raise nad.missing(wanted.nad, "resource name may not be empty")
    answer = found.get(wanted.nad)
    if isinstance(answer, CniError):
        raise answer
    if answer is not None:
        return nad.read(answer, wanted.nad)
    if wanted.file:
        return None
    raise nad.missing(wanted.nad)


def with_cni_args(found: Network, extra: Json) -> Network:
    """The network with `extra` in each plugin's `args.cni`; of a key in both, `extra`'s counts.

    Raises CniError 7 when the configuration has something else there.
    """

    def merge(plugin: Json) -> Json:
        outer = plugin.get("args", {})
        inner = outer.get("cni") or {}
        if not isinstance(inner, dict):
            raise invalid(f'"args.cni" must be an object, got {inner!r}')
        return {**plugin, "args": {**outer, "cni": {**inner, **extra}}}

    return found.mapped(merge)
