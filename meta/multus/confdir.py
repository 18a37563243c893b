"""Network configurations in files: `confDir`, and paths given for the cluster's default network.

As libcni reads them, plugins of `<dir>/<name>/*.conf` included, save that a broken file concerns
only those who ask for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log, names, request
from cni.core.errors import CniError, describe, invalid
from cni.store import files
from meta.multus import network

if TYPE_CHECKING:
    from cni.core.types import Json

_EXTENSIONS = (".conf", ".json", ".conflist")


def by_name(directory: str, name: str) -> Json:
    """The first file, in alphabetical order over all extensions, whose network has that name.

    Raises CniError 7 when there is none or when that file cannot be used.
    """
    paths = _listing(directory, _EXTENSIONS)
    if not paths:
        raise invalid(f"No networks found in {directory}")
    unreadable = []
    for path in paths:
        try:
            document = _read(path)
        except CniError as error:
            log.warning("a network's file cannot be read", file=path, reason=error)
            unreadable.append(f"{path}: {error}")
            continue
        if document.get("name") == name:
            return _complete(path, document)
    raise invalid(
        f"no network available in the name {name} in cni dir {directory}", "; ".join(unreadable)
    )


def by_value(value: str, directory: str) -> Json:
    """What `clusterNetwork` or one of `defaultNetworks` names: a name in `directory`, or a path.

    Of a directory it is the first file. Raises CniError 7.
    """
    if "/" not in value:
        return by_name(directory, value)
    path = value
    if os.path.isdir(value):
        paths = _listing(value, _EXTENSIONS)
        if not paths:
            raise invalid(f"No networks found in {value}")
        path = paths[0]
    return _complete(path, _read(path))


def plugins(directory: str) -> list[Json]:
    """The plugins that files of a directory add to a chain, in alphabetical order."""
    return [_plugin_file(each) for each in _listing(directory, (".conf",))]


def _listing(directory: str, extensions: tuple[str, ...]) -> list[str]:
    try:
        found = [os.path.join(directory, name) for name in files.names(directory)]
    except OSError as error:
        raise describe(error) from None
    return [path for path in found if path.endswith(extensions) and os.path.isfile(path)]


def _read(path: str) -> Json:
    try:
        data = files.read(path)
    except OSError as error:
        raise describe(error) from None
    if data is None:
        raise invalid(f"no file {path}")
    return network.fold(request.decode(data), path)


def _complete(path: str, document: Json) -> Json:
    """A list with the plugins of its sub-directory; a single configuration as it is."""
    if not path.endswith(".conflist"):
        if not document.get("type"):
            raise invalid(
                f"Error loading CNI config file {path}: error parsing configuration: missing 'type'"
            )
        return document
    where = f"Error loading CNI conflist file {path}: error parsing configuration list"
    name = document.get("name")
    if not name:
        raise invalid(f"{where}: no name")
    if not names.is_identifier(name):
        raise invalid(f'{where}: invalid characters found in network name "{name}"')
    try:
        inlined_only = network.flag(document, "loadOnlyInlinedPlugins")
    except CniError as error:
        raise error.within(where) from None
    inlined = document.get("plugins")
    if inlined == []:
        raise invalid(f"{where}: no plugins in list")
    if inlined_only:
        return document
    more = plugins(os.path.join(os.path.dirname(path), name))
    if not more:
        return document
    if not isinstance(inlined, list | None):
        raise invalid(f"{where}: invalid 'plugins' type")
    # the plugins are in it now: who reads the record must not look for them again
    return {**document, "plugins": [*(inlined or []), *more], "loadOnlyInlinedPlugins": True}


def _plugin_file(path: str) -> Json:
    document = _read(path)
    if not document.get("type"):
        raise invalid(f"{path}: error parsing configuration: missing 'type'")
    return document
