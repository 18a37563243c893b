"""datetime as it is from Python 3.12 on: not first defined in Python, only to be replaced by C."""

# mypy: ignore-errors
# ruff: noqa: F401, F403, F405

from _datetime import *
from _datetime import datetime_CAPI

UTC = timezone.utc
