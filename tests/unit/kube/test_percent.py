"""Percent-encoding beside Python's own."""

from __future__ import annotations

import urllib.parse

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cni.kube.percent import quote, unquote

ASCII = [chr(code) for code in range(128)]
ANY = st.text(st.characters(exclude_categories=()))  # lone surrogates too
#: what names of files are read as
NAMES = st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))
#: escapes, broken ones, and what stands between them
ESCAPED = st.lists(
    st.one_of(
        st.binary(max_size=4).map(lambda data: "".join(f"%{byte:02x}" for byte in data)),
        st.sampled_from(["%", "%%", "%4", "%4g", "%+1", "% 1", "%\n1", "%٣٣", "%0X"]),
        ANY,
    )
).map("".join)


@pytest.mark.parametrize("safe", ["", "/", "+", "~%"])
@given(text=st.one_of(st.text(), st.text(ASCII)))
@example(text="".join(ASCII))
@example(text="é€𝄞")
def test_quote(text: str, safe: str) -> None:
    assert quote(text, safe=safe) == urllib.parse.quote(text, safe=safe)


@given(NAMES)
def test_names_that_are_not_utf_8(text: str) -> None:
    escaped = quote(text, errors="surrogateescape")
    assert escaped == urllib.parse.quote(text, safe="", errors="surrogateescape")
    assert unquote(escaped, errors="surrogateescape") == text


def test_a_lone_surrogate_is_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        quote("\ud800")


@pytest.mark.parametrize("errors", ["replace", "surrogateescape"])
@given(text=st.one_of(ANY, ESCAPED))
@example(text="%C3%A9%c3%A9 %C3\u00e9 \u00e9%A9 %E2%82 %AC")
def test_unquote(text: str, errors: str) -> None:
    assert unquote(text, errors=errors) == urllib.parse.unquote(text, errors=errors)


@given(ANY)
def test_there_and_back(text: str) -> None:
    escaped = quote(text, errors="surrogatepass")
    assert unquote(escaped, errors="surrogatepass") == text
