"""copy for what a model's default holds: pydantic_core's extension copies each that can change."""

# mypy: ignore-errors

import importlib

_PLAIN = (bool, bytes, float, int, str, type(None))


def deepcopy(value, memo=None):
    kind = type(value)
    if kind in _PLAIN:
        return value
    if memo is None and _is_tree(value):
        return _grown(value)
    return importlib.import_module("copy.whole").deepcopy(value, memo)


def _is_tree(value, depth=0):
    """Of lists and dicts; what holds itself seems endlessly deep."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    within = value.values() if kind is dict else value if kind is list else None
    return within is not None and depth < 10 and all(_is_tree(each, depth + 1) for each in within)


def _grown(value):
    if type(value) is dict:
        return {key: _grown(each) for key, each in value.items()}
    return [_grown(each) for each in value] if type(value) is list else value


def __getattr__(name):
    return getattr(importlib.import_module("copy.whole"), name)
