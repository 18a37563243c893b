"""From environment and standard input to a Request, in the order of the specification's checks."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from cni.core import log, names, versions
from cni.core.errors import CniError, Code, invalid
from cni.core.types import Json, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.core.types import Result

MAX_INPUT = 1 << 20  #: bytes of standard input
MAX_DEPTH = 100  #: of objects and lists in one another

#: spec section 3: the variables each verb needs
REQUIRED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
}

#: keys that the protocol itself reads, with the type that each must have
_PROTOCOL_KEYS: dict[str, type] = {
    "cniVersion": str,
    "name": str,
    "type": str,
    "ipam": dict,
    "dns": dict,
    "args": dict,
    "capabilities": dict,
    "runtimeConfig": dict,
    "prevResult": dict,
    "cni.dev/valid-attachments": list,
    "cni.dev/attachments": list,
}


def check_environment(command: str, environ: Mapping[str, str]) -> None:
    """Raises CniError 4 for a verb we do not know, a bad identifier, a missing variable."""
    if command not in REQUIRED:
        raise CniError(Code.INVALID_ENVIRONMENT, f"unknown CNI_COMMAND: {command}")
    required = REQUIRED[command]
    container_id = environ.get("CNI_CONTAINERID", "")
    if "CNI_CONTAINERID" in required and container_id and not names.is_identifier(container_id):
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f'CNI_CONTAINERID "{container_id}": invalid characters in containerID',
            container_id,
        )
    ifname = environ.get("CNI_IFNAME", "")
    if "CNI_IFNAME" in required and ifname and (fault := names.ifname_fault(ifname)):
        raise CniError(Code.INVALID_ENVIRONMENT, f'CNI_IFNAME "{ifname}": {fault}')
    missing = [name for name in required if not environ.get(name)]
    if missing:
        raise CniError(
            Code.INVALID_ENVIRONMENT, f"required env variables [{','.join(missing)}] missing"
        )


def decode(data: bytes, what: str = "network config") -> Json:
    """A JSON object from untrusted bytes: Go's rules, and nothing that a path or name cannot hold.

    Raises CniError 6.
    """
    value = decode_value(data, what)
    if not isinstance(value, dict):
        raise CniError(
            Code.DECODE_FAILURE, f"{what} must be a JSON object, got {type(value).__name__}"
        )
    return value


def decode_value(data: bytes, what: str) -> Any:
    """Any JSON value, with the same rules."""
    if len(data) > MAX_INPUT:
        raise CniError(Code.DECODE_FAILURE, f"{what} is larger than {MAX_INPUT} bytes")
    try:
        return parse_json(data.decode())
    except (ValueError, RecursionError) as error:
        raise CniError(Code.DECODE_FAILURE, f"cannot decode {what}", str(error)) from None


def parse_json(text: str) -> Any:
    """A value of untrusted text; raises ValueError or RecursionError for what is no JSON."""
    value = json.loads(text, parse_constant=_refuse_constant)
    _walk(value)
    return value


def _walk(value: object) -> None:
    """Raises ValueError for what Python's decoder lets in, and nothing behind it can bear."""
    level, depth = [value], 0
    while level:
        below: list[object] = []
        for each in level:
            if isinstance(each, str):
                each.encode()  # a lone surrogate
                if "\0" in each:
                    raise ValueError("a string holds a NUL character")
            elif isinstance(each, dict):
                below += each.keys()
                below += each.values()
            elif isinstance(each, list):
                below += each
            elif isinstance(each, float) and not math.isfinite(each):
                raise ValueError("a number is out of range")
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        level = below


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def canonical(config: Json, where: str = "network config") -> Json:
    """The configuration with the protocol's keys in their own spelling and of the right type.

    Go matches keys exactly first, then in any case; a null is an absent key.
    Raises CniError 6 naming the key.
    """
    folded = {key.lower(): key for key in _PROTOCOL_KEYS}
    out: Json = {}
    for key, value in config.items():
        name = folded.get(key.lower(), key)
        if name != key and name in config:
            continue
        kind = _PROTOCOL_KEYS.get(name)
        if kind is not None:
            if value is None:
                continue
            if not isinstance(value, kind):
                raise CniError(
                    Code.DECODE_FAILURE,
                    f'{where}: "{name}" must be a {kind.__name__}, got {json.dumps(value)[:100]}',
                )
        out[name] = value
    return out


def build(command: str, environ: Mapping[str, str], config: Json) -> Request:
    """The request of a checked environment and a decoded configuration.

    Raises CniError 1, 6 or 7 for a version, a type or a name that cannot be used.
    """
    config = canonical(config)
    version = versions.negotiate(config.get("cniVersion"))
    name = config.get("name", "")
    if not name:
        raise invalid("missing network name")
    if not names.is_identifier(name):
        raise invalid(f'"name": invalid characters found in network name "{name}"', name)
    return Request(
        command=command,
        config=config,
        environ=environ,
        network=name,
        cni_version=version,
        container_id=environ.get("CNI_CONTAINERID", ""),
        netns=environ.get("CNI_NETNS", ""),
        ifname=environ.get("CNI_IFNAME", ""),
        args=environ.get("CNI_ARGS", ""),
        path=tuple(filter(None, environ.get("CNI_PATH", "").split(os.pathsep))),
        prev_result=_prev_result(command, config.get("prevResult")),
        valid_attachments=_valid_attachments(config) if command == "GC" else None,
    )


def _prev_result(command: str, value: object) -> Result | None:
    """A DEL does without what it cannot read: it must not fail for ever over that."""
    if value is None:
        return None
    try:
        return versions.parse(value, "prevResult")
    except CniError as error:
        if command != "DEL":
            raise
        log.warning("prevResult ignored", reason=error)
        return None


def _valid_attachments(config: Json) -> frozenset[tuple[str, str]] | None:
    """An absent list means "not told": nothing may be collected. An empty one means everything."""
    for key in ("cni.dev/valid-attachments", "cni.dev/attachments"):
        if key in config:
            return frozenset(_pair(key, entry) for entry in config[key])
    return None


def _pair(key: str, entry: object) -> tuple[str, str]:
    fields = {k.lower(): v for k, v in entry.items()} if isinstance(entry, dict) else {}
    container_id, ifname = fields.get("containerid"), fields.get("ifname")
    if not isinstance(container_id, str) or not isinstance(ifname, str):
        raise invalid(f'"{key}": each entry needs containerID and ifname, got {entry!r}')
    return container_id, ifname
