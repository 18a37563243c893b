"""typing as code that runs needs it; annotations are never evaluated.

The whole module takes 3 ms, and each of its NamedTuples 0.4 (it compiles every annotation, and a
constructor); these take 0.03.
"""

# mypy: ignore-errors

import importlib
from _collections import _tuplegetter

TYPE_CHECKING = False


class Any:
    pass


class BinaryIO:
    pass


class Protocol:
    pass


class Self:
    pass


def cast(_kind, value):
    return value


def _new(cls, *args, **kwargs):
    fields = cls._fields
    if kwargs or len(args) != len(fields):
        args = list(args)
        try:
            for field in fields[len(args) :]:
                args.append(kwargs.pop(field) if field in kwargs else cls._field_defaults[field])
        except KeyError as error:
            raise TypeError(f"{cls.__name__}() misses {error}") from None
        if kwargs or len(args) != len(fields):
            raise TypeError(f"{cls.__name__}() takes {', '.join(fields)}")
    return tuple.__new__(cls, args)


def _make(cls, values):
    return cls(*values)


def _replace(self, /, **changes):
    made = self._make(map(changes.pop, self._fields, self))
    if changes:
        raise ValueError(f"Got unexpected field names: {list(changes)!r}")
    return made


def _as_dict(self):
    return dict(zip(self._fields, self, strict=True))


def _repr(self):
    shown = (f"{field}={value!r}" for field, value in _as_dict(self).items())
    return f"{self.__class__.__name__}({', '.join(shown)})"


def _plain(self):
    return tuple(self)


class _Maker(type):
    """Makes of a class body what collections.namedtuple would make."""

    def __new__(cls, name, _bases, body):
        fields = tuple(body.get("__annotations__", ()))
        defaults = {field: body[field] for field in fields if field in body}
        getters = {field: _tuplegetter(number, "") for number, field in enumerate(fields)}
        made = {
            "__slots__": (),
            "__new__": _new,
            "__repr__": _repr,
            "__getnewargs__": _plain,
            "__match_args__": fields,
            "_fields": fields,
            "_field_defaults": defaults,
            "_make": classmethod(_make),
            "_replace": _replace,
            "_asdict": _as_dict,
        }
        return type(name, (tuple,), {**made, **body, **getters})


NamedTuple = type.__new__(_Maker, "NamedTuple", (), {})


def __getattr__(name):
    return getattr(importlib.import_module("typing.whole"), name)
