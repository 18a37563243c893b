"""A network's plugins, run as libcni runs them: name, version, previous result, capabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import delegate as core_delegate
from cni.core import log, registry, spawn, versions
from cni.core.attempts import Attempts
from cni.core.delegate import MissingPluginError
from cni.core.errors import CniError, Code, describe
from cni.core.types import Result
from meta.multus import results

if TYPE_CHECKING:
    from collections.abc import Collection

    from cni.core.types import Json, Request
    from meta.multus.delegates import Delegate, Pairs
    from meta.multus.network import Network

#: the verb in libcni's error text
_SAID = {"ADD": "add", "DEL": "delete", "CHECK": "check", "GC": "gc", "STATUS": "status"}


def require(network: Network, req: Request) -> None:
    """Before anything is attached: raises CniError when a plugin of the network is missing."""
    for plugin in network.plugins:
        kind = plugin["type"]
        if registry.PLUGINS.get(kind) is None and spawn.find(kind, req.path) is None:
            raise _named(MissingPluginError(kind, req.path), "ADD", kind)


def add(req: Request, delegate: Delegate) -> Result:
    """Run the chain forward; each plugin sees the result of the one before, the last one's counts.

    Raises the plugin's CniError, its message naming the type.
    """
    req = _for_delegate(req, delegate, "ADD", delegate.args + delegate.wishes)
    result = None
    for plugin in delegate.network.plugins:
        result = _run(req, delegate, plugin, result) or Result()
    return result or Result()


def delete(req: Request, delegate: Delegate, cached: Result | None) -> None:
    """Run the chain backward, all of it; a plugin whose executable is gone is passed over.

    Raises CniError with the first failure's code, naming all.
    """
    network = delegate.network
    req = _for_delegate(req, delegate, "DEL", delegate.args)
    previous = cached if versions.allows(network.cni_version, "CHECK") else None
    attempts = Attempts()
    for plugin in reversed(network.plugins):
        attempts.run(_run, req, delegate, plugin, previous)
    attempts.finish()


def check(req: Request, delegate: Delegate, cached: Result | None) -> None:
    """Run CHECK forward, unless the network is older than CHECK or has it disabled."""
    network = delegate.network
    if network.disable_check or not versions.allows(network.cni_version, "CHECK"):
        return
    req = _for_delegate(req, delegate, "CHECK", delegate.args)
    for plugin in network.plugins:
        _run(req, delegate, plugin, cached)


def status(req: Request, network: Network) -> None:
    """Ask each plugin whether it can attach a container; of an older network, whether it is there.

    Raises the plugin's CniError, 50 for one that is missing.
    """
    asks = versions.allows(network.cni_version, "STATUS")
    for plugin in network.plugins:
        kind = plugin["type"]
        if registry.PLUGINS.get(kind) is None and spawn.find(kind, req.path) is None:
            missing = MissingPluginError(kind, req.path)
            raise CniError(Code.NOT_AVAILABLE, f'network "{network.name}": {missing.msg}')
        if asks:
            _call(_for_network(req, network, plugin, "STATUS"), kind)


def gc(
    req: Request, network: Network, valid: Collection[tuple[str, str]], attempts: Attempts
) -> None:
    """Have each plugin drop what it holds for attachments that are not in `valid`.

    Foreign plugins are asked when the network's version has GC. Ours are asked always, in 1.1.0:
    the version only tells how to print a result, and GC has none.
    """
    if network.disable_gc:
        return
    has_gc = versions.allows(network.cni_version, "GC")
    for plugin in network.plugins:
        if has_gc:
            attempts.run(_gc, req, network, plugin, valid)
        elif plugin["type"] in registry.PLUGINS:
            attempts.run(_gc_unasked, req, network, plugin, valid)


def _gc(req: Request, network: Network, plugin: Json, valid: Collection[tuple[str, str]]) -> None:
    req = _for_network(req, network, plugin, "GC")
    req.config["cni.dev/valid-attachments"] = [
        {"containerID": container_id, "ifname": ifname} for container_id, ifname in sorted(valid)
    ]
    try:
        _call(req._replace(valid_attachments=frozenset(valid)), plugin["type"])
    except CniError as error:
        raise error.within(f'network "{network.name}"') from error


def _gc_unasked(
    req: Request, network: Network, plugin: Json, valid: Collection[tuple[str, str]]
) -> None:
    """GC of a plugin of ours whose network is older than the verb."""
    try:
        _gc(req, network._replace(cni_version=versions.LATEST), plugin, valid)
    except CniError as error:
        if error.code != Code.INCOMPATIBLE_VERSION:
            raise
        # a foreign IPAM plugin beneath it; the configuration never promised the verb
        log.warning("nothing collected: the version has no GC", reason=error)


def _run(req: Request, delegate: Delegate, plugin: Json, previous: Result | None) -> Result | None:
    req = _for_network(req, delegate.network, plugin, req.command)
    if previous is not None:
        # told in the network's version; ours get all of it, whatever the version can say
        req.config["prevResult"] = results.tell(previous, req.cni_version)
        req = req._replace(prev_result=previous)
    wanted = {
        key: delegate.runtime_config[key]
        for key, enabled in plugin.get("capabilities", {}).items()
        if enabled and key in delegate.runtime_config
    }
    if wanted:
        req.config["runtimeConfig"] = wanted
    return _call(req, plugin["type"])


def _for_delegate(req: Request, delegate: Delegate, command: str, args: Pairs) -> Request:
    return req._replace(
        command=command,
        ifname=delegate.ifname,
        args=";".join(f"{key}={value}" for key, value in args),
    )


def _for_network(req: Request, network: Network, plugin: Json, command: str) -> Request:
    """The request for one plugin; its configuration is a copy that the caller may add to."""
    config = {**plugin, "name": network.name, "cniVersion": network.cni_version}
    config.pop("prevResult", None)
    return req._replace(
        command=command,
        config=config,
        network=network.name,
        cni_version=network.cni_version,
        prev_result=None,
        valid_attachments=None,
    )


def _call(req: Request, kind: str) -> Result | None:
    """Delegate; what a plugin that is gone should have released is past helping."""
    try:
        return core_delegate.call(req, kind)
    except MissingPluginError as missing:
        if req.command not in ("DEL", "GC"):
            raise _named(missing, req.command, kind) from None
        log.warning("passed over: the plugin is gone", network=req.network, reason=missing)
        return None
    except (CniError, OSError) as error:
        raise _named(describe(error), req.command, kind) from error


def _named(error: CniError, command: str, kind: str) -> CniError:
    return error.within(f'plugin type="{kind}" failed ({_SAID[command]})')
