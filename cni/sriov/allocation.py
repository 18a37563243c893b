"""Whose a VF is: the original's allocation files and locks, below `<state>/sriov/pci`.

A file named by the VF's PCI address holds the path of the network namespace that has the VF.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from cni.host import netns
from cni.store import files
from cni.store.lock import locked

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def exclusive(state_dir: str, device: str) -> AbstractContextManager[None]:
    """The lock that every ADD and DEL of a VF holds, the original's too."""
    return locked(f"{_directory(state_dir)}/vf_lock/{device}.lock", what=f"VF {device}")


def exclusive_pf(state_dir: str, pf: str) -> AbstractContextManager[None]:
    """For who changes settings: i40e fails when two VFs are changed at once (sriov-cni#34)."""
    return locked(f"{_directory(state_dir)}/pf_lock/{pf}.lock", what=f"PF {pf}")


def holder(state_dir: str, device: str) -> str:
    """The namespace that has the VF, alive or not; empty when none has."""
    try:
        return (files.read(_path(state_dir, device)) or b"").decode().strip()
    except ValueError:
        return ""  # not of our making


def take(state_dir: str, device: str, netns_path: str) -> None:
    # what it says ends with the boot, and needs no fsync to survive one
    files.write(_path(state_dir, device), netns_path.encode(), durable=False)


def give_back(state_dir: str, device: str) -> None:
    files.remove(_path(state_dir, device))


def all_held(state_dir: str) -> list[str]:
    """The PCI addresses of all allocation files."""
    directory = _directory(state_dir)
    return [name for name in files.names(directory) if os.path.isfile(f"{directory}/{name}")]


def namespace(netns_path: str) -> int:
    """The namespace at that path now, by its id; 0 for none, which frees what it held."""
    sandbox = netns.open_if_present(netns_path)
    if sandbox is None:
        return 0
    with sandbox:
        return sandbox.id


def probe(state_dir: str) -> None:
    """Raises OSError when no allocation could be written."""
    directory = _directory(state_dir)
    files.ensure_dir(directory)
    if not os.access(directory, os.W_OK):
        raise PermissionError(errno.EACCES, "cannot be written to", directory)


def sweep(state_dir: str) -> None:
    files.sweep(_directory(state_dir))


def _directory(state_dir: str) -> str:
    return f"{state_dir}/sriov/pci"


def _path(state_dir: str, device: str) -> str:
    return f"{_directory(state_dir)}/{device}"
