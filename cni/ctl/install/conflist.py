"""`00-multus.conflist`: what makes the runtime call multus, with the default network in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cni.core import load, versions
from cni.core.errors import invalid
from cni.core.schemas import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.core.types import Json
    from cni.ctl.install.master import Master

NETWORK = "multus-cni-network"  #: the original's; records are keyed by it
_OLDEST = "0.3.1"  #: of the versions, that lists are good for
_MARK = "plait"  #: a key that runtimes ignore; by it a file of ours is known
_MODEL = "meta.conf:Multus"
#: keys that are not the user's to set, and such as have no effect without `clusterNetwork`
_NOT_OPTIONS = {
    *("type", "name", "cniversion", "kubeconfig", "delegates", "capabilities"),
    *("clusternetwork", "defaultnetworks", "systemnamespaces", "auxiliarycnichainname"),
}


def render(master: Master, kubeconfig: str, options: Json) -> bytes:
    """The file for that default network; the same bytes for the same input."""
    capabilities = {
        capability
        for plugin in master.network.plugins
        for capability, enabled in plugin.get("capabilities", {}).items()
        if enabled
    }
    version = max(master.network.cni_version, _OLDEST, key=versions.SUPPORTED.index)
    plugin: Json = {
        "type": "multus",
        "capabilities": dict.fromkeys(sorted(capabilities), True),
        "kubeconfig": kubeconfig,
        # the kubelet tries again; a pod that has begun without its networks has none for good
        "missingPod": "fail",
        **options,
        "delegates": [master.document],
    }
    document = {
        "cniVersion": version,
        "name": NETWORK,
        _MARK: {"master": master.file},
        "plugins": [plugin],
    }
    return (json.dumps(document, indent=4, ensure_ascii=False) + "\n").encode()


def master_of(data: bytes | None) -> str | None:
    """The name of the file that this conflist of ours was made from; None for any other file."""
    mark = _object(data).get(_MARK)
    return str(mark.get("master", "")) if isinstance(mark, dict) else None


def is_foreign(data: bytes | None) -> bool:
    """Whether another program made it; what is damaged is nobody's."""
    return bool(_object(data)) and master_of(data) is None


def cni_dir_of(data: bytes | None) -> str:
    """Where the conflist says that multus keeps its records; empty for the default."""
    plugins = _object(data).get("plugins")
    first = plugins[0] if isinstance(plugins, list) and plugins else {}
    found = first.get("cniDir") if isinstance(first, dict) else ""
    return found if isinstance(found, str) else ""


def parse_options(texts: Iterable[str]) -> Json:
    """Keys for multus from KEY=VALUE, the value being JSON or else text.

    Raises CniError 7 for a key that multus has not or that is not the user's, and for its value.
    """
    fields = SCHEMAS[_MODEL]()["schema"]["fields"]
    known = {
        alias.lower(): alias
        for alias in (field.get("validation_alias", name) for name, field in fields.items())
        if alias.lower() not in _NOT_OPTIONS
    }
    options: Json = {}
    for text in texts:
        key, equals, value = text.partition("=")
        alias = known.get(key.lower())
        if not equals or alias is None:
            raise invalid(
                f'"{text}" sets no key of multus', f"there are: {', '.join(known.values())}"
            )
        try:
            options[alias] = json.loads(value)
        except ValueError:
            options[alias] = value
    load.load(_MODEL, options)
    return options


def _object(data: bytes | None) -> dict[str, Any]:
    try:
        document: Any = json.loads(data or b"")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
