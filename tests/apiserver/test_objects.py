"""Objects by their paths: read, created, replaced, deleted, listed; and the refusals' words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from .asking import NADS, P1, PODS, POOLS, Client
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


def _failure(code: int, reason: str, message: str, details: Any = None) -> dict[str, Any]:
    head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    said = {"message": message, "reason": reason, "code": code}
    return head | said | ({} if details is None else {"details": details})


def test_a_pod_is_read_as_it_was_made(api: ApiServer, client: Client) -> None:
    made = api.pod("default", "p1", {"a": "b"}, uid="u1")
    reply = client.get(P1)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json == made == api.get(P1)
    assert reply.json["metadata"]["uid"] == "u1"
    assert re.fullmatch(r"\d+", reply.json["metadata"]["resourceVersion"])
    assert list(reply.json)[:3] == ["kind", "apiVersion", "metadata"]


def test_a_pod_has_an_identity_of_its_own(api: ApiServer) -> None:
    one, other = (api.pod("default", name)["metadata"] for name in ("p1", "p2"))
    assert one["uid"] != other["uid"]
    assert int(other["resourceVersion"]) == int(one["resourceVersion"]) + 1
    assert "annotations" not in one


def test_the_status_is_the_same_object(api: ApiServer, client: Client) -> None:
    pod = api.pod("default", "p1")
    assert client.get(f"{P1}/status").json == pod
    pod["spec"]["nodeName"] = "elsewhere"
    pod["status"]["phase"] = "Running"
    written = client.ask("PUT", f"{P1}/status", pod).json
    assert (written["status"]["phase"], written["spec"]["nodeName"]) == ("Running", "node1")


def test_nads(api: ApiServer, client: Client) -> None:
    api.nad("default", "n1", {"type": "bridge"}, {"k": "v"})
    api.nad("default", "n2", "{ no json")
    api.nad("default", "n3", None)
    n1 = client.get(f"{NADS}/n1").json
    assert n1["kind"] == "NetworkAttachmentDefinition"
    assert n1["apiVersion"] == "k8s.cni.cncf.io/v1"
    assert n1["spec"] == {"config": '{"type": "bridge"}'}
    assert n1["metadata"]["annotations"] == {"k": "v"}
    assert client.get(f"{NADS}/n2").json["spec"] == {"config": "{ no json"}
    assert "spec" not in client.get(f"{NADS}/n3").json


def test_what_is_not_there(client: Client) -> None:
    for path, group, plural in ((P1, "", "pods"), (f"{NADS}/p1", "k8s.cni.cncf.io", "")):
        plural = plural or "network-attachment-definitions"
        qualified = f"{plural}.{group}" if group else plural
        details = {"name": "p1", "kind": plural} | ({"group": group} if group else {})
        for method in ("GET", "DELETE"):
            reply = client.ask(method, path)
            assert reply.status == 404
            assert reply.json == _failure(404, "NotFound", f'{qualified} "p1" not found', details)
    assert client.ask("PUT", P1, {"metadata": {"name": "p1"}}).status == 404
    assert client.merge(P1, {}).status == 404


@pytest.mark.parametrize("path", ["/", "/api/v1/", "/apis/group", f"{P1}/log/x", "/nowhere"])
def test_paths_that_name_nothing(client: Client, path: str) -> None:
    reply = client.get(path)
    assert (reply.status, reply.body) == (404, b"404 page not found\n")


def test_subresources_that_are_not_there(api: ApiServer, client: Client) -> None:
    api.pod("default", "p1")
    reply = client.get(f"{P1}/log")
    message = "the server could not find the requested resource"
    assert (reply.status, reply.json) == (404, _failure(404, "NotFound", message, {}))


def test_leases_are_created_by_put(api: ApiServer, client: Client) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l1"
    lease = {"metadata": {"name": "l1"}, "spec": {"holderIdentity": "a"}}
    made = client.ask("PUT", path, lease)
    assert (made.status, made.json) == (201, api.get(path))
    assert "must be specified for an update" in client.ask("PUT", path, lease).json["message"]
    made.json["spec"] = {"holderIdentity": "b"}
    assert client.ask("PUT", path, made.json).status == 200


def test_create(api: ApiServer, client: Client) -> None:
    reply = client.ask("POST", PODS, {"metadata": {"name": "p1"}}, "application/json")
    assert reply.status == 201
    assert reply.json["metadata"]["namespace"] == "default"
    assert reply.json["kind"] == "Pod"
    assert api.get(P1) == reply.json
    again = client.ask("POST", PODS, {"metadata": {"name": "p1"}})
    assert again.status == 409
    details = {"name": "p1", "kind": "pods"}
    assert again.json == _failure(409, "AlreadyExists", 'pods "p1" already exists', details)


def test_create_by_a_generated_name(api: ApiServer, client: Client) -> None:
    path = "/api/v1/namespaces/default/events"
    for _ in range(2):
        event = {"metadata": {"generateName": "p1."}, "reason": "AddedInterface"}
        assert client.ask("POST", path, event).status == 201
    one, other = api.events("default")
    assert one["metadata"]["name"].startswith("p1.")
    assert one["metadata"]["name"] != other["metadata"]["name"]
    assert api.events("elsewhere") == []


@pytest.mark.parametrize(
    ("document", "status", "words"),
    [
        ({"metadata": {}}, 422, 'Pod "" is invalid: metadata.name: Required value'),
        ({}, 422, "metadata.name: Required value"),
        ({"kind": "Service", "metadata": {"name": "x"}}, 400, "must be of type Pod"),
        ({"metadata": {"name": "x", "namespace": "other"}}, 400, "does not match the namespace"),
        ({"metadata": {"name": "x", "resourceVersion": "5"}}, 500, "should not be set"),
        ({"metadata": {"name": "x", "annotations": {"a": 1}}}, 400, "cannot unmarshal number"),
        ({"metadata": {"name": "x", "labels": []}}, 201, ""),
        ({"metadata": {"name": "x", "labels": [1]}}, 400, "cannot unmarshal array"),
        (
            {"metadata": {"name": "x", "annotations": {"a": "ä" * (128 << 10)}}},
            422,
            "metadata.annotations: Too long: must have at most 262144 bytes",
        ),
        ("{", 400, ""),
        ("[]", 400, ""),
        ("", 400, ""),
    ],
)
def test_what_cannot_be_created(client: Client, document: Any, status: int, words: str) -> None:
    reply = client.ask("POST", PODS, document)
    assert reply.status == status
    assert words in reply.json.get("message", "")


def test_a_custom_resource_must_say_what_it_is(client: Client) -> None:
    reply = client.ask("POST", NADS, {"metadata": {"name": "n1"}})
    assert (reply.status, "Object 'Kind' is missing" in reply.json["message"]) == (400, True)


def test_replace(api: ApiServer, client: Client) -> None:
    pod = api.pod("default", "p1", uid="u1")
    pod["metadata"]["annotations"] = {"a": "1"}
    reply = client.ask("PUT", P1, pod)
    assert reply.status == 200
    assert reply.json["metadata"]["annotations"] == {"a": "1"}
    assert reply.json["metadata"]["resourceVersion"] > pod["metadata"]["resourceVersion"]
    stale = client.ask("PUT", P1, pod)
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")
    assert stale.json["message"] == (
        'Operation cannot be fulfilled on pods "p1": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert stale.json["details"] == {"name": "p1", "kind": "pods"}


def test_replace_without_a_version(api: ApiServer, client: Client) -> None:
    api.pod("default", "p1")
    assert client.ask("PUT", P1, {"metadata": {"name": "p1"}}).status == 200
    nad = api.nad("default", "n1", None)
    del nad["metadata"]["resourceVersion"]
    reply = client.ask("PUT", f"{NADS}/n1", nad)
    assert reply.status == 422
    assert reply.json["message"] == (
        'network-attachment-definitions.k8s.cni.cncf.io "n1" is invalid: '
        "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
    )


def test_replace_another_pod_of_the_same_name(api: ApiServer, client: Client) -> None:
    api.pod("default", "p1", uid="u2")
    reply = client.ask("PUT", f"{P1}/status", {"metadata": {"name": "p1", "uid": "u1"}})
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert reply.json["message"] == (
        'Operation cannot be fulfilled on pods "p1": StorageError: invalid object, Code: 4, '
        "Key: /registry/pods/default/p1, ResourceVersion: 0, AdditionalErrorMsg: Precondition "
        "failed: UID in precondition: u1, UID in object meta: u2"
    )


def test_replace_under_another_name(api: ApiServer, client: Client) -> None:
    api.pod("default", "p1")
    reply = client.ask("PUT", P1, {"metadata": {"name": "p2"}})
    assert reply.status == 400
    assert (
        "name of the object (p2) does not match the name on the URL (p1)" in (reply.json["message"])
    )


def test_a_write_that_changes_nothing_keeps_the_version(api: ApiServer, client: Client) -> None:
    pod = api.pod("default", "p1", {"a": "b"})
    assert client.ask("PUT", P1, pod).json == pod
    assert client.merge(P1, {"metadata": {"annotations": {"a": "b"}}}).json == pod


def test_delete(api: ApiServer, client: Client) -> None:
    pod = api.pod("default", "p1")
    nad = api.nad("default", "n1", None)
    assert client.ask("DELETE", P1).json == pod
    reply = client.ask("DELETE", f"{NADS}/n1", {"kind": "DeleteOptions", "apiVersion": "v1"})
    assert reply.json["status"] == "Success"
    assert reply.json["details"]["uid"] == nad["metadata"]["uid"]
    assert api.get(P1) is api.get(f"{NADS}/n1") is None


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
def test_delete_with_preconditions(api: ApiServer, client: Client, field: str) -> None:
    pod = api.pod("default", "p1")
    options: dict[str, Any] = {"preconditions": {field: "other"}}
    reply = client.ask("DELETE", P1, options)
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert 'on Pod "p1": the ' in reply.json["message"]
    options["preconditions"][field] = pod["metadata"][field]
    assert client.ask("DELETE", P1, options).status == 200


def test_methods_that_make_no_sense(client: Client) -> None:
    for method, path in (("POST", P1), ("PUT", PODS), ("PATCH", PODS), ("DELETE", PODS)):
        reply = client.ask(method, path, {})
        assert (reply.status, reply.json["reason"]) == (405, "MethodNotAllowed")


def test_kinds_that_nobody_has_told_of(client: Client) -> None:
    pool = {
        "kind": "IPPool",
        "apiVersion": "whereabouts.cni.cncf.io/v1alpha1",
        "metadata": {"name": "10.0.0.0-8"},
        "spec": {"range": "10.0.0.0/8", "allocations": {}},
    }
    assert client.ask("POST", POOLS, pool).status == 201
    assert client.get(POOLS).json["kind"] == "IPPoolList"
    thing = {"kind": "Policy", "apiVersion": "x.org/v2", "metadata": {"name": "t"}}
    assert client.ask("POST", "/apis/x.org/v2/policies", thing).status == 201
    listed = client.get("/apis/x.org/v2/policies").json
    assert (listed["kind"], listed["apiVersion"]) == ("PolicyList", "x.org/v2")
    assert listed["items"][0]["kind"] == "Policy"
    assert "namespace" not in listed["items"][0]["metadata"]


def test_namespaces_are_objects_too(api: ApiServer, client: Client) -> None:
    api.put_object("/api/v1/namespaces/default", {"metadata": {"labels": {"a": "b"}}})
    assert client.get("/api/v1/namespaces/default").json["kind"] == "Namespace"
    assert len(client.get("/api/v1/namespaces").json["items"]) == 1


def test_put_object_does_not_ask_for_versions(api: ApiServer, client: Client) -> None:
    first = api.put_object(P1, {"spec": {}})
    second = api.put_object(P1, {"metadata": {"resourceVersion": "1", "annotations": {"a": "b"}}})
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert client.get(P1).json == second
    assert api.put_object(P1, {"metadata": {"uid": "new"}})["metadata"]["uid"] == "new"
    api.delete(P1)
    api.delete(P1)
    assert api.get(P1) is None


def test_what_is_given_out_is_a_copy(api: ApiServer) -> None:
    api.pod("default", "p1", {"a": "b"})["metadata"]["annotations"]["a"] = "c"
    pod = api.get(P1)
    assert pod is not None
    pod["spec"].clear()
    assert api.get(P1) != pod


def test_long_answers_come_in_chunks(api: ApiServer, client: Client) -> None:
    api.pod("default", "p1", {"a": "x" * 10_000})
    reply = client.get(P1)
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert reply.json["metadata"]["annotations"]["a"] == "x" * 10_000
    assert "Content-Length" in client.get(f"{PODS}/p2").headers


def test_a_body_above_the_limit(client: Client) -> None:
    reply = client.ask("POST", PODS, b" " * (3 << 20) + b"{}")
    assert (reply.status, reply.json["reason"]) == (413, "RequestEntityTooLarge")


def test_probes_need_no_credentials(api: ApiServer) -> None:
    with Client(api, token="") as nobody:
        assert nobody.get("/readyz").body == b"ok"
        assert "gitVersion" in nobody.get("/version").json
