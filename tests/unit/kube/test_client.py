"""What the client gets done: objects, lists, several calls at a time, tokens that are replaced."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError
from cni.kube import access, client
from cni.kube.client import Call, Client, Limits
from cni.kube.failures import ApiError
from tests.unit.kube.scripted import Scripted, answer, tls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apiserver.server import ApiServer
    from tests.unit.kube.conftest import Connect

PODS = "/api/v1/namespaces/default/pods"
P1 = f"{PODS}/p1"


def asked(api: ApiServer) -> list[tuple[str, str, int]]:
    return [(each.method, each.path, each.status) for each in api.requests]


def name(document: Any) -> str:
    assert isinstance(document, dict), document
    return str(document["metadata"]["name"])


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("auth", ["token", "tokenFile", "certificate", "certificateFiles"])
def test_identities(api: ApiServer, tmp_path: Path, form: Any, auth: Any) -> None:
    api.pod("default", "p1")
    file = api.kubeconfig(tmp_path / "k", form=form, auth=auth, namespace="mine")
    made = Client(partial(access.from_kubeconfig, str(file)))
    assert name(made.get(P1)) == "p1"
    assert made.namespace == "mine"
    wanted = api.user if auth.startswith("token") else api.certificate_user
    assert [each.user for each in api.requests] == [wanted]
    made.close()


@pytest.mark.parametrize("ca", ["data", "file", "skip"])
def test_authorities(api: ApiServer, tmp_path: Path, ca: Any) -> None:
    api.pod("default", "p1")
    file = api.kubeconfig(tmp_path / "k", ca=ca)
    made = Client(partial(access.from_kubeconfig, str(file)))
    assert name(made.get(P1)) == "p1"
    made.close()


def test_objects(api: ApiServer, connect: Connect) -> None:
    made = connect()
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p1"}, "spec": {}}
    created = made.create(PODS, pod)
    assert name(created) == "p1"
    patched = made.merge_patch(f"{P1}/status", {"metadata": {"annotations": {"a": "ä\n"}}})
    assert patched["metadata"]["annotations"] == {"a": "ä\n"}
    patched["metadata"]["annotations"]["b"] = "2"
    replaced = made.put(P1, patched)
    assert replaced["metadata"]["annotations"] == {"a": "ä\n", "b": "2"}
    with pytest.raises(ApiError) as raised:
        made.put(P1, patched)
    assert (raised.value.status, raised.value.code) == (409, 11)
    with pytest.raises(ApiError, match='pods "p1" already exists'):
        made.create(PODS, pod)
    assert made.get(P1) == replaced
    assert [each.content_type for each in api.requests[:3]] == [
        "application/json",
        "application/merge-patch+json",
        "application/json",
    ]
    assert api.connections == 1


def test_lists(api: ApiServer, connect: Connect) -> None:
    for number in range(7):
        api.pod("default", f"p{number}")
    made = connect()
    items, version = made.items(PODS)
    assert [name(each) for each in items] == [f"p{number}" for number in range(7)]
    assert version.isdigit()
    api.clear()
    again, same = made.items(f"{PODS}?limit=3")
    assert (again, same) == (items, version)
    assert len(api.requests) == 3
    assert "continue=" not in api.requests[0].path
    assert all("limit=3&continue=" in each.path for each in api.requests[1:])
    assert made.items("/api/v1/namespaces/none/pods") == ([], version)


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ({"items": None}, ([], "")),
        ({"items": [], "metadata": None}, ([], "")),
        ({"items": [None, 5, {}], "metadata": {"resourceVersion": 7}}, ([{}], "7")),
        ({}, None),
        ({"items": {}}, None),
        ({"items": 5}, None),
        ({"kind": "Status", "status": "Success"}, None),
    ],
)
def test_odd_lists(api: ApiServer, connect: Connect, document: Any, wanted: Any) -> None:
    """What is no list is not taken for an empty one: somebody may delete what is not in it."""
    api.fail(body=json.dumps(document))
    if wanted is None:
        with pytest.raises(ApiError, match=f"GET {PODS}: the answer is not a list") as raised:
            connect().items(PODS)
        assert raised.value.code == 11
    else:
        assert connect().items(PODS) == wanted


def test_a_list_that_never_ends_is_ended_by_the_budget(api: ApiServer, connect: Connect) -> None:
    endless = {"items": [], "metadata": {"continue": "more"}}
    api.fail(None, body=json.dumps(endless), delay=0.05)
    with pytest.raises(ApiError) as raised:
        connect(total=0.5).items(PODS)
    assert raised.value.code == 11


def test_connections_are_kept(api: ApiServer, connect: Connect) -> None:
    api.pod("default", "p1", {"long": "x" * 100_000})  # in chunks
    made = connect()
    for _ in range(3):
        made.get(P1)
        with pytest.raises(ApiError):
            made.get(f"{PODS}/none")
    assert (len(api.requests), api.connections) == (6, 1)


def test_side_by_side(api: ApiServer, connect: Connect) -> None:
    """In order, whichever comes first; and by no more connections than calls."""
    for number in range(4):
        api.pod("default", f"p{number}")
    made = connect()
    made.get(f"{PODS}/p0")
    api.fail(path=f"{PODS}/p0", delay=0.3)
    calls = [Call("GET", f"{PODS}/p{number}") for number in range(4)]
    for _ in range(2):
        assert [name(each) for each in made.side_by_side(calls)] == ["p0", "p1", "p2", "p3"]
    assert len(api.requests) == 9
    assert api.connections <= 4
    assert made.side_by_side([]) == []


def test_they_are_at_the_server_together(api: ApiServer, connect: Connect) -> None:
    for number in range(3):
        api.pod("default", f"p{number}")
    api.fail(3, kind="silent")
    done: list[Any] = []
    calls = [Call("GET", f"{PODS}/p{number}") for number in range(3)]
    made = connect()
    thread = threading.Thread(target=lambda: done.extend(made.side_by_side(calls)))
    thread.start()
    wait_for(lambda: len(api.requests) == 3)
    api.heal()  # cuts them; all are tried again
    thread.join(30)
    assert [name(each) for each in done] == ["p0", "p1", "p2"]


def test_one_fails_and_the_others_do_not(api: ApiServer, connect: Connect) -> None:
    api.pod("default", "p0")
    api.pod("default", "p2")
    api.fail(None, path=f"{PODS}/p3", kind="silent")
    api.fail(None, path=f"{PODS}/p4", kind="cut")
    calls = [Call("GET", f"{PODS}/p{number}") for number in range(5)]
    got = connect(total=1).side_by_side(calls)
    assert [name(got[0]), name(got[2])] == ["p0", "p2"]
    errors = [each for each in got if isinstance(each, ApiError)]
    assert [each.status for each in errors] == [404, 0, 0]
    assert [each.reason for each in errors[1:]] == [
        "no answer in time",
        "Remote end closed connection without response",
    ]


def test_many_calls_go_by_few_connections(api: ApiServer, connect: Connect) -> None:
    """How many there are is the choice of whoever writes a pod's annotation."""
    for number in range(60):
        api.pod("default", f"p{number}")
    calls = [Call("GET", f"{PODS}/p{number}") for number in range(60)]
    got = connect().side_by_side(calls)
    assert [name(each) for each in got] == [f"p{number}" for number in range(60)]
    assert api.connections <= 8
    assert len(api.requests) == 60


def test_a_bug_in_one_call_is_an_error_of_that_one(api: ApiServer, connect: Connect) -> None:
    api.pod("default", "p1")
    odd = Call("POST", PODS, {"set": {1}})
    got = connect().side_by_side([Call("GET", P1), odd, Call("GET", P1)])
    assert [name(got[0]), name(got[2])] == ["p1", "p1"]
    assert isinstance(got[1], CniError)
    assert "internal error: TypeError" in got[1].msg


def test_once(api: ApiServer, connect: Connect) -> None:
    api.pod("default", "p1")
    api.fail(2, status=503)
    made = connect()
    refused, *rest = made.once([Call("GET", P1)], 30)
    assert isinstance(refused, ApiError)
    assert refused.status == 503
    assert not rest
    made.limit(total=30, attempts=1)
    with pytest.raises(ApiError):
        made.get(P1)
    assert name(made.get(P1)) == "p1"
    assert len(api.requests) == 3


# Tokens.


def test_a_token_that_is_replaced(api: ApiServer, tmp_path: Path) -> None:
    api.pod("default", "p1")
    file = api.kubeconfig(tmp_path / "k", auth="tokenFile")
    made = Client(partial(access.from_kubeconfig, str(file)))
    made.get(P1)
    api.tokens.clear()
    api.tokens["newer"] = "multus"
    (tmp_path / "k.token").write_text("newer\n")
    assert name(made.get(P1)) == "p1"
    assert [each[2] for each in asked(api)] == [200, 401, 200]
    made.get(P1)
    assert len(api.requests) == 4
    made.close()


def test_a_kubeconfig_that_is_replaced(api: ApiServer, tmp_path: Path) -> None:
    """All of it: here another server, to which the old token is not shown."""
    body = json.dumps({"metadata": {"name": "elsewhere"}}).encode()
    with Scripted(tls(api.certificates), answer(body)) as other:
        file = api.kubeconfig(tmp_path / "k", token="refused")
        made = Client(partial(access.from_kubeconfig, str(file)))
        api.kubeconfig(tmp_path / "k", token="newer", server=other.url)
        assert name(made.get(P1)) == "elsewhere"
        assert b"Bearer newer" in other.requests[0]
        assert not any(b"refused" in each for each in other.requests)
        made.close()
    assert [each[2] for each in asked(api)] == [401]


def test_a_token_that_stays_refused(api: ApiServer, tmp_path: Path) -> None:
    file = api.kubeconfig(tmp_path / "k", token="stranger-token")
    loads: list[int] = []

    def load() -> access.Access:
        loads.append(1)
        return access.from_kubeconfig(str(file))

    made = Client(load)
    with pytest.raises(ApiError) as raised:
        made.get(P1)
    error = raised.value
    assert (error.code, error.status, error.reason) == (7, 401, "Unauthorized")
    assert error.msg == f"API server {api.url}: GET {P1}: Unauthorized"
    assert error.details == f"kubeconfig {file}"
    assert "stranger-token" not in str(error)
    assert (len(api.requests), len(loads)) == (2, 2)
    made.close()


def test_an_access_that_cannot_be_renewed(api: ApiServer, tmp_path: Path) -> None:
    file = api.kubeconfig(tmp_path / "k", token="refused")
    made = Client(partial(access.from_kubeconfig, str(file)))
    file.write_text("")
    with pytest.raises(CniError) as raised:
        made.get(P1)
    assert raised.value.code == 7
    assert raised.value.msg == (
        f"API server {api.url}: GET {P1}: Unauthorized, and no new access:"
        f" kubeconfig {file}: not an object"
    )
    made.close()


def test_refused_side_by_side_the_access_is_renewed_once(api: ApiServer, tmp_path: Path) -> None:
    for number in range(4):
        api.pod("default", f"p{number}")
    file = api.kubeconfig(tmp_path / "k", auth="tokenFile", token="refused")
    loads: list[int] = []

    def load() -> access.Access:
        loads.append(1)
        return access.from_kubeconfig(str(file))

    made = Client(load)
    (tmp_path / "k.token").write_text(api.token)
    got = made.side_by_side([Call("GET", f"{PODS}/p{number}") for number in range(4)])
    assert [name(each) for each in got] == ["p0", "p1", "p2", "p3"]
    assert len(loads) == 2
    made.close()


def test_defaults() -> None:
    """The original's 250 ms for a call are a known fault."""
    assert Limits() == (2.0, 5.0, 10.0, 100)
    assert client.MERGE_PATCH == "application/merge-patch+json"


def wait_for(condition: Any) -> None:
    event = threading.Event()
    for _ in range(3000):
        if condition():
            return
        event.wait(0.01)
    raise AssertionError("it did not come")
