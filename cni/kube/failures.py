"""What went wrong with a call, in one error that says server, object and reason."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.errors import CniError, Code
from cni.kube import http
from cni.kube.connection import MAX_ANSWER, Answer, TooLargeError
from cni.kube.line import line

if TYPE_CHECKING:
    from cni.kube.access import Access

#: answers that the next try would get again
_FINAL = frozenset((*range(300, 400), 400, 401, 403, 404, 405, 406, 413, 415, 422))
_EXCERPT = 200  #: characters of an answer that is no Status


class ApiError(CniError):
    """What the server said instead of doing it; `status` is 0 when it said nothing.

    `reason` is the server's own sentence, or what kept it from saying one. `is_absent`: the object
    that was asked for does not exist, in the API server's own words; a proxy or a server without
    such a resource says 404 too.
    """

    def __init__(
        self, code: int, msg: str, details: str = "", *, reason: str = "", status: int = 0
    ) -> None:
        super().__init__(code, msg, details)
        self.reason = reason
        self.status = status
        self.is_absent = False

    @property
    def may_heal(self) -> bool:
        return self.code == Code.TRY_AGAIN_LATER


class Asked(NamedTuple):
    """What was asked of whom, and by which token."""

    method: str
    path: str
    access: Access

    def error(
        self, code: int, reason: str, *, status: int = 0, answer: Answer | None = None
    ) -> ApiError:
        """With what an answer looks like that does not speak for itself."""
        about = line(f"API server {self.access.server}: {self.method} {self.path}")
        details = line(self.access.source if answer is None else _look(answer))
        return ApiError(code, f"{about}: {reason}", details, reason=reason, status=status)

    def without_token(self, text: str) -> str:
        """The words of a server, which might be ours."""
        token = self.access.token
        return text.replace(token, "[token]") if token else text


def refused(asked: Asked, answer: Answer) -> ApiError:
    """An answer that is an error: of the API server, or of something before it."""
    answer = _without_token(asked, answer)
    code = Code.INVALID_CONFIG if answer.status in _FINAL else Code.TRY_AGAIN_LATER
    if answer.location:
        reason = line(f"status {answer.status}: it redirects to {answer.location}: not followed")
        return asked.error(code, reason, status=answer.status)
    if said := _message(answer.body):
        error = asked.error(code, said, status=answer.status)
        error.is_absent = answer.status == 404 and _names(answer.body, asked.path)
        return error
    return asked.error(code, f"status {answer.status}", status=answer.status, answer=answer)


def garbled(asked: Asked, answer: Answer) -> ApiError:
    """A page of a proxy, say, instead of an object."""
    reason = "the answer is not an object of JSON"
    answer = _without_token(asked, answer)
    return asked.error(Code.TRY_AGAIN_LATER, reason, answer=answer)


def unreachable(asked: Asked, error: Exception) -> ApiError:
    """No answer at all."""
    code = Code.TRY_AGAIN_LATER
    match error:
        case ssl.SSLCertVerificationError():
            code = Code.INVALID_CONFIG
            reason = f"its certificate is not trusted: {error.verify_message}"
        case TooLargeError():
            code = Code.IO_FAILURE
            reason = f"an answer of {MAX_ANSWER} bytes and more"
        case http.CutShortError():
            reason = "the answer is cut short"
        case http.AnswerError():
            reason = f"the answer is not HTTP: {error}"
        case ConnectionError() | TimeoutError():
            reason = error.strerror or str(error)
        case ssl.SSLError():
            reason = f"no TLS: {error.reason or error}"
        case _:
            reason = getattr(error, "strerror", None) or str(error)
    return asked.error(code, line(asked.without_token(reason)) or type(error).__name__)


def _without_token(asked: Asked, answer: Answer) -> Answer:
    token = asked.access.token
    return answer._replace(
        content_type=asked.without_token(answer.content_type),
        encoding=asked.without_token(answer.encoding),
        location=asked.without_token(answer.location),
        body=answer.body.replace(token.encode(), b"[token]") if token else answer.body,
    )


def _message(body: bytes) -> str:
    """The sentence of a Status object; empty when the body is none."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    message = document.get("message") if isinstance(document, dict) else None
    return line(message) if isinstance(message, str) else ""


def _names(body: bytes, path: str) -> bool:
    """Whether a Status is about the very object of the path."""
    document = json.loads(body)
    details = document.get("details")
    name = details.get("name") if isinstance(details, dict) else None
    asked = path.partition("?")[0].removesuffix("/status").rpartition("/")[2]
    return document.get("reason") == "NotFound" and name == asked


def _look(answer: Answer) -> str:
    kind = f"status {answer.status}, {line(answer.content_type, 100) or 'no content type'}"
    if answer.encoding:
        return f"{kind}, {line(answer.encoding, 100)}, which was not asked for"
    return f"{kind}: {line(answer.body[: 4 * _EXCERPT].decode(errors='replace'), _EXCERPT)}"
