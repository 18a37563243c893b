"""What stands in for parts of the standard library, beside the whole of it."""

from __future__ import annotations

import collections
import contextlib
import copy
import datetime
import functools
import hashlib
import io
import json
import signal
import subprocess
import sys
import typing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.slim import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WHOLE = {
    each.__name__: each
    for each in (
        *(collections, contextlib, copy, datetime, functools, hashlib, json, signal, typing),
    )
}


@pytest.fixture(autouse=True, scope="module")
def whole() -> Iterator[None]:
    """The whole modules by the names that they have in the executables."""
    names = {f"{name}.whole": module for name, module in WHOLE.items()}
    sys.modules.update(names)
    yield
    for name in names:
        del sys.modules[name]


ours, hints = load("json"), load("typing")

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def outcome(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What it returns, as text (NaN is not itself), or how it fails."""
    try:
        return repr(call(*args, **kwargs))
    except (ValueError, TypeError, RecursionError) as error:
        return type(error).__name__, str(error)


def refuse(name: str) -> Any:
    raise ValueError(f"no {name}")


@given(
    VALUES,
    st.sampled_from([None, 0, 1, 4]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, (",", ":"), ("; ", " = ")]),
)
def test_what_is_written(
    value: Any, indent: int | None, ascii_only: bool, in_order: bool, separators: Any
) -> None:
    how: Any = {"indent": indent, "ensure_ascii": ascii_only, "sort_keys": in_order}
    assert ours.dumps(value, separators=separators, **how) == json.dumps(
        value, separators=separators, **how
    )


@given(VALUES, st.text(" \t\n\r"), st.text(" \t\n\rx,"))
def test_what_is_read(value: Any, before: str, behind: str) -> None:
    text = before + json.dumps(value) + behind
    for each in (text, text.encode()):
        assert outcome(ours.loads, each) == outcome(json.loads, each)
        assert outcome(ours.loads, each, parse_constant=refuse) == outcome(
            json.loads, each, parse_constant=refuse
        )


@given(st.text('{}[]",:\\ \tu0123-+.eEntrufalsINy\x00é\ud800') | st.text())
def test_noise(text: str) -> None:
    assert outcome(ours.loads, text) == outcome(json.loads, text)


@given(st.binary())
def test_noise_in_bytes(data: bytes) -> None:
    assert outcome(ours.loads, data) == outcome(json.loads, data)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "\ufeff{}", '{"a":1,}', '{"a":1} x', "[1 2]", "nul", '"a', "NaN", "-Infinity"),
        *("1" * 5000, "[" * 100_000, '{"a":' * 100_000, '"\n"', '"\\ud800"', "1e999", "-", "01"),
        *('{"a":1,"a":2}', "[1,\u00a02]", "\x0b1", None, 1, bytearray(b"[1]")),
    ],
)
def test_trouble(text: Any) -> None:
    assert outcome(ours.loads, text) == outcome(json.loads, text)


@pytest.mark.parametrize("text", ['{"a"', '["\n"]', "[1 2]", '{"a":1,}', '"\\x"', "[1,", "{1:2}"])
def test_trouble_before_the_whole_was_needed(text: str, library: Path) -> None:
    """The scanner looks for the class of its error where nobody has imported it yet."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import json, sys; json.loads(sys.argv[1])", text],
        env={"PYTHONPATH": str(library)},
        capture_output=True,
        check=False,
    )
    with pytest.raises(ValueError, match=r"line \d column") as raised:
        json.loads(text)
    last = done.stderr.decode().splitlines()[-1]
    assert last == f"json.decoder.JSONDecodeError: {raised.value}"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_encodings(codec: str) -> None:
    assert ours.loads('["ä"]'.encode(codec)) == ["ä"]


def test_what_json_cannot_tell() -> None:
    for value in ({1}, [object], {"a": b""}):
        assert outcome(ours.dumps, value) == outcome(json.dumps, value)
    assert ours.dumps([{1}], default=list) == "[[1]]"
    assert ours.JSONDecodeError is json.JSONDecodeError


def classes(source: Any) -> Any:
    class Point(source.NamedTuple):  # type: ignore[misc]
        """A place."""

        x: int
        y: int = 2
        names: tuple[str, ...] = ()

        @property
        def total(self) -> int:
            return self.x + self.y

        def __str__(self) -> str:
            return f"<{self.x}>"

    return Point


Theirs, Ours = classes(typing), classes(hints)


@pytest.mark.parametrize(
    "use",
    [
        lambda point: point(1),
        lambda point: point(1, 3, ("a",)),
        lambda point: point(names=("a",), x=5),
        lambda point: point(y=1),
        lambda point: point(),
        lambda point: point(1, 2, (), 4),
        lambda point: point(1, x=2),
        lambda point: point(1, z=2),
        lambda point: point(1)._replace(y=7),
        lambda point: point(1)._replace(z=7),
        lambda point: point(1)._asdict(),
        lambda point: point._make([1, 2, ()]),
        lambda point: point._make([1, 2, (), 3]),
        lambda point: (point._fields, point._field_defaults, point.__match_args__),
        lambda point: (point(1).total, str(point(1)), point(1).names, point.__doc__),
        lambda point: (point(1) == (1, 2, ()), hash(point(1)) == hash((1, 2, ())), [*point(1)]),
        lambda point: (point.__name__, point.__bases__, point.__mro__[1:], type(point)),
        lambda point: setattr(point(1), "x", 2),
        lambda point: setattr(point(1), "other", 2),
    ],
)
def test_named_tuples(use: Callable[[Any], Any]) -> None:
    def way(point: Any) -> Any:
        try:
            return repr(use(point))
        except (TypeError, ValueError, AttributeError) as error:
            return type(error)

    assert way(Ours) == way(Theirs)


def test_named_tuples_match() -> None:
    match Ours(1, 3):
        case Ours(x=1, y=y):
            assert y == 3
        case _:
            raise AssertionError


def test_the_others_are_the_whole_ones() -> None:
    assert hints.get_type_hints is typing.get_type_hints
    with pytest.raises(AttributeError):
        _ = hints.nothing_of_the_kind


def test_digests() -> None:
    slim = load("hashlib")
    for name in ("sha256", "sha512"):
        assert getattr(slim, name)(b"a").hexdigest() == getattr(hashlib, name)(b"a").hexdigest()
    assert slim.md5 is hashlib.md5


def test_signals_and_times() -> None:
    slim = load("signal")
    for each in (*signal.Signals, signal.SIG_DFL, signal.SIG_IGN):
        assert getattr(slim, each.name) == each
    assert slim.Signals(15).name == "SIGTERM"
    slim = load("datetime")
    assert {name for name in vars(datetime) if not name.startswith("_")} <= {*vars(slim), "sys"}


def managed(source: Any, way: str, fault: BaseException | None) -> Any:
    """What a body that fails, or does not, comes to in a manager of that way."""
    steps: list[Any] = []

    @source.contextmanager  # type: ignore[untyped-decorator]
    def manager(value: int) -> Iterator[int]:
        """Words."""
        if way == "never":
            return
        try:
            yield value
            if way == "twice":
                yield value
        except BaseException as error:
            steps.append(repr(error))
            if way == "swallows":
                return
            if way == "another":
                raise ValueError("another") from None
            if way == "again":
                yield value
            raise
        finally:
            steps.append("end")

    def body() -> None:
        with manager(5) as value:
            steps.append(value)
            if fault is not None:
                raise fault

    steps.append(manager.__name__)
    try:
        body()
    except BaseException as error:
        steps += [type(error), str(error), error is fault]
    return steps


@pytest.mark.parametrize("way", ["fine", "never", "twice", "swallows", "another", "again"])
@pytest.mark.parametrize(
    "fault",
    [
        None,
        ValueError("x"),
        StopIteration(3),
        RuntimeError("r"),
        KeyboardInterrupt(),
        SystemExit(2),
    ],
)
def test_managers(way: str, fault: BaseException | None) -> None:
    if way == "again" and fault is None:
        way = "fine"
    assert managed(load("contextlib"), way, fault) == managed(contextlib, way, fault)


def raise_key_error() -> None:
    raise KeyError


def test_small_managers() -> None:
    for source in (load("contextlib"), contextlib):
        reached = []
        with source.suppress(ValueError, KeyError), source.nullcontext(3) as three:
            reached.append(three)
            raise_key_error()
        assert reached == [3]
        with pytest.raises(KeyError), source.suppress(ValueError):
            raise_key_error()
        file = io.BytesIO()
        with source.closing(file) as same:
            assert same is file
        assert file.closed
    assert load("contextlib").ExitStack is contextlib.ExitStack


def numbers(source: Any) -> Any:
    @source.total_ordering
    class Number:
        def __init__(self, value: int) -> None:
            self.value = value
            self.asked = 0

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Number) and self.value == other.value

        def __lt__(self, other: object) -> bool:
            return self.value < other.value if isinstance(other, Number) else NotImplemented

        @source.cached_property  # type: ignore[untyped-decorator]
        def double(self) -> int:
            self.asked += 1
            return 2 * self.value

    return Number


def test_order_and_caches() -> None:
    for source in (load("functools"), functools):
        number = numbers(source)
        for a in range(3):
            for b in range(3):
                one, other = number(a), number(b)
                assert (one < other, one <= other) == (a < b, a <= b)
                assert (one > other, one >= other) == (a > b, a >= b)
        with pytest.raises(TypeError):
            _ = number(1) >= 1
        assert (one.double, one.double, one.asked) == (4, 4, 1)

        calls: list[int] = []

        @source.lru_cache(maxsize=2)  # type: ignore[untyped-decorator]
        def square(value: int, calls: list[int] = calls) -> int:
            """Words."""
            calls.append(value)
            return value * value

        assert [square(each) for each in (1, 2, 1, 3, 2)] == [1, 4, 1, 9, 4]
        assert calls == [1, 2, 3, 2]
        assert (square.__name__, square.__doc__, square.cache_info()[:2]) == (
            *("square", "Words."),
            (1, 4),
        )
        assert source.partial(max, 3)(2) == 3
        assert source.cache(abs)(-1) == 1
    assert load("functools").singledispatch is functools.singledispatch


def test_copies() -> None:
    slim = load("copy")
    values: list[Any] = [None, 1, "a", [], {}, [[1], {"a": [2]}], (1, [2])]
    for value in values:
        copied = slim.deepcopy(value)
        assert copied == value
        assert (copied is value) == (copy.deepcopy(value) is value)
    tree: dict[str, Any] = {"a": [{}]}
    slim.deepcopy(tree)["a"][0]["b"] = 1
    assert tree == {"a": [{}]}
    endless: list[Any] = []
    endless.append(endless)
    assert slim.deepcopy(endless)[0][0] is not endless
    assert slim.copy([1]) == [1]
    whole = load("collections")
    assert whole.namedtuple is collections.namedtuple
    assert (whole.deque, whole.abc) == (collections.deque, collections.abc)
