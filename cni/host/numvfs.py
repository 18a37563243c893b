"""How many virtual functions a physical one (PF) has: read it, change it, wait for the change.

Kernel doc: Documentation/PCI/pci-iov-howto.rst.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core import signals
from cni.host import pci, sriov

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL = 0.05  #: seconds between two looks
_CHANGE_WAIT = 120.0  #: seconds that the driver may take for the change, and then for the VFs


def total(pf: str) -> int:
    """How many the card can have."""
    return _number(pf, "sriov_totalvfs")


def current(pf: str) -> int:
    """Counted: to read sriov_numvfs hangs as long as the driver is busy with a change."""
    try:
        return len(sriov.virtual_functions(pf))
    except OSError:
        return 0


def are_probed(pf: str) -> bool:
    """Whether the kernel binds its driver to new VFs."""
    return _number(pf, "sriov_drivers_autoprobe", default=1) != 0


@contextmanager
def probed(pf: str) -> Iterator[None]:
    """The kernel binds its driver to the PF's VFs while the body runs; else it may not even when
    it is told to.
    """
    if not pf or are_probed(pf):
        yield
        return
    _switch(pf, "1")
    try:
        yield
    finally:
        _switch(pf, "0")


def _switch(pf: str, on: str) -> None:
    try:
        with open(f"{pci.PCI}/{pf}/sriov_drivers_autoprobe", "w") as file:
            file.write(on)
    except OSError as error:
        error.add_note(f"set sriov_drivers_autoprobe of {pf} to {on}")
        raise


def change(pf: str, number: int) -> None:
    """Set the number, and return when the VFs are on the bus: a driver goes on in the background.

    The kernel takes 0 at any time and another number only after 0. Raises OSError, TimeoutError
    when the driver does not come to an end.
    """
    what = f"set sriov_numvfs of {pf} to {number}"
    _write_in_time(f"{pci.PCI}/{pf}/sriov_numvfs", number, what)
    deadline = time.monotonic() + _CHANGE_WAIT
    while len(_whole(pf)) != number:
        if time.monotonic() > deadline:
            found = len(_whole(pf))
            error = TimeoutError(errno.ETIMEDOUT, f"{found} are there after {_CHANGE_WAIT:g} s")
            error.add_note(what)
            raise error
        signals.sleep(_POLL)


def _whole(pf: str) -> list[str]:
    """The VFs that are linked with their PF in both directions."""
    found = sriov.virtual_functions(pf).values()
    return [vf for vf in found if sriov.physical_function(vf) == pf]


def _write_in_time(path: str, number: int, what: str) -> None:
    """A driver may never return from this write, so that another process does it."""
    child = os.fork()
    if not child:
        os._exit(_write(path, number))
    deadline = time.monotonic() + _CHANGE_WAIT
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            error = TimeoutError(errno.ETIMEDOUT, f"the driver is busy since {_CHANGE_WAIT:g} s")
            error.add_note(what)
            raise error
        signals.sleep(0.01)
    code = os.waitstatus_to_exitcode(status)
    if code:
        refusal = OSError(abs(code), os.strerror(abs(code)))
        refusal.add_note(what)
        raise refusal


def _write(path: str, number: int) -> int:
    """The errno, 0 for success."""
    try:
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, str(number).encode())
    except OSError as error:
        return error.errno or errno.EIO
    except BaseException:
        return errno.EINTR
    return 0


def _number(pf: str, name: str, default: int = 0) -> int:
    try:
        with open(f"{pci.PCI}/{pf}/{name}") as file:
            return int(file.read())
    except (OSError, ValueError):
        return default
