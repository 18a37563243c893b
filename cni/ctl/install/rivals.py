"""Another multus's configuration: files that a runtime would read in the place of ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import invalid
from cni.ctl.install import conflist
from cni.ctl.install.place import KEPT
from cni.store import files

if TYPE_CHECKING:
    from cni.ctl.install.master import Found
    from cni.ctl.install.place import Place


def find(place: Place, found: Found) -> list[str]:
    """Those that sort before ours, or have its name."""
    own = os.path.basename(place.conflist)
    rivals = [name for name in found.multus if name < own]
    if conflist.is_foreign(files.read(place.conflist)):
        rivals.append(own)
    return rivals


def refuse(place: Place, rivals: list[str]) -> None:
    """Raises CniError 7 if there are any."""
    if rivals:
        raise invalid(
            f"another multus is configured in {place.conf_here}: {' '.join(rivals)}",
            f"remove it; --replace-multus keeps its files as NAME{KEPT}",
        )


def replace(place: Place, rivals: list[str], data: bytes) -> None:
    """Write our conflist and put them aside, so that at no moment there is none."""
    own = place.conflist
    if os.path.basename(own) in rivals:
        files.write(own + KEPT, files.read(own) or b"")
        log.info("kept another multus's configuration", file=own + KEPT)
    files.write(own, data)
    for name in rivals:
        path = os.path.join(place.conf_here, name)
        if path != own:
            os.rename(path, path + KEPT)
            log.info("kept another multus's configuration", file=path + KEPT)


def traces(place: Place) -> list[str]:
    """What became of a conflist of ours that was renamed: its name with something behind."""
    own = f"{os.path.basename(place.conflist)}."
    return [
        name
        for name in files.names(place.conf_here)
        if name.startswith(own) and not name.endswith(KEPT)
    ]
