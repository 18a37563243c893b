"""The delegates of a container, in order: the first is the master, whose result is the answer.

A network that was chosen becomes a delegate by its interface, its arguments, its wishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core import args as cni_args
from cni.core import log, names
from cni.core.errors import CniError, invalid
from meta.multus import device_info, selection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.core.types import Json, Request
    from meta.conf import Selection
    from meta.multus.choice import Choice
    from meta.multus.network import Network

Pairs = tuple[tuple[str, str], ...]

#: what Kubernetes tells, in the order in which the original passes it on
_POD_KEYS = ("K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID")

#: wishes for the interface that the runtime named, hence for the master alone
_MASTER_KEYS = ("IP", "MAC")


class Delegate(NamedTuple):
    """One attachment to be made, or recorded: what libcni calls a network and a RuntimeConf."""

    network: Network
    ifname: str
    args: Pairs  #: CNI_ARGS
    runtime_config: Json  #: all capability arguments; each plugin gets those it declares
    requests: Json  #: the selection in the spelling of the record (`ifnameRequest`, ...)
    wishes: Pairs = ()  #: CNI_ARGS of the ADD only: MAC and IP of the selection
    label: str = ""

    @property
    def name(self) -> str:
        """What the pod's status calls it: `<namespace>/<name>` of an object, else the network's."""
        return self.label or self.network.name

    @property
    def resource(self) -> str:
        """The resource of which it has the device `deviceID`; empty for none."""
        return str(self.requests.get("resourceName", ""))

    @property
    def default_route(self) -> list[str] | None:
        """The gateways it asks for; [] keeps the network's own, None says nothing."""
        return self.requests.get("default-route")


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


def device_file(delegate: Delegate, req: Request) -> str:
    """The file that tells a plugin of the delegate's device; empty when it has none."""
    if not delegate.resource:
        return ""
    root = device_info_root(req)
    return device_info.path(root, delegate.name, req.container_id, delegate.ifname)


def device_info_root(req: Request) -> str:
    return req.environ.get("PLAIT_DEVINFO_DIR") or "/var/run/k8s.cni.cncf.io/devinfo"


def default_ifname(index: int, master: str) -> str:
    """An explicit name still takes its index: the list's position names the others."""
    return f"net{index}" if index else master


def _delegate(choice: Choice, req: Request) -> Delegate:
    is_master = choice.position == 0
    # spec 7.5: what the runtime asks of the pod's network is not asked of the others
    wanted = dict(req.runtime_config()) if is_master else {}
    delegate = Delegate(
        network=choice.network,
        ifname=default_ifname(choice.position, req.ifname),
        args=pass_on(req.args, is_master=is_master),
        runtime_config=wanted,
        requests={},
        label=choice.label,
    )
    if element := choice.selection:
        wanted |= selection.runtime_config(element)
        delegate = delegate._replace(
            ifname=selection.ifname(element) or delegate.ifname,
            requests=_requests(element),
            wishes=_wish_args(element),
        )
    if choice.device:
        delegate.requests.update(deviceID=choice.device, resourceName=choice.resource)
        wanted |= {"deviceID": choice.device, "CNIDeviceInfoFile": device_file(delegate, req)}
    return delegate


def pass_on(text: str, *, is_master: bool) -> Pairs:
    """The runtime's CNI_ARGS for a delegate: the pod first, then the rest, each key once."""
    given = lenient_args(text)
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
    given = lenient_args(text)
    label = [given.get(key, "") for key in ("K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID")]
    return "/".join(label) if label[0] else ""


def lenient_args(text: str) -> dict[str, str]:
    """The pairs of CNI_ARGS; none of a text that cannot be read."""
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
