"""Takes away what the installation made, and puts back what was there before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.attempts import Attempts
from cni.ctl.install import conflist, executables, kubeconfig
from cni.ctl.install.place import CNI_DIR, KEPT
from cni.store import files

if TYPE_CHECKING:
    from cni.ctl.install.place import Place


def uninstall(place: Place, source: str) -> None:
    """Attempts every step, gone is fine; raises CniError which names all that failed.

    Records of pods stay: whoever installs multus again can delete these with them.
    """
    attempts = Attempts()
    attempts.run(_warn_of_pods, place)
    attempts.run(_restore, place)
    attempts.run(_remove_ours, place)
    attempts.run(files.remove, f"{place.here(place.kubeconfig)}.keeper")
    attempts.run(kubeconfig.uninstall, place.here(place.kubeconfig))
    attempts.run(executables.uninstall, source, place.bin_here)
    attempts.finish()


def _warn_of_pods(place: Place) -> None:
    cni_dir = conflist.cni_dir_of(files.read(place.conflist)) or CNI_DIR
    here = place.here(cni_dir)
    count = sum(os.path.isfile(os.path.join(here, each)) for each in files.names(here))
    if count:
        log.warning(
            "containers are still attached; their records stay",
            containers=count,
            records=cni_dir,
            hint="delete or move their pods first: what only multus attached stays attached",
        )


def _restore(place: Place) -> None:
    """Another multus's configuration goes back, over ours if that has its name."""
    for kept in files.names(place.conf_here):
        name = kept.removesuffix(KEPT)
        if name == kept:
            continue
        path = os.path.join(place.conf_here, name)
        if os.path.lexists(path) and not _is_ours(path):
            log.warning("there is a new one: the old one stays aside", file=path + KEPT)
            continue
        os.rename(path + KEPT, path)
        log.info("restored", file=path)


def _remove_ours(place: Place) -> None:
    """The conflist, under whatever name another program has given it."""
    for name in files.names(place.conf_here):
        path = os.path.join(place.conf_here, name)
        if name.startswith(os.path.basename(place.conflist)) and _is_ours(path):
            files.remove(path)
            log.info("removed", file=path)
    files.sweep(place.conf_here)


def _is_ours(path: str) -> bool:
    return conflist.master_of(files.read(path)) is not None
