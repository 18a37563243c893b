"""contextlib's managers of one function, and the smallest of the others."""

# mypy: ignore-errors
# ruff: noqa: N801

import importlib


class _Manager:
    """A generator that yields once, as a context manager."""

    def __init__(self, generator):
        self._generator = generator

    def __enter__(self):
        try:
            return next(self._generator)
        except StopIteration:
            raise RuntimeError("generator didn't yield") from None

    def __exit__(self, kind, error, trace):
        if kind is None:
            try:
                next(self._generator)
            except StopIteration:
                return False
            raise RuntimeError("generator didn't stop")
        try:
            self._generator.throw(error)
        except StopIteration as raised:
            return raised is not error
        except RuntimeError as raised:
            # a StopIteration of the body comes out of a generator as the cause of this
            if raised is not error and not (
                isinstance(error, StopIteration) and raised.__cause__ is error
            ):
                raise
            error.__traceback__ = trace
            return False
        except BaseException as raised:
            if raised is not error:
                raise
            error.__traceback__ = trace
            return False
        raise RuntimeError("generator didn't stop after throw()")


def contextmanager(function):
    def made(*args, **kwargs):
        return _Manager(function(*args, **kwargs))

    made.__wrapped__ = function
    made.__name__, made.__qualname__ = function.__name__, function.__qualname__
    return made


class closing:
    def __init__(self, thing):
        self.thing = thing

    def __enter__(self):
        return self.thing

    def __exit__(self, *_):
        self.thing.close()


class nullcontext:
    def __init__(self, enter_result=None):
        self.enter_result = enter_result

    def __enter__(self):
        return self.enter_result

    def __exit__(self, *_):
        pass


class suppress:
    def __init__(self, *exceptions):
        self._exceptions = exceptions

    def __enter__(self):
        pass

    def __exit__(self, kind, error, trace):
        return kind is not None and issubclass(kind, self._exceptions)


def __getattr__(name):
    return getattr(importlib.import_module("contextlib.whole"), name)
