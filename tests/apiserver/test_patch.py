"""The patches: the examples of their RFCs, and what the server makes of them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from .asking import JSON_PATCH, NADS, P1, Client
from .patch import Inapplicable, Malformed, applied, merged, same
from .server import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path) as api:
        yield api


@pytest.fixture
def client(api: ApiServer) -> Iterator[Client]:
    with Client(api) as client:
        yield client


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert merged(target, patch) == result
    assert target == before


@pytest.mark.parametrize(
    ("document", "operations", "result"),
    [  # RFC 6902, appendix A, and the edges beside
        ({"foo": "bar"}, [("add", "/baz", "qux")], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["a", "b"]}, [("add", "/foo/1", "x")], {"foo": ["a", "x", "b"]}),
        ({"foo": ["a"]}, [("add", "/foo/1", "x")], {"foo": ["a", "x"]}),
        ({"foo": ["a"]}, [("add", "/foo/-", ["x"])], {"foo": ["a", ["x"]]}),
        ({"baz": "qux", "foo": "bar"}, [("remove", "/baz")], {"foo": "bar"}),
        ({"foo": ["a", "b", "c"]}, [("remove", "/foo/1")], {"foo": ["a", "c"]}),
        ({"baz": "qux"}, [("replace", "/baz", "boo")], {"baz": "boo"}),
        ({"a": [1, 2]}, [("replace", "/a/0", 3)], {"a": [3, 2]}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [("move", "/qux/thud", "/foo/waldo")],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        ({"foo": ["a", "b", "c"]}, [("move", "/foo/2", "/foo/0")], {"foo": ["b", "c", "a"]}),
        (
            {"a": {"b": 1}},
            [("copy", "/c", "/a"), ("add", "/c/d", 2)],
            {"a": {"b": 1}, "c": {"b": 1, "d": 2}},
        ),
        ({"baz": "qux"}, [("test", "/baz", "qux")], {"baz": "qux"}),
        ({"a": [1, {"b": 2.0}]}, [("test", "/a", [1.0, {"b": 2}])], {"a": [1, {"b": 2.0}]}),
        ({"foo": None}, [("test", "/foo", None), ("test", "/bar", None)], {"foo": None}),
        ({"/": 9, "~1": 10}, [("test", "/~01", 10), ("remove", "/~1")], {"~1": 10}),
        ({"": 1}, [("replace", "/", 2)], {"": 2}),
        ({"a": 1}, [("replace", "", {"b": 2}), ("add", "/c", 3)], {"b": 2, "c": 3}),
        ({"foo": "bar"}, [("add", "/child", {"g": {}})], {"foo": "bar", "child": {"g": {}}}),
        ({"a": 1}, [], {"a": 1}),
    ],
)
def test_apply(document: Any, operations: list[tuple[Any, ...]], result: Any) -> None:
    before = copy.deepcopy(document)
    assert applied(document, [_operation(*operation) for operation in operations]) == result
    assert document == before


def _operation(op: str, path: str, value: Any = None) -> dict[str, Any]:
    if op in ("move", "copy"):
        return {"op": op, "path": path, "from": value}
    return {"op": op, "path": path} | ({} if op == "remove" else {"value": value})


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": "2"},
        {"op": "test", "path": "/a", "value": True},
        {"op": "test", "path": "/missing", "value": 1},
        {"op": "add", "path": "/missing/b", "value": 1},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "add", "path": "/list/3", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/list/-1", "value": 1},
        {"op": "add", "path": "/b"},
        {"op": "add", "path": "b", "value": 1},
        {"op": "add", "value": 1},
        {"op": "remove", "path": "/missing"},
        {"op": "remove", "path": "/list/2"},
        {"op": "remove", "path": "/list/-"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "move", "path": "/object/inner", "from": "/object"},
        {"op": "copy", "path": "/b", "from": "/missing"},
        {"op": "spin", "path": "/a"},
        {"path": "/a"},
    ],
)
def test_operations_that_cannot_be_applied(operation: dict[str, Any]) -> None:
    with pytest.raises(Inapplicable):
        applied({"a": 1, "list": [1, 2], "object": {}}, [operation])


def test_what_is_no_patch() -> None:
    patches: list[Any] = [{}, "x", [1], [None]]
    for patch in patches:
        with pytest.raises(Malformed):
            applied({}, patch)


def test_json_has_no_true_that_is_one() -> None:
    assert same({"a": [1, None]}, {"a": [1.0, None]})
    assert not same(True, 1)
    assert not same([False], [0])
    assert not same({"a": 1}, {"a": 1, "b": 1})


@pytest.mark.parametrize("path", [P1, f"{P1}/status"])
def test_a_merge_patch(api: ApiServer, client: Client, path: str) -> None:
    pod = api.pod("default", "p1", {"a": "1", "b": "2"})
    reply = client.merge(path, {"metadata": {"annotations": {"a": None, "c": "3"}}})
    assert reply.status == 200
    metadata = reply.json["metadata"]
    assert metadata["annotations"] == {"b": "2", "c": "3"}
    assert metadata["uid"] == pod["metadata"]["uid"]
    assert int(metadata["resourceVersion"]) > int(pod["metadata"]["resourceVersion"])
    assert api.get(P1) == reply.json


def test_a_merge_patch_with_a_version(api: ApiServer, client: Client) -> None:
    version = api.pod("default", "p1")["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version, "annotations": {"a": "b"}}}
    assert client.merge(P1, patch).status == 200
    patch["metadata"]["annotations"] = {"a": "c"}
    reply = client.merge(P1, patch)
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert "the object has been modified" in reply.json["message"]


def test_a_merge_patch_for_another_pod_of_the_same_name(api: ApiServer, client: Client) -> None:
    api.pod("default", "p1", uid="u2")
    reply = client.merge(P1, {"metadata": {"uid": "u1", "annotations": {"a": "b"}}})
    # An immutable field, and not the precondition that it is in a PUT.
    assert reply.status == 422
    assert reply.json["reason"] == "Invalid"
    assert reply.json["message"] == (
        'Pod "p1" is invalid: metadata.uid: Invalid value: "u1": field is immutable'
    )
    assert reply.json["details"] == {
        "name": "p1",
        "kind": "Pod",
        "causes": [
            {
                "reason": "FieldValueInvalid",
                "message": 'Invalid value: "u1": field is immutable',
                "field": "metadata.uid",
            }
        ],
    }
    assert client.merge(P1, {"metadata": {"uid": "u2", "labels": {"a": "b"}}}).status == 200


def test_a_json_patch(api: ApiServer, client: Client) -> None:
    version = api.nad("default", "n1", "{}")["metadata"]["resourceVersion"]
    patch = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/spec/more", "value": [1]},
        {"op": "replace", "path": "/spec/config", "value": "x"},
    ]
    reply = client.ask("PATCH", f"{NADS}/n1", patch, f"{JSON_PATCH}; charset=utf-8")
    assert (reply.status, reply.json["spec"]) == (200, {"config": "x", "more": [1]})
    failed = client.ask("PATCH", f"{NADS}/n1", patch, JSON_PATCH)
    assert failed.status == 422
    assert failed.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    }


@pytest.mark.parametrize(
    ("content_type", "patch", "status"),
    [
        (JSON_PATCH, {}, 400),
        (JSON_PATCH, "[", 400),
        (JSON_PATCH, [{"op": "remove", "path": "/none"}], 422),
        (JSON_PATCH, [{"op": "replace", "path": "", "value": 1}], 422),
        (JSON_PATCH, [{"op": "replace", "path": "/metadata/name", "value": "p2"}], 400),
        (JSON_PATCH, [{"op": "add", "path": "/metadata/annotations", "value": {"a": 1}}], 422),
        ("application/merge-patch+json", [], 422),
        ("application/merge-patch+json", "{", 400),
        ("application/merge-patch+json", {"metadata": {"annotations": {"a": 1}}}, 422),
        ("application/merge-patch+json", {"metadata": 1}, 422),
        ("application/merge-patch+json", {"metadata": {"namespace": "other"}}, 400),
        ("application/strategic-merge-patch+json", {}, 415),
        ("application/json", {}, 415),
        ("", {}, 415),
    ],
)
def test_patches_that_are_refused(
    api: ApiServer, client: Client, content_type: str, patch: Any, status: int
) -> None:
    pod = api.pod("default", "p1")
    reply = client.ask("PATCH", P1, patch, content_type)
    assert (reply.status, reply.json["code"]) == (status, status)
    assert api.get(P1) == pod


def test_the_words_of_a_media_type_that_is_not_supported(api: ApiServer, client: Client) -> None:
    api.pod("default", "p1")
    reply = client.ask("PATCH", P1, {}, "application/strategic-merge-patch+json")
    assert reply.json["reason"] == "UnsupportedMediaType"
    assert reply.json["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )
