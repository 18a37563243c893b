"""Names that come from pods: none of them leads to another object."""

from __future__ import annotations

import pytest

from cni.core.errors import CniError
from cni.kube.line import line
from cni.kube.paths import is_object_name, object_path


def test_paths() -> None:
    assert object_path("api/v1", "default", "pods", "p1") == "/api/v1/namespaces/default/pods/p1"
    assert object_path("apis/g.io/v1", "n", "things") == "/apis/g.io/v1/namespaces/n/things"
    assert object_path("api/v1", "n", "pods", "a.b-c.0").endswith("/pods/a.b-c.0")


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a.b", "x" * 253, "1.2.3.4", "a--b"])
def test_names(name: str) -> None:
    assert is_object_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a..b", ".a", "a.", "-a", "a-", "a.-b", "a-.b", "x" * 254),
        *("A", "a_b", "a/b", "../secrets/s", "a%2fb", "a?b=c", "a#b"),
        *("a b", "a\n", "a\0", "ä", "١"),
    ],
)  # fmt: skip
def test_what_is_no_name(name: str) -> None:
    assert not is_object_name(name)
    for namespace, of in ((name, "p"), ("n", name)):
        if namespace and of:
            with pytest.raises(CniError, match="cannot be the name of an object") as raised:
                object_path("api/v1", namespace, "pods", of)
            assert raised.value.code == 7
            assert raised.value.msg.isprintable()


def test_an_empty_namespace_is_none() -> None:
    with pytest.raises(CniError, match='"" cannot be the name'):
        object_path("api/v1", "", "pods")


def test_line() -> None:
    assert line(" a\r\n\tb\x1b[31m\u202ec\0 ") == "a b [31m c"
    assert line("x" * 5000, 10) == "x" * 10
    assert line("\n" * 5000 + "x", 10) == ""
