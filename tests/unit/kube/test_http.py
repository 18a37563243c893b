"""HTTP/1.1 byte by byte: beside Python's own reader, and where a peer means harm."""

from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.kube import http as ours

LIMIT = 1 << 20
OK = b"HTTP/1.1 200 OK\r\n"


class Peer(io.BytesIO):
    """What Python's reader takes for a socket."""

    def makefile(self, _: str) -> io.BytesIO:
        return self


def read(raw: bytes) -> tuple[ours.Head, bytes]:
    stream = io.BytesIO(raw)
    head = ours.head(stream)
    return head, ours.body(stream, head, LIMIT)


def theirs(raw: bytes) -> tuple[int, dict[str, str], bytes, bool]:
    response = http.client.HTTPResponse(Peer(raw))  # type: ignore[arg-type]
    response.begin()
    closes = response.will_close
    fields = {key.lower(): value for key, value in reversed(response.headers.items())}
    return response.status, fields, response.read(), not closes


BODY = b"x" * 20
ANSWERS = [
    OK + b"Content-Length: 20\r\n\r\n" + BODY,
    OK + b"content-length:20\r\nCONNECTION: Close\r\n\r\n" + BODY,
    OK + b"Content-Length: 20\r\nContent-Length: 10\r\n\r\n" + BODY,
    OK + b"Content-Length: 0\r\n\r\n",
    OK + b"A: b\r\nA: c\r\n\r\n" + BODY,
    OK + b"Transfer-Encoding: Chunked\r\n\r\n14\r\n" + BODY + b"\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
    b"A;a=b\r\n0123456789\r\n5 \r\n01234\r\n0\r\nT: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 20\r\n\r\n" + BODY,
    b"HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY,
    b"HTTP/1.1 204 No Content\r\nContent-Length: 20\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 404\n\n" + BODY,
    b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + OK + b"Content-Length: 20\r\n\r\n" + BODY,
]


@pytest.mark.parametrize("raw", ANSWERS)
def test_answers_are_read_as_python_reads_them(raw: bytes) -> None:
    head, body = read(raw)
    assert (head.status, head.fields, body, head.is_kept) == theirs(raw)


@pytest.mark.parametrize("number", [1, 10])
def test_what_only_says_that_there_will_be_an_answer(number: int) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    raw = early * (number // 2) + early[: -len(b"HTTP/1.1 102 Processing\r\n\r\n")] * (number % 2)
    head, body = read(raw + OK + b"Content-Length: 20\r\n\r\n" + BODY)
    assert (head.status, head.fields, body, head.is_kept) == (
        *(200, {"content-length": "20"}, BODY),
        True,
    )


def test_another_protocol_is_none_of_ours() -> None:
    head, body = read(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + BODY)
    assert (head.status, head.is_kept, body) == (101, False, b"")


@pytest.mark.parametrize("raw", ANSWERS)
def test_no_answer_is_whole_before_its_end(raw: bytes) -> None:
    whole = read(raw)
    for size in range(len(raw)):
        try:
            got = read(raw[:size])
        except (ours.AnswerError, ConnectionResetError):
            continue
        # only where the end of the connection is that of the body, or a trailer without its end
        assert got[0].length is None
        assert whole[0].length is None


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
    ],
)
def test_what_is_no_status_line(raw: bytes) -> None:
    with pytest.raises(ours.StatusLineError):
        read(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2 200\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
        OK + b"a: b\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 11 + OK + b"\r\n",
        OK + b"a" * 70_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 70_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 101,
    ],
)
def test_what_is_not_understood(raw: bytes) -> None:
    with pytest.raises(ours.AnswerError) as raised:
        read(raw)
    assert not isinstance(raised.value, ours.CutShortError)


@pytest.mark.parametrize("size", [b"", b"-1", b"+1", b"0x1", b"1_0", b"g", b"\xb2", b";a"])
def test_what_is_no_size_of_a_chunk(size: bytes) -> None:
    with pytest.raises(ours.CutShortError):
        read(OK + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n" + BODY)


@pytest.mark.parametrize("end", [b"", b"\r", b"xx", b"\n0\r\n\r\n"])
def test_what_is_no_end_of_a_chunk(end: bytes) -> None:
    with pytest.raises(ours.CutShortError):
        read(OK + b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + BODY + end)


@pytest.mark.parametrize("length", ["-5", "+5", "many", "1_0", "²", "9" * 5000])
def test_a_length_that_is_none_is_not_heeded(length: str) -> None:
    head, body = read(OK + f"Content-Length: {length}\r\n\r\n".encode() + BODY)
    assert (head.length, head.is_kept, body) == (None, False, BODY)


def test_a_length_that_nobody_can_hold_reserves_nothing() -> None:
    for raw in (
        OK + b"Content-Length: " + b"9" * 50 + b"\r\n\r\n" + BODY,
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 50 + b"\r\n" + BODY,
    ):
        with pytest.raises(ours.CutShortError):
            read(raw)


@given(st.sampled_from([b"", OK, OK + b"\r\n", *ANSWERS]), st.binary())
def test_noise(start: bytes, noise: bytes) -> None:
    try:
        head, body = read(start + noise)
    except (ours.AnswerError, ConnectionResetError):
        return
    assert 101 <= head.status <= 999
    assert len(body) <= len(start + noise)


def test_requests() -> None:
    got = ours.request("POST", "/a?b=c", "[::1]:6443", {"Accept": "x"}, b"{}")
    assert got == (
        b"POST /a?b=c HTTP/1.1\r\nHost: [::1]:6443\r\nAccept-Encoding: identity\r\n"
        b"Content-Length: 2\r\nAccept: x\r\n\r\n{}"
    )
    assert b"Content-Length" not in ours.request("GET", "/", "a", {}, None)
    assert b"Content-Length: 0\r\n\r\n" in ours.request("PUT", "/", "a", {}, None)


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\nb", "a\0", "ä", "a\x7f"])
def test_nothing_is_smuggled_into_a_request(text: str) -> None:
    cases: list[tuple[Any, ...]] = [
        ("GET", f"/{text}", "a", {}, None),
        ("GET", "/", "a", {"Authorization": text}, None),
        ("GET", "/", text, {}, None),
    ]
    for each in cases:
        with pytest.raises(ValueError, match=r"request|codec"):
            ours.request(*each)
    with pytest.raises(ValueError, match="request"):
        ours.request("GET", "/a b", "a", {}, None)
