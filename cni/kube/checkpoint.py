"""The kubelet's checkpoint of the devices that it has given away: which a pod has, by its UID."""

from __future__ import annotations

import json
import os
import stat
from typing import Any, TypeVar

from cni.core.errors import CniError, Code

MAX_SIZE = 16 << 20  #: bytes

_T = TypeVar("_T")
_NAMES: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}


class _Malformed(Exception):
    """A value is not what it should be; the text names its key."""


def of_pod(directory: str, uid: str) -> list[tuple[str, list[str]]]:
    """(resource, device IDs) as they stand in the file, container by container; none is [].

    The file's checksum is the kubelet's own affair. Raises CniError.
    """
    path = os.path.join(directory, "device-plugins", "kubelet_internal_checkpoint")
    try:
        if not uid:
            raise _Malformed("not to be searched without the pod's UID")
        return _devices(json.loads(_read(path).decode()), uid)
    except OSError as error:
        raise CniError(Code.IO_FAILURE, f"cannot read {path}: {error.strerror}") from None
    except RecursionError:
        raise CniError(Code.DECODE_FAILURE, f"cannot read {path}: nested too deeply") from None
    except (ValueError, _Malformed) as error:
        raise CniError(Code.DECODE_FAILURE, f"cannot read {path}: {error}") from None


def _read(path: str) -> bytes:
    # a FIFO would be waited for
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _Malformed("not a regular file")
        data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise _Malformed(f"larger than {MAX_SIZE} bytes")
    return data


def _devices(document: Any, uid: str) -> list[tuple[str, list[str]]]:
    data = _member(_typed(document, dict, "the document"), "Data", dict, "")
    if data.get("PodDeviceEntries", ...) is None:
        return []  # Go's empty list
    found = []
    for index, entry in enumerate(_member(data, "PodDeviceEntries", list, "Data.")):
        key = f"Data.PodDeviceEntries[{index}]"
        if _member(_typed(entry, dict, key), "PodUID", str, f"{key}.") == uid:
            resource = _member(entry, "ResourceName", str, f"{key}.")
            found.append((resource, _ids(entry.get("DeviceIDs"), f"{key}.DeviceIDs")))
    return found


def _ids(value: Any, key: str) -> list[str]:
    """The IDs of all NUMA nodes; older kubelets wrote a plain list."""
    if value is None:
        return []
    if isinstance(value, list):
        return [_typed(each, str, f"{key}[{index}]") for index, each in enumerate(value)]
    nodes = _typed(value, dict, key)
    return [each for node, ids in nodes.items() for each in _ids_of_node(ids, f"{key}.{node}")]


def _ids_of_node(value: Any, key: str) -> list[str]:
    if value is None:
        return []
    ids = _typed(value, list, key)
    return [_typed(each, str, f"{key}[{index}]") for index, each in enumerate(ids)]


def _member(parent: dict[str, Any], name: str, kind: type[_T], prefix: str) -> _T:
    if name not in parent:
        raise _Malformed(f"no {prefix}{name}")
    return _typed(parent[name], kind, f"{prefix}{name}")


def _typed(value: Any, kind: type[_T], key: str) -> _T:
    if not isinstance(value, kind):
        raise _Malformed(f"{key} is not {_NAMES[kind]}")
    return value
