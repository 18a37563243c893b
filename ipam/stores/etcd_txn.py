"""Transactions of etcd as its JSON gateway wants them, and what comes back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.core.types import Json
    from ipam.stores.etcd_gateway import Gateway

_TXN = "/v3/kv/txn"
#: operations of a transaction; the server's own limit, --max-txn-ops, is 128 by default
MAX_OPERATIONS = 128


class Found(NamedTuple):
    """A key that is there; `revision` is that of its last change."""

    key: str
    value: bytes
    revision: int


class Answer(NamedTuple):
    """What a `get` or a `between` has found; `total` counts what a limit has left out, too."""

    found: tuple[Found, ...]
    total: int


def get(key: str) -> Json:
    return {"request_range": {"key": _encode(key)}}


def between(first: str, end: str, *, limit: int = 0, values: bool = False) -> Json:
    """What is from `first` to before `end`, in the order of the keys; at most `limit`."""
    request = {"key": _encode(first), "range_end": _encode(end), "limit": limit}
    return {"request_range": {**request, "keys_only": not values}}


def count(first: str, end: str) -> Json:
    request = {"key": _encode(first), "range_end": _encode(end)}
    return {"request_range": {**request, "count_only": True}}


def below(prefix: str, *, limit: int = 0, values: bool = False) -> Json:
    """What begins with `prefix`, which ends in a character that is not the last one."""
    return between(prefix, after(prefix), limit=limit, values=values)


def after(prefix: str) -> str:
    """What comes after every key that begins with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def put(key: str, value: bytes = b"") -> Json:
    return {"request_put": {"key": _encode(key), "value": b64encode(value).decode()}}


def delete(key: str) -> Json:
    return {"request_delete_range": {"key": _encode(key)}}


def unchanged(key: str, revision: int) -> Json:
    """A condition: the key's last change is this one; 0: it is not there."""
    return {"key": _encode(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def exists(key: str) -> Json:
    """A condition: the key is there, whatever its value."""
    return {"key": _encode(key), "target": "VERSION", "result": "GREATER", "version": "0"}


def never(key: str) -> Json:
    """A condition that no key meets."""
    return {"key": _encode(key), "target": "VERSION", "result": "LESS", "version": "0"}


def ask(gateway: Gateway, operations: Sequence[Json]) -> list[Answer]:
    """The answers to operations that may be repeated, in their order."""
    answers: list[Answer] = []
    for start in range(0, len(operations), MAX_OPERATIONS):
        part = operations[start : start + MAX_OPERATIONS]
        document = gateway.read(_TXN, {"success": part})
        responses = document.get("responses")
        if not isinstance(responses, list) or len(responses) != len(part):
            raise _garbled()
        answers += map(_answer, responses)
    return answers


def try_out(gateway: Gateway, conditions: Sequence[Json], operations: Sequence[Json]) -> None:
    """Raises what a transaction with these operations would raise; it makes none of them."""
    gateway.read(_TXN, {"compare": list(conditions), "success": list(operations)})


def commit(gateway: Gateway, conditions: Sequence[Json], operations: Sequence[Json]) -> bool:
    """Make all changes if all conditions are met, else none; whether they were.

    Raises UnansweredError when that is not known.
    """
    document = gateway.change(_TXN, {"compare": list(conditions), "success": list(operations)})
    return document.get("succeeded") is True


def _answer(response: Any) -> Answer:
    try:
        found = response.get("response_range", {})
        kvs = tuple(
            Found(
                b64decode(each["key"]).decode(errors="surrogateescape"),
                b64decode(each.get("value", "")),
                int(each["mod_revision"]),
            )
            for each in found.get("kvs", ())
        )
        return Answer(kvs, int(found.get("count", 0)))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _garbled() from None


def _garbled() -> CniError:
    return CniError(Code.IO_FAILURE, "etcd: the answer is not that to a transaction")


def _encode(key: str) -> str:
    return b64encode(key.encode(errors="surrogateescape")).decode()
