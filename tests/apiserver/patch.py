"""The two patches of the API: JSON merge patch (RFC 7386) and JSON patch (RFC 6902)."""

from __future__ import annotations

import copy
import re
from typing import Any


class Malformed(ValueError):
    """No patch at all."""


class Inapplicable(Exception):
    """A patch, but not for this document; a failed test too."""


def merged(target: Any, patch: Any) -> Any:
    """The target as the merge patch wants it; neither argument is changed."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def applied(document: Any, operations: Any) -> Any:
    """The document after all operations of a JSON patch; the argument is not changed.

    Raises Malformed and Inapplicable.
    """
    if not isinstance(operations, list):
        raise Malformed("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    root = {"": copy.deepcopy(document)}
    for operation in operations:
        if not isinstance(operation, dict):
            raise Malformed(
                "json: cannot unmarshal number into Go value of type jsonpatch.Operation"
            )
        _apply(root, operation)
    return root.get("")


def same(one: Any, other: Any) -> bool:
    """Equal as JSON values: 1 is 1.0, but not true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _apply(root: dict[str, Any], operation: dict[str, Any]) -> None:
    path = _pointer(operation, "path")
    match operation.get("op"):
        case "add":
            _add(root, path, _value(operation))
        case "remove":
            _remove(root, path)
        case "replace":
            _replace(root, path, _value(operation))
        case "move":
            source = _pointer(operation, "from")
            if path[: len(source)] == source and path != source:
                raise Inapplicable("moved into itself")
            _add(root, path, _remove(root, source))
        case "copy":
            _add(root, path, copy.deepcopy(_find(root, _pointer(operation, "from"))))
        case "test":
            parent = _find(root, path[:-1])
            # What is not there passes as null, as in the server's library.
            absent = isinstance(parent, dict) and path[-1] not in parent
            if not same(None if absent else _find(root, path), operation.get("value")):
                raise Inapplicable(f"testing value {operation['path']} failed")
        case other:
            raise Inapplicable(f"unexpected kind: {other}")


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise Inapplicable("no value")
    return copy.deepcopy(operation["value"])


def _pointer(operation: dict[str, Any], key: str) -> list[str]:
    """The tokens of a JSON pointer (RFC 6901), behind the one that leads to the document."""
    pointer = operation.get(key)
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise Inapplicable(f"no {key}")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")]


def _find(root: Any, path: list[str]) -> Any:
    for token in path:
        if isinstance(root, list):
            root = root[_index(root, token, len(root) - 1)]
        elif isinstance(root, dict) and token in root:
            root = root[token]
        else:
            raise Inapplicable(f"nothing at {token}")
    return root


def _add(root: dict[str, Any], path: list[str], value: Any) -> None:
    parent, token = _find(root, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if token == "-" else _index(parent, token, len(parent)), value)
    elif isinstance(parent, dict):
        parent[token] = value
    else:
        raise Inapplicable(f"no place for {token}")


def _remove(root: dict[str, Any], path: list[str]) -> Any:
    value, parent, token = _find(root, path), _find(root, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[int(token)]
    else:
        del parent[token]
    return value


def _replace(root: dict[str, Any], path: list[str], value: Any) -> None:
    _find(root, path)
    parent, token = _find(root, path[:-1]), path[-1]
    parent[int(token) if isinstance(parent, list) else token] = value


def _index(array: list[Any], token: str, last: int) -> int:
    if not re.fullmatch("0|[1-9][0-9]*", token) or int(token) > last:
        raise Inapplicable(f"no index {token} in an array of {len(array)}")
    return int(token)
