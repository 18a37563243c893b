"""Records what one call spends its time on, for `plait trace`."""

from __future__ import annotations

import builtins
import fcntl
import importlib
import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cni.core.types import Json

OWN = "the plugin's own code"
START = "start"  #: of the executable, until this is imported


def is_watched(directory: str) -> bool:
    """Whether somebody reads the records: who was killed has left the directory, but no lock."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a file system without locks
    finally:
        os.close(fd)
    return False


class Recorder:
    """Adds up, for each kind, the time that no inner span has taken."""

    def __init__(
        self, directory: str, plugin: str, environ: Mapping[str, str], *, importing: str
    ) -> None:
        """`importing`: the kind of time that import statements take."""
        # of the CPU: a start does not wait, and no clock says when the process was made to the ms
        start = time.process_time()
        self._directory, self._importing = directory, importing
        self._head: Json = {
            "plugin": plugin,
            "command": environ.get("CNI_COMMAND", ""),
            "container": environ.get("CNI_CONTAINERID", ""),
            "ifname": environ.get("CNI_IFNAME", ""),
            "time": time.time(),
            "warm": "cni.agent.adopted" in sys.modules,
        }
        self._thread = threading.get_ident()
        self._modules = set(sys.modules)
        self._seconds: dict[str, float] = {} if self._head["warm"] else {START: start}
        self._counts: dict[str, int] = {}
        self._kinds = [OWN]
        self._mark = time.perf_counter()
        self._import, self._import_module = builtins.__import__, importlib.import_module
        builtins.__import__ = self._traced_import
        vars(importlib)["import_module"] = self._traced_import_module

    @contextmanager
    def span(self, kind: str) -> Iterator[None]:
        if threading.get_ident() != self._thread:
            yield  # its time is that of whoever waits for it
            return
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._account()
        self._kinds.append(kind)
        try:
            yield
        finally:
            self._account()
            self._kinds.pop()

    def end(self, status: int) -> None:
        """Write the record, whole or not at all: a call must not fail for it."""
        self._account()
        builtins.__import__ = self._import
        vars(importlib)["import_module"] = self._import_module
        imported = sorted(set(sys.modules) - self._modules)
        self._counts[self._importing] = len(imported)
        record = {
            **self._head,
            "status": status,
            "pid": os.getpid(),
            "ms": {kind: round(spent * 1000, 3) for kind, spent in self._seconds.items()},
            "count": self._counts,
            "imported": imported,
        }
        name = f"{self._directory}/{time.time_ns()}-{os.getpid()}"
        try:
            fd = os.open(f"{name}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "w") as file:
                json.dump(record, file)
            os.rename(f"{name}.new", f"{name}.json")
        except OSError:
            pass  # whoever asked has gone

    def _account(self) -> None:
        now = time.perf_counter()
        kind = self._kinds[-1]
        self._seconds[kind] = self._seconds.get(kind, 0.0) + now - self._mark
        self._mark = now

    def _traced_import(self, *arguments: Any, **named: Any) -> Any:
        with self.span(self._importing):
            return self._import(*arguments, **named)

    def _traced_import_module(self, name: str, package: str | None = None) -> Any:
        with self.span(self._importing):
            return self._import_module(name, package)
