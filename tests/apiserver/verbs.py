"""A request on the objects of the store, and what is answered."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from . import metadata, patch, status
from .selectors import selection
from .status import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .resources import Resource
    from .store import Json, Store

MAX_BODY = 3 << 20  #: bytes
_JSON_PATCH, _MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Request(NamedTuple):
    """`path` is without the query; `content_type` without its parameters.

    No body: it is longer than the limit.
    """

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    body: bytes | None


class Answer(NamedTuple):
    """Always answered in one piece, with the length or in chunks."""

    code: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


def answer(code: int, document: Any) -> Answer:
    return Answer(code, (json.dumps(document, separators=(",", ":")) + "\n").encode())


def verb(request: Request, target: Resource) -> str:
    """The verb that permissions are about."""
    if request.method != "GET":
        collection = request.method == "DELETE" and not target.name
        return "deletecollection" if collection else _VERBS.get(request.method, "")
    if request.query.get("watch") in ("1", "true"):
        return "watch"
    return "get" if target.name else "list"


def respond(store: Store, request: Request, target: Resource) -> Answer:
    """Carry a request out, unless it is a watch; raises Refusal."""
    if target.subresource not in ("", "status"):
        raise status.no_such_resource()
    match verb(request, target):
        case "get":
            return answer(200, store.get(target))
        case "list":
            return answer(200, _list(store, request, target))
        case "create" if not target.name:
            return answer(201, store.create(target, _document(request, target)))
        case "update" if target.name:
            return _replace(store, request, target)
        case "patch" if target.name:
            return answer(200, _patch(store, request, target))
        case "delete" if not target.subresource:
            return answer(200, _delete(store, request, target))
    raise status.method_not_allowed()


def _list(store: Store, request: Request, target: Resource) -> Json:
    """A List; pages after the first are of the same version as the first."""
    limit = _number(request.query, "limit")
    if token := request.query.get("continue", ""):
        version, start = _continuation(token)
        items = store.page(target, version)[start:]
    else:
        start = 0
        items, version = store.items(target)
        selected = selection(target, request.query)
        items = [item for item in items if selected(item)]
        if limit and len(items) > limit:
            store.keep_page(version, items)
    described: Json = {"resourceVersion": str(version)}
    if limit and len(items) > limit:
        described["continue"] = _token(version, start + limit)
        described["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    if target.built_in:  # The real server's own types do not say in a list what they are.
        said = ("kind", "apiVersion")
        items = [{key: item[key] for key in item if key not in said} for item in items]
    kind = f"{target.kind}List"
    return {
        "kind": kind,
        "apiVersion": target.api_version,
        "metadata": described,
        "items": items,
    }


def _replace(store: Store, request: Request, target: Resource) -> Answer:
    """PUT; of leases and events it is a creation too."""
    given = _document(request, target)

    def replaced(stored: Json) -> Json:
        wanted = (given.get("metadata") or {}).get("uid")
        if wanted and wanted != stored["metadata"]["uid"]:
            found = stored["metadata"]["uid"]
            raise status.precondition_failed(target, "UID", wanted, found)
        return given

    try:
        return answer(200, store.update(target, replaced))
    except Refusal as refusal:
        if refusal.code != 404 or target.plural not in ("leases", "events"):
            raise
    return answer(201, store.create(target._replace(name=""), given))


def _patch(store: Store, request: Request, target: Resource) -> Json:
    if request.content_type not in (_JSON_PATCH, _MERGE_PATCH):
        if target.built_in and request.content_type != _STRATEGIC:
            raise status.Refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        raise status.unsupported_media_type(
            _JSON_PATCH, _MERGE_PATCH, "application/apply-patch+yaml"
        )
    given = _parsed(request, "{}")

    def patched(stored: Json) -> Json:
        result: Json
        try:
            if request.content_type == _JSON_PATCH:
                result = patch.applied(stored, given)
            else:
                result = patch.merged(stored, given)
        except patch.Malformed as error:
            raise status.bad_request(str(error)) from error
        except patch.Inapplicable as error:
            raise status.patch_failed() from error
        if why := metadata.mistyped(result):
            raise status.unpatchable(json.dumps(result, separators=(",", ":")), why)
        return result

    return store.update(target, patched)


def _delete(store: Store, request: Request, target: Resource) -> Json:
    options = _parsed(request, "{}") if (request.body or b"").strip() else {}
    preconditions = options.get("preconditions") if isinstance(options, dict) else None
    deleted = store.delete(target, preconditions or {})
    if target.plural == "pods":
        return deleted
    details = {"name": target.name, "group": target.group, "kind": target.plural}
    details["uid"] = deleted["metadata"]["uid"]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _document(request: Request, target: Resource) -> Json:
    if request.content_type not in ("", "application/json"):
        raise status.unsupported_media_type("application/json", "application/yaml")
    unrecognized = (
        f"the object provided is unrecognized (must be of type {target.kind}): couldn't get "
        "version/kind; json parse error: {}"
    )
    given = _parsed(request, unrecognized)
    if not isinstance(given, dict):
        why = "json: cannot unmarshal into Go value of type struct"
        raise status.bad_request(unrecognized.format(why))
    return given


def _parsed(request: Request, refusal: str) -> Any:
    try:
        return json.loads(request.body or b"")
    except ValueError as error:
        why = refusal.format("unexpected end of JSON input")
        raise status.bad_request(why) from error


def _number(query: Mapping[str, str], key: str) -> int:
    value = query.get(key) or "0"
    if not value.isdecimal():
        raise status.bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax')
    return int(value)


def _token(version: int, start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"rv": version, "start": start}).encode()).decode()


def _continuation(token: str) -> tuple[int, int]:
    try:
        document = json.loads(base64.urlsafe_b64decode(token))
        return document["rv"], document["start"]
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise status.bad_request("continue key is not valid") from error
