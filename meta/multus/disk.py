"""Records as untrusted input."""

from __future__ import annotations

import json
import os
from typing import Any

from cni.store import files

MAX_RECORD = 16 << 20  #: bytes; a record of ours has a few thousand
_LONGEST_NAME = 250  #: bytes; 255 less what the name of a file that is being written adds
_LONGEST_STEM = 200  #: bytes; leaves room for a suffix


class DamagedError(Exception):
    """The record is there and cannot be used; the text says why."""


def read_json(path: str) -> Any:
    """The parsed file; None when there is none.

    Raises DamagedError for anything that is not the text of a JSON document.
    """
    try:
        # a FIFO or a device of that name would hang the pod
        if not os.path.isfile(path):
            if os.path.lexists(path):
                raise DamagedError("not a regular file")
            return None
        if os.path.getsize(path) > MAX_RECORD:
            raise DamagedError(f"larger than {MAX_RECORD} bytes")
        data = files.read(path)
        return None if data is None else json.loads(data.decode())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(str(error)) from None


def is_too_long(name: str) -> bool:
    """Whether no file of that name can be written."""
    return len(name.encode()) > _LONGEST_NAME


def short(name: str) -> str:
    """The name, or a digest of one that leaves no room: for files that only we read."""
    if len(name.encode()) <= _LONGEST_STEM:
        return name
    import hashlib  # runtimes' container IDs have 64 characters

    return hashlib.sha256(name.encode()).hexdigest()
