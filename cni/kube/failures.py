"""What went wrong with a call, in one error that says server, object and reason."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any

from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from cni.kube.connection import Answer

#: answers that the next try would get again
_FINAL = frozenset((400, 401, 403, 404, 405, 406, 413, 415, 422))


class ApiError(CniError):
    """What the server said instead of doing it; `status` is 0 when it said nothing.

    `reason` is the server's own sentence, or what kept it from saying one.
    """

    def __init__(
        self, code: int, msg: str, details: str = "", *, reason: str = "", status: int = 0
    ) -> None:
        super().__init__(code, msg, details)
        self.reason = reason
        self.status = status

    @property
    def may_heal(self) -> bool:
        return self.code == Code.TRY_AGAIN_LATER


def refused(about: str, source: str, answer: Answer) -> ApiError:
    """An answer that is an error: of the API server, or of something before it."""
    code = Code.INVALID_CONFIG if answer.status in _FINAL else Code.TRY_AGAIN_LATER
    said = _message(answer.body)
    reason = said or f"status {answer.status}"
    details = source if said else f"{_kind(answer)}: {_excerpt(answer.body)}"
    return ApiError(code, f"{about}: {reason}", details, reason=reason, status=answer.status)


def garbled(about: str, answer: Answer) -> ApiError:
    """A page of a proxy, say, instead of an object."""
    reason = "the answer is not an object of JSON"
    details = f"{_kind(answer)}: {_excerpt(answer.body)}"
    return ApiError(Code.TRY_AGAIN_LATER, f"{about}: {reason}", details, reason=reason)


def unreachable(about: str, source: str, error: Exception) -> ApiError:
    """No answer at all."""
    code = Code.TRY_AGAIN_LATER
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        code = Code.INVALID_CONFIG
        reason = f"its certificate is not trusted: {error.verify_message}"
    elif isinstance(error, TimeoutError):
        reason = "no answer in time"
    return ApiError(code, f"{about}: {_line(reason)}", source, reason=_line(reason))


def _message(body: bytes) -> str:
    """The sentence of a Status object; empty when the body is none."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    message = document.get("message") if isinstance(document, dict) else None
    return _line(message) if isinstance(message, str) else ""


def _kind(answer: Answer) -> str:
    return f"status {answer.status}, {_line(answer.content_type) or 'no content type'}"


def _excerpt(body: bytes) -> str:
    return _line(body[:200].decode(errors="replace"))


def _line(text: str) -> str:
    """What a server says, on one line of printable characters."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:1000]
