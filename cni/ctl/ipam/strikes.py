"""The strikes of leases between runs: `<state>/plait/strikes.json`.

    {"version": 1, "strikes": [{"lease": [...], "count": 2, "first": 1795194264}]}

What cannot be read is no strike: then it takes longer, and nothing else.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from cni.core import log
from cni.core.errors import CniError, describe
from cni.core.request import parse_json
from cni.ctl.ipam.judge import Strikes
from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipam.stores import Lease

_VERSION = 1

Key = tuple[str, ...]


def key(store: tuple[str, ...], lease: Lease) -> Key:
    """A lease among all of all stores; the next lease of its address is another."""
    place = (lease.network_name, lease.cidr, str(lease.address))
    return (" ".join(store), *place, *lease.attachment, lease.pod_uid, str(lease.created))


def is_of(store: tuple[str, ...], key: Key) -> bool:
    """Whether it is of a lease of this store."""
    return key[0] == " ".join(store)


def path(state_dir: str) -> str:
    return os.path.join(state_dir, "plait", "strikes.json")


def read(state_dir: str) -> dict[Key, Strikes]:
    try:
        data = files.read(path(state_dir))
    except OSError as error:
        raise describe(error) from None
    if data is None:
        return {}
    try:
        document = parse_json(data.decode())
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']}")
        return dict(_entry(each) for each in document["strikes"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("strikes not read: counted anew", file=path(state_dir), reason=error)
        return {}


def write(state_dir: str, strikes: Mapping[Key, Strikes]) -> None:
    """Raises CniError 5."""
    entries = [
        {"lease": list(each), "count": found.number, "first": found.first}
        for each, found in strikes.items()
    ]
    document = {"version": _VERSION, "strikes": entries}
    try:
        files.write(path(state_dir), json.dumps(document).encode(), durable=False)
    except OSError as error:
        failure = describe(error)
        raise CniError(failure.code, "cannot remember strikes", str(failure)) from None


def _entry(document: Any) -> tuple[Key, Strikes]:
    count, first = document["count"], document["first"]
    if type(count) is not int or type(first) is not int or count < 1:
        raise ValueError(f"strikes {count!r} since {first!r}")
    return tuple(str(each) for each in document["lease"]), Strikes(count, first)
