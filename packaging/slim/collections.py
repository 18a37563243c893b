"""collections without what is written in Python."""

# mypy: ignore-errors
# ruff: noqa: F401

import importlib
from _collections import OrderedDict, defaultdict, deque


def __getattr__(name):
    return getattr(importlib.import_module("collections.whole"), name)
