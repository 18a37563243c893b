"""CNI_ARGS."""

from __future__ import annotations

import pytest

from cni.core import args
from cni.core.errors import CniError


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        (";;", {}),
        ("A=1", {"A": "1"}),
        ("A=1;", {"A": "1"}),
        ("A=1;B=2", {"A": "1", "B": "2"}),
        ("A=b=c", {"A": "b=c"}),
        ("A=", {"A": ""}),
        ("A=1;A=2", {"A": "2"}),
        ("A=1;A=", {"A": "1"}),
        ("a=1;A=2", {"a": "1", "A": "2"}),
    ],
)
def test_pairs(text: str, pairs: dict[str, str]) -> None:
    assert args.parse(text) == pairs


@pytest.mark.parametrize(("text", "named"), [("A", "A"), ("A=1;B", "B"), ("=1", "=1"), (" ", " ")])
def test_no_pairs(text: str, named: str) -> None:
    with pytest.raises(CniError) as raised:
        args.parse(text)
    assert (raised.value.code, raised.value.msg) == (4, f'CNI_ARGS: invalid pair "{named}"')


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "True"])
def test_unknown_pairs_are_ignored_on_demand(value: str) -> None:
    text = f"K8S_POD_NAME=x;MAC=m;IgnoreUnknown={value}"
    assert args.parse_known(text, ("MAC",)) == {"MAC": "m"}


@pytest.mark.parametrize("text", ["X=1", "X=1;IgnoreUnknown=0", "X=1;IgnoreUnknown=false"])
def test_unknown_pairs_are_refused(text: str) -> None:
    with pytest.raises(CniError, match=r"unknown args \['X=1'\]"):
        args.parse_known(text, ("MAC",))


def test_ignore_unknown_is_a_boolean() -> None:
    with pytest.raises(CniError, match='IgnoreUnknown must be a boolean, got "yes"'):
        args.parse_known("IgnoreUnknown=yes", ())
