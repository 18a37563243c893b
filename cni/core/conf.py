"""What validation makes of a configuration object: the model's fields as attributes."""

from __future__ import annotations

from typing import Any


class Conf:
    """Stands in for the pydantic model at run time; type checkers see the model itself.

    The validator fills the three slots as it does for a model.
    """

    __slots__ = (
        "__dict__",
        "__pydantic_extra__",
        "__pydantic_fields_set__",
        "__pydantic_private__",
    )

    def model_copy(self, *, update: dict[str, Any]) -> Conf:
        """A copy with those fields changed, as the model's own method makes it."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__ | update)
        return copy

    def __repr__(self) -> str:
        return f"Conf({', '.join(f'{key}={value!r}' for key, value in self.__dict__.items())})"
