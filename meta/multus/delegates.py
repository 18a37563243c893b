"""The delegates of a container, in order: the first is the master, whose result is the answer.

Inline `delegates`, or `clusterNetwork` with `defaultNetworks`; then what `attachments` selects.
Everything is resolved and checked here, before anything is attached.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cni.core import args as cni_args
from cni.core import log, names
from cni.core.errors import CniError, invalid
from meta.multus import confdir, network, selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cni.core.types import Json, Request
    from meta.conf import Multus, Selection
    from meta.multus.network import Network

CONF_DIR = "/etc/cni/multus/net.d"

Pairs = tuple[tuple[str, str], ...]

#: what Kubernetes tells, in the order in which the original passes it on
_POD_KEYS = ("K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID")

#: wishes for the interface that the runtime named, hence for the master alone
_MASTER_KEYS = ("IP", "MAC")

#: wishes that need a plugin which declares the capability (NPWG 4.1.2.1)
_WISHES = ("ips", "mac", "portMappings", "bandwidth", "infinibandGUID")


class Choice(NamedTuple):
    """A network that the container shall have, its place in the list, what was wished with it."""

    position: int
    network: Network
    selection: Selection | None = None


class Delegate(NamedTuple):
    """One attachment to be made, or recorded: what libcni calls a network and a RuntimeConf."""

    network: Network
    ifname: str
    args: Pairs  #: CNI_ARGS
    runtime_config: Json  #: all capability arguments; each plugin gets those it declares
    requests: Json  #: the selection in the spelling of the record (`ifnameRequest`, ...)
    wishes: Pairs = ()  #: CNI_ARGS of the ADD only: MAC and IP of the selection

    @property
    def default_route(self) -> list[str] | None:
        """The gateways it asks for; [] keeps the network's own, None says nothing."""
        return self.requests.get("default-route")


def choose(conf: Multus, req: Request) -> list[Choice]:
    """The networks of a container, resolved.

    Raises CniError 6 or 7 naming the key that is wrong.
    """
    return list(_choices(conf, req, tolerant=False))


def choose_leniently(conf: Multus, req: Request) -> list[Choice]:
    """Those networks that can be resolved: for GC, and for a DEL of which nothing is recorded."""
    return list(_choices(conf, req, tolerant=True))


def assemble(choices: Iterable[Choice], req: Request) -> list[Delegate]:
    """The delegates with their interface names and arguments.

    Raises CniError 4 or 7 for arguments or interface names that cannot be used.
    """
    delegates = [_delegate(each, req) for each in choices]
    taken: dict[str, str] = {}
    for each in delegates:
        where = f'network "{each.network.name}"'
        if fault := names.ifname_fault(each.ifname):
            raise invalid(f'{where}: interface "{each.ifname}": {fault}')
        if each.ifname in taken:
            raise invalid(
                f'{where}: interface "{each.ifname}" is taken by network "{taken[each.ifname]}"'
            )
        taken[each.ifname] = each.network.name
    return delegates


def warn_of_unheard(delegates: Iterable[Delegate]) -> None:
    """Log the wishes that no plugin will hear of; the original attaches in silence."""
    for each in delegates:
        for wish in _WISHES:
            if wish in each.runtime_config and not each.network.declares(wish):
                log.warning(
                    "no plugin of the network declares the capability: the request may be ignored",
                    network=each.network.name,
                    capability=wish,
                )


def default_ifname(index: int, master: str) -> str:
    """An explicit name still takes its index: the list's position names the others."""
    return f"net{index}" if index else master


def _choices(conf: Multus, req: Request, *, tolerant: bool) -> Iterator[Choice]:
    sources = _sources(conf, req)
    if not conf.cluster_network and not conf.delegates and not tolerant:
        raise invalid("at least one delegate/clusterNetwork must be specified")
    for index, (what, resolve, element) in enumerate(sources):
        with _resolving(what, tolerant=tolerant):
            yield Choice(index, resolve(), element)


def _sources(
    conf: Multus, req: Request
) -> list[tuple[str, Callable[[], Network], Selection | None]]:
    """Every network of the configuration: what to call it, how to resolve it, its selection."""
    version = req.cni_version
    found: list[tuple[str, Callable[[], Network], Selection | None]] = []
    if conf.cluster_network:
        value = conf.cluster_network
        found.append(
            (f"failed to get clusterNetwork {value}", partial(_file, value, conf, version), None)
        )
        found += [
            (f"failed to get defaultNetworks {each}", partial(_file, each, conf, version), None)
            for each in _default_networks(conf, req)
        ]
    else:
        if conf.default_networks:
            log.warning('"defaultNetworks" counts only beside "clusterNetwork"')
        found += [
            (f'"delegates.{index}"', partial(network.parse, document, version), None)
            for index, document in enumerate(conf.delegates)
        ]
    found += [
        (f'"attachments.{index}"', partial(_selected, element, conf, version), element)
        for index, element in enumerate(conf.attachments)
    ]
    return found


@contextmanager
def _resolving(what: str, *, tolerant: bool) -> Iterator[None]:
    """Names in an error what was being resolved; when tolerant, logs it and goes on."""
    try:
        yield
    except CniError as error:
        if not tolerant:
            raise error.within(what) from None
        log.warning("a network cannot be resolved", network=what, reason=error)


def _default_networks(conf: Multus, req: Request) -> list[str]:
    """Pods of the system's namespaces get none."""
    namespace = _lenient_args(req.args).get("K8S_POD_NAMESPACE", "")
    return [] if namespace in conf.system_namespaces else conf.default_networks


def _file(value: str, conf: Multus, version: str) -> Network:
    return network.parse(confdir.by_value(value, conf.conf_dir or CONF_DIR), version)


def _selected(element: Selection, conf: Multus, version: str) -> Network:
    if not element.name:
        raise invalid("resource name may not be empty")
    if element.namespace:
        raise invalid(
            f'namespace "{element.namespace}": the networks of "attachments" are files of "confDir"'
        )
    selection.check([element])
    document = confdir.by_name(conf.conf_dir or CONF_DIR, element.name)
    found = network.parse(document, version, element.name)
    if element.cni_args is not None:
        found = with_cni_args(found, element.cni_args)
    return found


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


def _delegate(choice: Choice, req: Request) -> Delegate:
    is_master = choice.position == 0
    args = pass_on(req.args, is_master=is_master)
    element = choice.selection
    if element is None:
        # spec 7.5: what the runtime asks of the pod's network is not asked of the others
        wanted = req.runtime_config() if is_master else {}
        ifname = default_ifname(choice.position, req.ifname)
        return Delegate(choice.network, ifname, args, wanted, {})
    return Delegate(
        network=choice.network,
        ifname=selection.ifname(element) or default_ifname(choice.position, req.ifname),
        args=args,
        runtime_config=selection.runtime_config(element),
        requests=_requests(element),
        wishes=_wish_args(element),
    )


def pass_on(text: str, *, is_master: bool) -> Pairs:
    """The runtime's CNI_ARGS for a delegate: the pod first, then the rest, each key once."""
    given = _lenient_args(text)
    kept = {key: given[key] for key in _POD_KEYS if given.get(key)}
    kept |= {key: value for key, value in given.items() if key != "IgnoreUnknown"}
    if not is_master:
        kept = {key: value for key, value in kept.items() if key not in _MASTER_KEYS}
    return (("IgnoreUnknown", "true"), *kept.items())


def refreshed(recorded: Delegate, req: Request, *, is_master: bool) -> Delegate:
    """A recorded delegate with what the runtime says now, where it says anything."""
    if req.args or not recorded.args:
        recorded = recorded._replace(args=pass_on(req.args, is_master=is_master))
    if is_master and not recorded.runtime_config:
        recorded = recorded._replace(runtime_config=req.runtime_config())
    return recorded


def check_args(text: str) -> None:
    """Raises CniError 4 for CNI_ARGS that the original refuses."""
    cni_args.parse_known(text, {*_POD_KEYS, *_MASTER_KEYS})


def pod_label(text: str) -> str:
    """`namespace/name/uid` for messages, empty outside Kubernetes."""
    given = _lenient_args(text)
    label = [given.get(key, "") for key in ("K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID")]
    return "/".join(label) if label[0] else ""


def _lenient_args(text: str) -> dict[str, str]:
    try:
        return cni_args.parse(text)
    except CniError as error:  # only an ADD is refused for it
        log.warning("CNI_ARGS cannot be read", reason=error)
        return {}


def _wish_args(element: Selection) -> Pairs:
    wishes = (("MAC", element.mac), ("IP", ",".join(element.ips)))
    return tuple((key, value) for key, value in wishes if value)


def _requests(element: Selection) -> Json:
    requests: Json = {
        "ifnameRequest": selection.ifname(element),
        "macRequest": element.mac,
        "infinibandGUIDRequest": element.infiniband_guid,
        "ipRequest": list(element.ips),
        "deviceID": element.device_id,
    }
    requests = {key: value for key, value in requests.items() if value}
    if element.default_route is not None:
        requests["default-route"] = list(element.default_route)
    return requests
