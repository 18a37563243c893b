"""The skeleton of every executable: the only place that reads the environment and standard input,
prints, and chooses the exit code. It is given its world, so that a test needs no process.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from cni.core import log, registry, request, signals, syncing, trace, versions
from cni.core.dispatch import dispatch
from cni.core.errors import CniError, Code, Interrupted, describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.core.types import Json, Request


def main(
    plugin: str, environ: Mapping[str, str], stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO
) -> int:
    """Run one call of `plugin`; returns the exit status, 0 or 1.

    Exactly one JSON object (or nothing) goes to `stdout`, written at once.
    """
    command = environ.get("CNI_COMMAND", "")
    if not command:
        stderr.write(about(plugin).encode())
        stderr.flush()
        return 0
    version = versions.LATEST
    trace.begin(plugin, environ)
    try:
        signals.install()
        if command == "VERSION":
            reply: Json | None = {"cniVersion": version, "supportedVersions": versions.SUPPORTED}
        else:
            request.check_environment(command, environ)
            with trace.span(trace.VALIDATION):
                config = request.decode(_read(stdin))
            if (asked := config.get("cniVersion")) in versions.SUPPORTED:
                version = asked
            req = request.build(command, environ, config)
            log.configure(plugin=plugin, cmd=command, container=req.container_id, ifname=req.ifname)
            reply = _run(plugin, req)
            syncing.wait()
        status = 0
    except (Exception, Interrupted) as failure:
        if not isinstance(failure, (CniError, OSError, Interrupted)):
            log.bug(failure)
        with suppress(OSError):  # of what was undone; none of it has to outlive a power cut
            syncing.wait()
        reply = _error(describe(failure), version)
        status = 1
    status = _print(reply, stdout) or status
    trace.end(status)
    return status


def about(plugin: str) -> str:
    """What an executable says when it is started by hand."""
    return (
        f"CNI {plugin} plugin (Plait)\n"
        f"CNI protocol versions supported: {', '.join(versions.SUPPORTED)}\n"
    )


def _run(plugin: str, req: Request) -> Json | None:
    module = registry.find(plugin)
    if module is None:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f'no plugin is called "{plugin}"',
            f"this executable serves {' '.join(registry.PLUGINS)}",
        )
    if req.command in ("ADD", "DEL"):
        _refuse_own_netns(req)
    result = dispatch(module, req)
    if result is None:
        return None
    return versions.render(result, req.cni_version)


def _refuse_own_netns(req: Request) -> None:
    """A runtime that passes the host's own namespace would have its interfaces taken away."""
    if req.environ.get("CNI_NETNS_OVERRIDE", "").lower() in ("1", "true"):
        return
    try:
        same = os.path.samefile(req.netns, "/proc/self/ns/net")
    except OSError:
        return  # each verb has its own answer to a namespace that is gone
    if same:
        raise CniError(
            Code.INVALID_NETNS,
            "plugin's netns and netns from CNI_NETNS should not be the same",
            req.netns,
        )


def _read(stdin: BinaryIO) -> bytes:
    try:
        return stdin.read(request.MAX_INPUT + 1)
    except (OSError, ValueError) as error:  # ValueError: closed
        raise CniError(Code.IO_FAILURE, "error reading from stdin", str(error)) from None


def _error(error: CniError, version: str) -> Json:
    reply: Json = {"cniVersion": version, "code": int(error.code), "msg": error.msg}
    if error.details:
        reply["details"] = error.details
    return reply


def _print(reply: Json | None, stdout: BinaryIO) -> int:
    if reply is None:
        return 0
    text = json.dumps(reply, indent=4) + "\n"
    try:
        stdout.write(text.encode())
        stdout.flush()
    except (OSError, ValueError) as error:
        log.error("cannot print the answer", reason=error)
        return 1
    return 0
