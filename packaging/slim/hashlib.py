"""hashlib that makes only the digests that are asked for."""

# mypy: ignore-errors

import importlib


def sha256(data=b""):
    from _sha256 import sha256

    return sha256(data)


def sha512(data=b""):
    from _sha512 import sha512

    return sha512(data)


def __getattr__(name):
    return getattr(importlib.import_module("hashlib.whole"), name)
