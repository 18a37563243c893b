"""What the server sees to in an object's metadata before it stores it."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from typing import TYPE_CHECKING, Any

from . import status
from .resources import KINDS

if TYPE_CHECKING:
    from .resources import Resource

Json = dict[str, Any]

MAX_ANNOTATIONS = 256 << 10  #: bytes of all keys and values


def for_creation(target: Resource, given: Json) -> tuple[Resource, Json]:
    """The object as it will be stored, but for its version, and the resource with its name."""
    created = recognized(target, given)
    metadata = dict(created["metadata"])
    if metadata.get("resourceVersion"):
        message = "resourceVersion should not be set on objects to be created"
        raise status.Refusal(500, "", message)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + secrets.token_hex(3)[:5]
    name = metadata.get("name")
    if not name or not isinstance(name, str):
        body = "Required value: name or generateName is required"
        raise status.invalid(target, target.kind, "metadata.name", body, "FieldValueRequired")
    target = target._replace(name=name)
    if target.namespace and metadata.setdefault("namespace", target.namespace) != target.namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    _check_place(target, metadata)
    metadata.setdefault("uid", str(uuid.uuid4()))
    metadata.setdefault("creationTimestamp", timestamp())
    created["metadata"] = metadata
    check(target, created)
    return target, created


def for_update(target: Resource, stored: Json, given: Json) -> Json:
    """The object as it will be stored, but for its version, which the given one has checked.

    A write to the status leaves the specification alone.
    """
    updated = recognized(target, given)
    metadata, old = dict(updated["metadata"]), stored["metadata"]
    if not metadata.get("resourceVersion") and target.versioned:
        raise status.invalid(
            target,
            target.plural,
            "metadata.resourceVersion",
            "Invalid value: 0x0: must be specified for an update",
            "FieldValueInvalid",
        )
    if (metadata.get("resourceVersion") or old["resourceVersion"]) != old["resourceVersion"]:
        raise status.conflict(target)
    metadata.setdefault("uid", old["uid"])
    if metadata["uid"] != old["uid"]:
        body = f"Invalid value: {json.dumps(metadata['uid'])}: field is immutable"
        raise status.invalid(target, target.kind, "metadata.uid", body, "FieldValueInvalid")
    metadata["resourceVersion"] = old["resourceVersion"]
    if "creationTimestamp" in old:
        metadata["creationTimestamp"] = old["creationTimestamp"]
    _check_place(target, metadata)
    updated["metadata"] = metadata
    if target.subresource == "status":
        if "spec" in stored:
            updated["spec"] = stored["spec"]
        else:
            updated.pop("spec", None)
    check(target, updated)
    return updated


def recognized(target: Resource, given: Json) -> Json:
    """A copy that says what it is: of a built-in type the path tells that too."""
    if target.built_in:
        given = {"kind": target.kind, "apiVersion": target.api_version} | given
    if not given.get("kind"):
        raise status.bad_request(f"Object 'Kind' is missing in '{json.dumps(given)}'")
    for key, wanted in (("kind", target.kind), ("apiVersion", target.api_version)):
        if target.plural in KINDS and given.get(key) != wanted:
            raise status.bad_request(
                f"the object provided is unrecognized (must be of type {target.kind}): "
                f"no kind {json.dumps(given['kind'])} is registered for version "
                f"{json.dumps(given.get('apiVersion'))}"
            )
    metadata = given.get("metadata")
    return given | {"metadata": metadata if isinstance(metadata, dict) else {}}


def mistyped(document: Any) -> str:
    """Why this is no object with readable metadata, in the words of Go; empty when it is one."""
    if not isinstance(document, dict):
        return f"couldn't get version/kind; json parse error: no object but {_go_name(document)}"
    metadata = document.get("metadata") or {}
    if not isinstance(metadata, dict):
        return f"json: cannot unmarshal {_go_name(metadata)} into Go struct field .metadata"
    for key in ("annotations", "labels"):
        values = metadata.get(key) or {}
        field = f"Go struct field ObjectMeta.metadata.{key}"
        if not isinstance(values, dict):
            return (
                f"json: cannot unmarshal {_go_name(values)} into {field} of type map[string]string"
            )
        for value in values.values():
            if not isinstance(value, str):
                return f"json: cannot unmarshal {_go_name(value)} into {field} of type string"
    return ""


def check(target: Resource, document: Json) -> None:
    """Refuse what is no object, and annotations above the limit."""
    if why := mistyped(document):
        raise status.bad_request(
            f'{target.kind} in version "{target.version}" cannot be handled as a '
            f"{target.kind}: {why}"
        )
    annotations = document["metadata"].get("annotations") or {}
    if sum(len(text.encode()) for item in annotations.items() for text in item) > MAX_ANNOTATIONS:
        body = f"Too long: must have at most {MAX_ANNOTATIONS} bytes"
        raise status.invalid(target, target.kind, "metadata.annotations", body, "FieldValueTooLong")


def timestamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _check_place(target: Resource, metadata: Json) -> None:
    name = metadata.get("name", target.name)
    if name != target.name:
        raise status.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        )
    metadata["name"] = target.name
    if target.namespace:
        if metadata.setdefault("namespace", target.namespace) != target.namespace:
            raise status.bad_request(
                f"the namespace of the object ({metadata['namespace']}) does not match the "
                f"namespace on the request ({target.namespace})"
            )
    else:
        metadata.pop("namespace", None)


def _go_name(value: Any) -> str:
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")
