"""What the server says when it refuses, in the words of the real one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .resources import Resource

MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


class Refusal(Exception):
    """An answer that is a Status object; `code` is the HTTP status."""

    def __init__(
        self, code: int, reason: str, message: str, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status(code, reason, message, details)


def status(
    code: int, reason: str, message: str, details: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A Status object that says "Failure"; its keys come in the order of the real one."""
    document: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
    }
    if reason:
        document["reason"] = reason
    if details is not None:
        document["details"] = details
    return document | {"code": code}


def not_found(target: Resource) -> Refusal:
    return Refusal(404, "NotFound", f"{_named(target)} not found", _details(target))


def already_exists(target: Resource) -> Refusal:
    return Refusal(409, "AlreadyExists", f"{_named(target)} already exists", _details(target))


def conflict(target: Resource, why: str = MODIFIED) -> Refusal:
    message = f"Operation cannot be fulfilled on {_named(target)}: {why}"
    return Refusal(409, "Conflict", message, _details(target))


def precondition_failed(target: Resource, field: str, wanted: str, found: str) -> Refusal:
    """A PUT that speaks of another object of the same name."""
    return conflict(
        target,
        f"StorageError: invalid object, Code: 4, Key: {target.storage_key}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: {field} in precondition: {wanted}, "
        f"{field} in object meta: {found}",
    )


def delete_precondition_failed(
    target: Resource, field: str, wanted: str, found: str, might: str
) -> Refusal:
    message = (
        f"Operation cannot be fulfilled on {target.qualified_kind} {_quoted(target.name)}: "
        f"the {field} in the precondition ({wanted}) does not match the {field} in record "
        f"({found}). The object might have been {might}"
    )
    return Refusal(409, "Conflict", message, _details(target, target.kind))


def invalid(target: Resource, kind: str, field: str, body: str, cause: str) -> Refusal:
    """A field that must not be as it is; `body` is the real server's phrase for it."""
    qualified = f"{kind}.{target.group}" if target.group else kind
    details = _details(target, kind)
    details["causes"] = [{"reason": cause, "message": body, "field": field}]
    message = f"{qualified} {_quoted(target.name)} is invalid: {field}: {body}"
    return Refusal(422, "Invalid", message, details)


def unpatchable(patched: str, why: str) -> Refusal:
    """The patch could be applied, but its outcome is no object of the kind."""
    body = f"Invalid value: {_quoted(patched)}: {why}"
    causes = [{"reason": "FieldValueInvalid", "message": body, "field": "patch"}]
    return Refusal(422, "Invalid", f' "" is invalid: patch: {body}', {"causes": causes})


def patch_failed() -> Refusal:
    """A JSON patch that cannot be applied, as with a failed test; the real one says no more."""
    message = "the server rejected our request due to an error in our request"
    return Refusal(422, "Invalid", message, {})


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def unauthorized() -> Refusal:
    return Refusal(401, "Unauthorized", "Unauthorized")


def forbidden(target: Resource, user: str, verb: str) -> Refusal:
    resource = "/".join(filter(None, (target.plural, target.subresource)))
    where = f"in the namespace {_quoted(target.namespace)}"
    who = (
        f"User {_quoted(user)} cannot {verb} resource {_quoted(resource)} in API group "
        f"{_quoted(target.group)} {where if target.namespace else 'at the cluster scope'}"
    )
    name = _named(target) if target.name else target.qualified
    return Refusal(403, "Forbidden", f"{name} is forbidden: {who}", _details(target))


def no_such_resource() -> Refusal:
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> Refusal:
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message, {})


def unsupported_media_type(*accepted: str) -> Refusal:
    message = "the body of the request was in an unknown format - accepted media types include: "
    return Refusal(415, "UnsupportedMediaType", message + ", ".join(accepted))


def too_large(limit: int) -> Refusal:
    message = f"Request entity too large: limit is {limit}"
    return Refusal(413, "RequestEntityTooLarge", message)


def expired(message: str) -> Refusal:
    return Refusal(410, "Expired", message)


def _named(target: Resource) -> str:
    return f"{target.qualified} {_quoted(target.name)}"


def _details(target: Resource, kind: str = "") -> dict[str, Any]:
    details = {"name": target.name, "group": target.group, "kind": kind or target.plural}
    return {key: value for key, value in details.items() if value}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
