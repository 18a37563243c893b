"""A plugin's own keys, validated by its model.

Keys match as Go matches them: exactly, else in any case; unknown keys pass, null is absent.
The model was lowered to a schema of pydantic-core at build time: importing pydantic itself would
cost each pod start 80 ms, and its validator costs 4.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cni.core import trace
from cni.core.errors import invalid

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from cni.core.types import Json

_prepared: dict[str, tuple[Json, SchemaValidator]] = {}


def load(model: str, data: Json, where: str = "") -> Any:
    """`data` as the model named by `package.module:Class`.

    Raises CniError 7 naming the key and its value; `where` prefixes the key ("ipam").
    """
    schema, validator = prepared(model)
    from pydantic_core._pydantic_core import ValidationError

    try:
        with trace.span(trace.VALIDATION):
            return validator.validate_python(fold(data, schema))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in ((where,) if where else ()) + first["loc"])
        if first["type"] == "missing":
            raise invalid(f'"{key}" is required') from None
        value = json.dumps(first["input"], default=str)[:200]
        raise invalid(f'"{key}": invalid value {value}', first["msg"]) from None


def prepared(model: str) -> tuple[Json, SchemaValidator]:
    """The model's schema, and what validates by it: 0.5 ms to make, once in a process."""
    if model not in _prepared:
        from cni.core.schemas import SCHEMAS

        _stand_in()
        from pydantic_core._pydantic_core import SchemaValidator

        with trace.span(trace.VALIDATION):
            schema: Any = SCHEMAS[model]()
            _prepared[model] = schema, SchemaValidator(schema)
    return _prepared[model]


def fold(data: Json, schema: Json) -> Json:
    """The object with the model's keys in the model's spelling and without nulls."""
    fields = {
        field.get("validation_alias", name): field["schema"]
        for name, field in schema["schema"]["fields"].items()
    }
    folded = {alias.lower(): alias for alias in fields}
    out: Json = {}
    for key, value in data.items():
        alias = folded.get(key.lower())
        if alias is None or value is None or (alias != key and alias in data):
            continue
        out[alias] = _fold_value(value, fields[alias])
    return out


def _fold_value(value: Any, schema: Json) -> Any:
    while schema["type"] in ("default", "nullable"):
        schema = schema["schema"]
    if schema["type"] == "model" and isinstance(value, dict):
        return fold(value, schema)
    if schema["type"] == "list" and isinstance(value, list) and "items_schema" in schema:
        return [_fold_value(item, schema["items_schema"]) for item in value]
    return value


def _stand_in() -> None:
    """Let the extension be imported without its package, whose Python half costs 20 ms."""
    if "pydantic_core" in sys.modules:
        return
    spec = importlib.util.find_spec("pydantic_core")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("pydantic_core is not installed")
    package = ModuleType("pydantic_core")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules["pydantic_core"] = package
