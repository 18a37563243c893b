"""Watches: streams of changes, and how they end."""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from .asking import NADS, P1, PODS, Client
from .server import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path) as api:
        yield api


@contextmanager
def _watching(api: ApiServer, query: str, path: str = PODS) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a watch, which is ended with the block."""
    with Client(api) as client:
        response = client.send("GET", f"{path}?watch=true&{query}")
        assert (response.status, response.headers["Transfer-Encoding"]) == (200, "chunked")
        yield (json.loads(line) for line in response)


def _told(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


def test_changes_after_a_version(api: ApiServer) -> None:
    api.pod("default", "p0")
    version = api.pod("default", "p1")["metadata"]["resourceVersion"]
    with _watching(api, f"resourceVersion={version}&timeoutSeconds=30") as events:
        api.pod("default", "p2")
        api.pod("elsewhere", "p3")
        api.nad("default", "n1", None)
        api.put_object(P1, {"metadata": {"labels": {"a": "b"}}})
        api.delete(P1)
        seen = [next(events) for _ in range(3)]
    assert [_told(event) for event in seen] == [
        ("ADDED", "p2"), ("MODIFIED", "p1"), ("DELETED", "p1"),
    ]  # fmt: skip
    assert seen[0]["object"]["kind"] == "Pod"
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(versions)
    assert len(set(versions)) == 3


@pytest.mark.parametrize("query", ["", "resourceVersion=0"])
def test_from_no_version_it_begins_with_all(api: ApiServer, query: str) -> None:
    api.pod("default", "p1")
    api.pod("default", "p2")
    with _watching(api, f"{query}&timeoutSeconds=30") as events:
        assert [_told(next(events)) for _ in range(2)] == [("ADDED", "p1"), ("ADDED", "p2")]
        api.delete(P1)
        assert _told(next(events)) == ("DELETED", "p1")


def test_of_one_object(api: ApiServer) -> None:
    api.nad("default", "n0", None)
    with _watching(api, "resourceVersion=1&timeoutSeconds=30", f"{NADS}/n1") as events:
        api.nad("default", "n2", None)
        api.nad("default", "n1", "{}")
        assert _told(next(events)) == ("ADDED", "n1")


def test_an_object_that_leaves_the_selection_is_deleted(api: ApiServer) -> None:
    with _watching(api, "labelSelector=app%3Dweb&timeoutSeconds=30") as events:
        for app in ("web", "web2", "web"):
            api.put_object(P1, {"metadata": {"labels": {"app": app}}})
        kinds = [next(events) for _ in range(3)]
    assert [event["type"] for event in kinds] == ["ADDED", "DELETED", "ADDED"]
    assert kinds[1]["object"]["metadata"]["labels"] == {"app": "web"}


def test_it_ends_after_its_time(api: ApiServer) -> None:
    api.pod("default", "p1")
    with Client(api) as client:
        query = "watch=1&resourceVersion=1001&timeoutSeconds=1&allowWatchBookmarks=true"
        [line] = client.get(f"{PODS}?{query}").body.splitlines()
        assert json.loads(line) == {
            "type": "BOOKMARK",
            "object": {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "1001"}},
        }
        assert client.get(P1).status == 200  # The connection is as good as before.


def test_a_version_that_is_forgotten(api: ApiServer) -> None:
    api.pod("default", "p1")
    api.pod("default", "p2")
    api.compact()
    with _watching(api, "resourceVersion=1") as events:
        [event] = events
    assert event["type"] == "ERROR"
    assert event["object"] | {"metadata": {}} == event["object"]
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"] == "too old resource version: 1 (1002)"
    with _watching(api, "resourceVersion=1002&timeoutSeconds=30") as events:
        api.pod("default", "p3")
        assert _told(next(events)) == ("ADDED", "p3")


def test_what_cannot_be_watched(api: ApiServer) -> None:
    with Client(api) as client:
        refused = client.get(f"{PODS}?watch=true&resourceVersion=x")
        assert refused.status == 500
        assert refused.json["message"].startswith('resourceVersion: Invalid value: "x"')
        assert client.get(f"{PODS}?watch=true&labelSelector=a%20in%20(b)").status == 400
        ended = client.get(f"{PODS}?watch=true&timeoutSeconds=-1")
        assert (ended.status, ended.body) == (200, b"")


def test_a_watch_needs_a_permission_of_its_own(api: ApiServer) -> None:
    api.forbid(api.user, "watch", "pods")
    with Client(api) as client:
        assert client.get(PODS).status == 200
        reply = client.get(f"{PODS}?watch=true")
    assert (reply.status, "cannot watch resource" in reply.json["message"]) == (403, True)


def test_a_stop_ends_it(api: ApiServer) -> None:
    with _watching(api, "") as events:
        api.pod("default", "p1")
        assert _told(next(events)) == ("ADDED", "p1")
        api.stop()
        with suppress(http.client.HTTPException, ConnectionError, ssl.SSLError):
            assert list(events) == []
