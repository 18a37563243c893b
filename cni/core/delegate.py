"""Delegation: one plugin asks another by type name.

Our own types run in this process; a foreign type is executed from CNI_PATH as a runtime would.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cni.core import log, names, registry, spawn, syncing, trace, versions
from cni.core.dispatch import dispatch
from cni.core.errors import CniError, Code, invalid
from cni.core.request import decode_value

if TYPE_CHECKING:
    from cni.core.types import Request, Result


class MissingPluginError(CniError):
    """No executable of that type on CNI_PATH; a DEL or GC need not fail for it."""

    def __init__(self, plugin_type: str, path: tuple[str, ...]) -> None:
        super().__init__(
            Code.INVALID_CONFIG,
            f'failed to find plugin "{plugin_type}" in path [{" ".join(path)}]',
        )


def call(req: Request, plugin_type: str) -> Result | None:
    """Run `req.command` of a plugin with the request's configuration.

    Raises what the plugin raised: its code and text pass through unchanged.
    """
    if not plugin_type:
        raise invalid("no plugin name provided")
    if not names.is_plugin_type(plugin_type):
        raise invalid(f"invalid plugin name: {plugin_type}")
    plugin = registry.find(plugin_type)
    if plugin is not None:
        return dispatch(plugin, req)
    executable = spawn.find(plugin_type, req.path)
    if executable is None:
        raise MissingPluginError(plugin_type, req.path)
    return _execute(executable, req)


def _execute(executable: str, req: Request) -> Result | None:
    environ = {
        **req.environ,
        "CNI_COMMAND": req.command,
        "CNI_CONTAINERID": req.container_id,
        "CNI_NETNS": req.netns,
        "CNI_IFNAME": req.ifname,
        "CNI_ARGS": req.args,
        "CNI_PATH": ":".join(req.path),
    }
    if req.command == "ADD":
        syncing.wait()  # what it does may outlive a power cut, our records of it have to
    done = spawn.run([executable], environ, json.dumps(req.config).encode())
    if done.status != 0:
        raise _failure(executable, done)
    if done.stderr:
        log.info("delegate wrote to stderr", plugin=executable, text=done.stderr[:4096])
    if req.command != "ADD":
        return None
    return versions.parse(_answer(executable, done.stdout), f"result of {executable}")


def _answer(executable: str, text: bytes) -> object:
    try:
        return decode_value(text, "it")
    except CniError as error:
        said = text[:200].decode(errors="replace")
        raise CniError(
            error.code,
            f"{executable} printed no valid JSON",
            f"{error.details or error.msg}: {said!r}",
        ) from None


def _failure(executable: str, done: spawn.Completed) -> CniError:
    """The delegate's own error; what it wrote to stderr when it had none."""
    try:
        reply = decode_value(done.stdout, "it")
        code, msg = int(reply["code"]), str(reply["msg"])
    except (CniError, ValueError, KeyError, TypeError):
        ending = f"exit status {done.status}" if done.status > 0 else f"signal {-done.status}"
        said = (done.stdout.strip() or done.stderr.strip())[:1000].decode(errors="replace")
        return CniError(
            Code.DELEGATE_FAILED, f"{executable} failed without a CNI error ({ending})", said
        )
    known = 0 < code < 2**32
    return CniError(code if known else Code.DELEGATE_FAILED, msg, str(reply.get("details") or ""))


def ipam_type(req: Request) -> str:
    """The type of the `ipam` section; empty when the network has no addresses (L2 only)."""
    ipam = req.config.get("ipam", {})
    value = ipam.get("type")
    if value is None:  # Go matches keys in any case
        value = next((item for key, item in ipam.items() if key.lower() == "type"), None) or ""
    if not isinstance(value, str):
        raise invalid(f'"ipam.type" must be a string, got {value!r}')
    return value


def ipam_add(req: Request) -> Result:
    """Addresses for the attachment; push `ipam_delete` on the undo stack first.

    Raises CniError 103 when the plugin gave none.
    """
    result = _ipam(req, "ADD")
    if result is None or not result.ips:
        raise CniError(
            Code.DELEGATE_FAILED, f'IPAM plugin "{ipam_type(req)}" returned missing IP config'
        )
    return result


def ipam_delete(req: Request) -> None:
    """Release what the attachment holds; nothing to do without an `ipam.type`."""
    _ipam_if_present(req, "DEL")


def ipam_check(req: Request) -> None:
    if versions.allows(req.cni_version, "CHECK") and ipam_type(req):
        _ipam(req, "CHECK")


def ipam_gc(req: Request) -> None:
    _ipam_if_present(req, "GC")


def ipam_status(req: Request) -> None:
    if ipam_type(req):
        _ipam(req, "STATUS")


def _ipam_if_present(req: Request, command: str) -> None:
    try:
        plugin_type = _usable(ipam_type(req))
    except CniError as unusable:
        # no ADD can have had an address from it, and an error here would keep the pod for ever
        log.warning("no address to release", reason=unusable)
        return
    if not plugin_type:
        return
    try:
        with trace.span(trace.ADDRESSES):
            call(req._replace(command=command), plugin_type)
    except MissingPluginError as missing:
        log.warning("address not released: the IPAM plugin is gone", reason=missing)


def _ipam(req: Request, command: str) -> Result | None:
    with trace.span(trace.ADDRESSES):
        return call(req._replace(command=command), _usable(ipam_type(req)))


def _usable(plugin_type: str) -> str:
    """Raises CniError 7 for a path, and for a type of ours that gives no addresses but asks itself
    for them.
    """
    if plugin_type and not names.is_plugin_type(plugin_type):
        raise invalid(f"invalid plugin name: {plugin_type}")
    if plugin_type in registry.PLUGINS and plugin_type not in registry.IPAM:
        raise invalid(f'"ipam.type": "{plugin_type}" is no IPAM plugin')
    return plugin_type
