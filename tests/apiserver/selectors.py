"""Which objects of a collection a request asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from . import status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .resources import Resource

Json = dict[str, Any]

#: all that custom resources can be selected by, and pods beside
_FIELDS = ("metadata.name", "metadata.namespace")
_POD_FIELDS = (
    *_FIELDS,
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)


class _Term(NamedTuple):
    key: str
    wanted: str | None  #: None: any value
    negated: bool

    def admits(self, value: str | None) -> bool:
        there = value is not None if self.wanted is None else value == self.wanted
        return there != self.negated


def selection(target: Resource, query: Mapping[str, str]) -> Callable[[Json], bool]:
    """Whether an object is asked for; raises Refusal 400 for what the server cannot select by."""
    fields = _terms(query.get("fieldSelector", ""))
    labels = _terms(query.get("labelSelector", ""))
    for term in fields:
        if term.wanted is None or not _has_field(target, term.key):
            raise status.bad_request(f"field label not supported: {term.key}")

    def selected(item: Json) -> bool:
        metadata = item["metadata"]
        if target.namespace and metadata.get("namespace") != target.namespace:
            return False
        have = metadata.get("labels") or {}
        return all(term.admits(_field(item, term.key)) for term in fields) and all(
            term.admits(have.get(term.key)) for term in labels
        )

    return selected


def _has_field(target: Resource, key: str) -> bool:
    if target.plural == "pods":
        return key in _POD_FIELDS
    return target.built_in or key in _FIELDS


def _terms(text: str) -> list[_Term]:
    return [_term(part.strip()) for part in text.split(",") if part.strip()]


def _term(text: str) -> _Term:
    for operator in ("!=", "==", "="):
        key, found, wanted = text.partition(operator)
        if found:
            return _Term(key.strip(), wanted.strip(), operator == "!=")
    if " " in text or "(" in text:
        raise status.bad_request(f"unable to parse requirement: {text}")
    return _Term(text.lstrip("!"), None, text.startswith("!"))


def _field(item: Any, key: str) -> str:
    for part in key.split("."):
        item = item.get(part) if isinstance(item, dict) else None
    return "" if item is None else str(item)
