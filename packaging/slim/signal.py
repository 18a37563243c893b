"""signal without its enumerations: numbers, as the system has them."""

# mypy: ignore-errors
# ruff: noqa: F403

import importlib
from _signal import *


def __getattr__(name):
    return getattr(importlib.import_module("signal.whole"), name)
