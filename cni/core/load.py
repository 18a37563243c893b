"""A plugin's own keys, validated by its pydantic model.

Keys match as Go matches them: exactly, else in any case; unknown keys pass, null is absent.
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any, get_args

from cni.core.errors import invalid

if TYPE_CHECKING:
    from pydantic import BaseModel

    from cni.core.types import Json


def load(model: str, data: Json, where: str = "") -> Any:
    """`data` as the model named by `package.module:Class`.

    Raises CniError 7 naming the key and its value; `where` prefixes the key ("ipam").
    """
    from pydantic import ValidationError  # the one heavy import of the hot path, see docs

    module, _, name = model.partition(":")
    cls: type[BaseModel] = getattr(importlib.import_module(module), name)
    try:
        return cls.model_validate(fold(data, cls))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in ((where,) if where else ()) + first["loc"])
        if first["type"] == "missing":
            raise invalid(f'"{key}" is required') from None
        value = json.dumps(first["input"], default=str)[:200]
        raise invalid(f'"{key}": invalid value {value}', first["msg"]) from None


def fold(data: Json, model: type[BaseModel]) -> Json:
    """The object with the model's keys in the model's spelling and without nulls."""
    fields = {(field.alias or name): field for name, field in model.model_fields.items()}
    folded = {alias.lower(): alias for alias in fields}
    out: Json = {}
    for key, value in data.items():
        alias = folded.get(key.lower())
        if alias is None or value is None or (alias != key and alias in data):
            continue
        out[alias] = _fold_value(value, fields[alias].annotation)
    return out


def _fold_value(value: Any, annotation: Any) -> Any:
    nested = _model_in(annotation)
    if nested is None:
        return value
    if isinstance(value, dict):
        return fold(value, nested)
    if isinstance(value, list):
        return [_fold_value(item, annotation) for item in value]
    return value


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `X`, `list[X]`, `X | None`."""
    if hasattr(annotation, "model_fields"):
        return annotation  # type: ignore[no-any-return]
    return next(filter(None, map(_model_in, get_args(annotation))), None)
