"""A network configuration as libcni runs it: one name, one version, a chain of plugins.

Accepts both forms, a single plugin's and a list's; refuses what could only fail half-way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import names, request, versions
from cni.core.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from cni.core.types import Json

#: delegating to one of these would start the whole pod again
_OWN_TYPES = ("multus", "multus-shim")

#: keys of a list that libcni reads itself
_LIST_KEYS = ("plugins", "cniVersions", "disableCheck", "disableGC", "loadOnlyInlinedPlugins")


class Network(NamedTuple):
    """`document` is the whole configuration: what records keep, and what `plugins` came from."""

    name: str
    cni_version: str
    document: Json
    plugins: tuple[Json, ...]
    is_list: bool = False
    disable_check: bool = False
    disable_gc: bool = False

    @property
    def type(self) -> str:
        """The type of the first plugin, for messages."""
        return str(self.plugins[0]["type"])

    def declares(self, capability: str) -> bool:
        return any(plugin.get("capabilities", {}).get(capability) for plugin in self.plugins)

    def mapped(self, change: Callable[[Json], Json]) -> Network:
        """The network with `change` applied to each of its plugins."""
        plugins = tuple(map(change, self.plugins))
        document = {**self.document, "plugins": list(plugins)} if self.is_list else plugins[0]
        return self._replace(document=document, plugins=plugins)


def fold(document: Json, where: str = "network config") -> Json:
    """The document with the keys that the protocol and libcni read in their own spelling."""
    folded = {key.lower(): key for key in _LIST_KEYS}
    out: Json = {}
    for key, value in request.canonical(document, where).items():
        name = folded.get(key.lower(), key)
        if name == key or name not in document:
            out[name] = value
    return out


def parse(document: Json, version: str, name: str = "") -> Network:
    """The network of a delegate's document; `version` and `name` stand in for absent ones.

    Raises CniError 1, 6 or 7 for what libcni or a plugin could not use.
    """
    document = fold(document)
    name = document.get("name") or name
    if not name:
        raise invalid("missing network name")
    if not names.is_identifier(name):
        raise invalid(f'invalid characters found in network name "{name}"', name)
    document |= {"name": name, "cniVersion": _version(document, version)}
    if document.get("type"):
        plugin = _plugin(document, "")
        return Network(name, document["cniVersion"], plugin, (plugin,))
    plugins = _plugins(document)
    return Network(
        name,
        document["cniVersion"],
        {**document, "plugins": list(plugins)},
        plugins,
        is_list=True,
        disable_check=flag(document, "disableCheck"),
        disable_gc=flag(document, "disableGC"),
    )


def flag(document: Json, key: str) -> bool:
    """A boolean of a list; libcni takes the strings "true" and "false" too."""
    value = document.get(key)
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise invalid(f'"{key}" must be a boolean, got {value!r}')


def _version(document: Json, default: str) -> str:
    """The configuration's version, of `cniVersions` the highest that we speak.

    An absent one is the meta plugin's own: the original sends "", which plugins read as 0.1.0,
    and a network without addresses cannot answer in that.
    """
    version: Any = document.get("cniVersion") or default
    offered = document.get("cniVersions")
    if offered is None:
        return versions.negotiate(version)
    if not isinstance(offered, list) or not all(isinstance(each, str) for each in offered):
        raise invalid(f'"cniVersions" must be a list of strings, got {offered!r}')
    spoken = [each for each in (*offered, version) if each in versions.SUPPORTED]
    if not spoken:
        return versions.negotiate(offered[-1] if offered else version)
    return str(max(spoken, key=versions.SUPPORTED.index))


def _plugins(document: Json) -> tuple[Json, ...]:
    plugins = document.get("plugins")
    if plugins is None:
        raise invalid("delegate must have the 'type' or 'plugin' field")
    if not isinstance(plugins, list):
        raise invalid(f'"plugins" must be a list, got {plugins!r}')
    if not plugins:
        raise invalid('"plugins" is an empty list')
    return tuple(_plugin(plugin, f"plugins.{index}.") for index, plugin in enumerate(plugins))


def _plugin(plugin: object, at: str) -> Json:
    if not isinstance(plugin, dict):
        raise invalid(f'"{at[:-1]}" must be an object, got {plugin!r}')
    plugin = request.canonical(plugin, at[:-1] or "network config")
    kind = plugin.get("type")
    if not kind:
        raise invalid(f"\"{at}type\": a plugin delegate must have the 'type' field")
    if not names.is_plugin_type(kind):
        raise invalid(f'"{at}type": invalid plugin name: {kind}')
    if kind in _OWN_TYPES:
        raise invalid(f'"{at}type": "{kind}" cannot delegate to itself')
    for capability, enabled in plugin.get("capabilities", {}).items():
        if not isinstance(enabled, bool | None):  # Go reads null as false
            raise invalid(f'"{at}capabilities.{capability}" must be a boolean, got {enabled!r}')
    return plugin
