"""functools without its named tuples and dispatchers."""

# mypy: ignore-errors
# ruff: noqa: N801, N807

import importlib
from _functools import _lru_cache_wrapper, partial

WRAPPER_ASSIGNMENTS = ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__")


def update_wrapper(wrapper, wrapped):
    for name in WRAPPER_ASSIGNMENTS:
        if hasattr(wrapped, name):
            setattr(wrapper, name, getattr(wrapped, name))
    wrapper.__dict__.update(getattr(wrapped, "__dict__", {}))  # sqlite3 has a connection here
    wrapper.__wrapped__ = wrapped
    return wrapper


def wraps(wrapped):
    return partial(update_wrapper, wrapped=wrapped)


def lru_cache(maxsize=128, typed=False):
    if callable(maxsize):
        return lru_cache()(maxsize)
    return lambda function: update_wrapper(
        _lru_cache_wrapper(function, maxsize, typed, lambda *numbers: numbers), function
    )


def cache(function):
    return lru_cache(None)(function)


class cached_property:
    def __init__(self, function):
        self._function = function

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._function(instance)
        return value


def total_ordering(cls):
    """From `__lt__`, which is what ipaddress has."""
    if "__lt__" not in vars(cls) or vars(cls).keys() & {"__gt__", "__le__", "__ge__"}:
        return importlib.import_module("functools.whole").total_ordering(cls)

    def __gt__(self, other):
        less = type(self).__lt__(self, other)
        return less if less is NotImplemented else not less and self != other

    def __le__(self, other):
        less = type(self).__lt__(self, other)
        return less if less is NotImplemented else less or self == other

    def __ge__(self, other):
        less = type(self).__lt__(self, other)
        return less if less is NotImplemented else not less

    cls.__gt__, cls.__le__, cls.__ge__ = __gt__, __le__, __ge__
    return cls


def __getattr__(name):
    return getattr(importlib.import_module("functools.whole"), name)
