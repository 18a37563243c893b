"""Lists: their version, selectors, pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


@pytest.fixture
def client(api: ApiServer) -> Iterator[Client]:
    with Client(api) as client:
        yield client


def _names(client: Client, path: str) -> list[str]:
    return [item["metadata"]["name"] for item in client.get(path).json["items"]]


def test_a_list_has_the_version_of_the_moment(api: ApiServer, client: Client) -> None:
    empty = client.get(PODS)
    assert empty.status == 200
    assert empty.json["items"] == []
    api.pod("default", "p1")
    last = api.pod("other", "p2")
    listed = client.get(PODS).json
    assert (listed["kind"], listed["apiVersion"]) == ("PodList", "v1")
    assert listed["metadata"] == {"resourceVersion": last["metadata"]["resourceVersion"]}
    assert [item["metadata"]["name"] for item in listed["items"]] == ["p1"]
    assert _names(client, "/api/v1/pods") == ["p1", "p2"]


def test_items_of_the_servers_own_types_do_not_say_their_kind(
    api: ApiServer, client: Client
) -> None:
    api.pod("default", "p1")
    api.nad("default", "n1", None)
    assert "kind" not in client.get(PODS).json["items"][0]
    assert client.get(NADS).json["items"][0]["kind"] == "NetworkAttachmentDefinition"


def test_selectors(api: ApiServer, client: Client) -> None:
    for number in range(4):
        api.put_object(
            f"{PODS}/p{number}",
            {
                "metadata": {"labels": {"app": "web" if number % 2 else "db", f"l{number}": ""}},
                "spec": {"nodeName": f"node{number}"},
            },
        )
    for query, names in (
        ("fieldSelector=metadata.name%3Dp1", ["p1"]),
        ("fieldSelector=spec.nodeName%3D%3Dnode2", ["p2"]),
        ("fieldSelector=spec.nodeName!=node2,metadata.name!=p0", ["p1", "p3"]),
        ("fieldSelector=metadata.namespace=default", ["p0", "p1", "p2", "p3"]),
        ("labelSelector=app=web", ["p1", "p3"]),
        ("labelSelector=app%3D%3Dweb,l1", ["p1"]),
        ("labelSelector=app!=web,!l0", ["p2"]),
        ("labelSelector=app=web&fieldSelector=metadata.name=p0", []),
    ):
        assert _names(client, f"{PODS}?{query}") == names, query


def test_selectors_that_the_server_does_not_have(client: Client) -> None:
    for path in (NADS, PODS):
        reply = client.get(f"{path}?fieldSelector=spec.x%3Dy")
        assert (reply.status, reply.json["message"]) == (400, "field label not supported: spec.x")
    assert client.get(f"{PODS}?labelSelector=app%20in%20(a)").status == 400


def test_pages(api: ApiServer, client: Client) -> None:
    for number in range(5):
        api.pod("default", f"p{number}")
    first = client.get(f"{PODS}?limit=2").json
    assert first["metadata"]["remainingItemCount"] == 3
    api.delete(P1)
    api.pod("default", "p9")
    second = client.get(f"{PODS}?limit=2&continue={first['metadata']['continue']}").json
    last = client.get(f"{PODS}?limit=2&continue={second['metadata']['continue']}").json
    assert "continue" not in last["metadata"]
    # Of the version of the first page, whatever has happened since.
    pages = [[item["metadata"]["name"] for item in page["items"]] for page in (first, second, last)]
    assert pages == [["p0", "p1"], ["p2", "p3"], ["p4"]]
    versions = {page["metadata"]["resourceVersion"] for page in (first, second, last)}
    assert len(versions) == 1
    assert "continue" not in client.get(f"{PODS}?limit=9").json["metadata"]


def test_pages_that_cannot_be_continued(api: ApiServer, client: Client) -> None:
    for number in range(2):
        api.pod("default", f"p{number}")
    token = client.get(f"{PODS}?limit=1").json["metadata"]["continue"]
    api.compact()
    gone = client.get(f"{PODS}?limit=1&continue={token}")
    assert (gone.status, gone.json["reason"]) == (410, "Expired")
    assert client.get(f"{PODS}?limit=1&continue=xyz").status == 400
    assert client.get(f"{PODS}?limit=x").status == 400
