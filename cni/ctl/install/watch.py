"""Keeps a node installed: a pass now and then, each of which changes only what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import log, signals
from cni.core.errors import describe
from cni.store import files

if TYPE_CHECKING:
    from cni.ctl.install.installer import Installer

PATIENCE = 300.0  #: seconds; an upgrade of the default network's CNI takes less, as a rule


def watch(installer: Installer, interval: float, ready_file: str) -> None:
    """Runs until it is interrupted; a pass that fails is logged when it fails in a new way.

    `ready_file` exists while the node is installed, and never before a pass has succeeded.
    """
    if ready_file:
        files.remove(ready_file)  # of a container that was restarted
    told: set[str] = set()
    has_succeeded = False
    installer.take_over()
    while True:
        failure = _run(installer)
        has_succeeded = has_succeeded or not failure
        said = {*installer.warnings, *filter(None, [failure])}
        for text in sorted(said - told):
            (log.error if text == failure else log.warning)(text)
        if told and not said:
            log.info("all is well again")
        told = said
        if ready_file:
            _show(ready_file, has_succeeded and installer.is_complete())
        signals.sleep(interval)


def _run(installer: Installer) -> str:
    """Why the pass failed; empty when it did not."""
    try:
        installer.run()
    except Exception as error:
        return str(describe(error))
    return ""


def _show(ready_file: str, is_ready: bool) -> None:
    try:
        if not is_ready:
            files.remove(ready_file)
        elif files.read(ready_file) is None:
            files.write(ready_file, b"", durable=False)
            log.info("ready", file=ready_file)
    except OSError as error:
        log.error("the ready file", reason=describe(error))
