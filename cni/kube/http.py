"""HTTP/1.1 as a client speaks it (RFC 9112): a request as bytes, an answer from a stream.

Python's own takes 14 ms to be imported: it reads an answer's head as that of a mail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

_MAX_LINE = 65536  #: bytes
_MAX_FIELDS = 100
_HEX = frozenset(b"0123456789abcdefABCDEF")
_SWITCHING = 101
_MOST_AHEAD = 10  #: answers that only say that there will be one
_NO_BODY = (*range(100, 200), 204, 304)


class AnswerError(OSError):
    """What came is not HTTP."""


class StatusLineError(AnswerError):
    """Not even in its first line."""


class CutShortError(AnswerError):
    """The end came too early, or nobody can say where it would be."""


class Head(NamedTuple):
    """An answer without its body; names of fields are in lower case.

    `length` in bytes is None where the end of the connection is that of the body.
    """

    status: int
    fields: dict[str, str]
    is_chunked: bool
    length: int | None
    is_kept: bool  #: the connection, for further requests


def request(
    method: str, path: str, host: str, fields: Mapping[str, str], body: bytes | None
) -> bytes:
    """Raises ValueError for what would be read as another request than this."""
    if body is None and method in ("PATCH", "POST", "PUT"):
        body = b""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in fields.items()]
    if " " in path or not all(each.isprintable() for each in lines):
        raise ValueError(f"no request can be made of {path!r}")
    return "\r\n".join((*lines, "", "")).encode("ascii") + (body or b"")


def head(stream: BinaryIO) -> Head:
    """The next answer's, after those that only say that there will be one.

    Raises AnswerError; ConnectionResetError when there is none.
    """
    for _ in range(_MOST_AHEAD + 1):
        version, status = _status(stream)
        fields = _fields(stream)
        if status >= 200 or status == _SWITCHING:
            break
    else:
        raise AnswerError(f"got more than {_MOST_AHEAD} answers before the answer")
    coding = fields.get("transfer-encoding", "").lower()
    if coding not in ("", "chunked"):
        raise AnswerError(f"transfer encoding {coding}")
    length = _length(fields.get("content-length", ""))
    if status in _NO_BODY:
        coding, length = "", 0
    wishes = fields.get("connection", "").lower()
    is_kept = "close" not in wishes if version != "HTTP/1.0" else "keep-alive" in wishes
    has_end = (bool(coding) or length is not None) and status != _SWITCHING
    return Head(status, fields, bool(coding), length, is_kept and has_end)


def body(stream: BinaryIO, of: Head, limit: int) -> bytes:
    """All of it; the stream ends it when there are more than `limit` bytes. Raises AnswerError."""
    if of.is_chunked:
        return b"".join(iter(lambda: _chunk(stream, limit), b""))
    data = stream.read(limit if of.length is None else min(of.length, limit))
    # fewer than there should be, or none where the end of the connection is that of the body
    if len(data) < (1 if of.length is None else of.length):
        raise CutShortError("the answer is cut short")
    return data


def _chunk(stream: BinaryIO, limit: int) -> bytes:
    """The next one; an empty one is the last."""
    digits = _line(stream, "chunk size").partition(b";")[0].strip()
    if not digits or not _HEX.issuperset(digits):
        raise CutShortError("the answer is cut short")
    size = int(digits, 16)
    if not size:
        _fields(stream)  # the trailer
        return b""
    data = stream.read(min(size, limit))
    if len(data) < size or stream.read(2) != b"\r\n":
        raise CutShortError("the answer is cut short")
    return data


def _status(stream: BinaryIO) -> tuple[str, int]:
    first = _line(stream, "status line").decode("latin-1")
    if not first:
        raise ConnectionResetError("Remote end closed connection without response")
    version, status, *_ = *first.split(None, 2), "", ""
    is_number = len(status) == 3 and status.isascii() and status.isdigit()
    if not version.startswith("HTTP/") or not is_number or status < "100":
        raise StatusLineError(first)
    if not version.startswith("HTTP/1."):
        raise AnswerError(version)
    return version, int(status)


def _fields(stream: BinaryIO) -> dict[str, str]:
    """Of a name that is given twice, the first."""
    fields: dict[str, str] = {}
    for _ in range(_MAX_FIELDS + 1):
        each = _line(stream, "header line")
        if not each.endswith(b"\n"):
            raise CutShortError("the answer is cut short")
        text = each.decode("latin-1").rstrip("\r\n")
        if not text:
            return fields
        name, _, value = text.partition(":")
        fields.setdefault(name.lower(), value.strip())
    raise AnswerError(f"got more than {_MAX_FIELDS} headers")


def _line(stream: BinaryIO, what: str) -> bytes:
    found = stream.readline(_MAX_LINE + 1)
    if len(found) > _MAX_LINE:
        raise AnswerError(f"got more than {_MAX_LINE} bytes when reading {what}")
    return found


def _length(text: str) -> int | None:
    """None when it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 100 else None
