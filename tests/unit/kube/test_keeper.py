"""Connections that outlive calls: lent when there are some, and never a reason to fail."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError
from cni.kube import connection, http, keeper
from cni.kube.access import from_kubeconfig
from cni.kube.keeper import Exchange, Keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cni.kube.access import Access
    from cni.kube.connection import Answer
    from tests.apiserver.server import ApiServer
    from tests.unit.kube.conftest import Connect

POD = "/api/v1/namespaces/default/pods/web"
PATIENCE = 30.0


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a keeper listens."""
    monkeypatch.setattr(keeper, "_HERE", PATIENCE)
    path = str(tmp_path / "connections")
    ends, alive = os.pipe()
    thread = threading.Thread(target=Keeper().serve, args=(keeper.listen(path), ends))
    thread.start()
    yield path
    os.close(alive)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    os.close(ends)


@pytest.fixture
def access(api: ApiServer, tmp_path: Path) -> Access:
    api.pod("default", "web")
    return from_kubeconfig(str(api.kubeconfig(tmp_path / "own-kubeconfig", form="json")))


def ask(
    path: str, access: Access, *, method: str = "GET", what: str = POD, seconds: float = PATIENCE
) -> Answer | None:
    headers = {"Authorization": f"Bearer {access.token}", "Accept": "application/json"}
    return keeper.ask(path, Exchange(access, method, what, headers, None, seconds))


def warm(api: ApiServer, path: str, access: Access) -> None:
    """The keeper has a connection."""
    before = api.connections
    assert ask(path, access) is None
    until(lambda: api.connections > before, "it does not connect")
    until(lambda: ask(path, access), "it has none")


def test_what_it_has_not_it_makes_for_the_next(api: ApiServer, kept: str, access: Access) -> None:
    warm(api, kept, access)
    made = api.connections
    for _ in range(3):
        answer = ask(kept, access)
        assert answer is not None and answer.status == 200 and b'"web"' in answer.body
    assert api.connections == made


def test_an_error_of_the_server_is_an_answer(api: ApiServer, kept: str, access: Access) -> None:
    warm(api, kept, access)
    answer = ask(kept, access, what=f"{POD}-none")
    assert answer is not None and answer.status == 404


def test_a_token_goes_with_the_request(api: ApiServer, kept: str, access: Access) -> None:
    warm(api, kept, access)
    made = api.connections
    answer = ask(kept, access._replace(token="another"))
    assert answer is not None and answer.status == 401
    assert api.connections == made


@pytest.mark.parametrize("other", [{"ca": ""}, {"verify": False}, {"server_name": "kubernetes"}])
def test_nobody_gets_a_connection_that_was_made_for_another(
    api: ApiServer, kept: str, access: Access, other: dict[str, str]
) -> None:
    warm(api, kept, access)
    assert ask(kept, access._replace(**other)) is None  # type: ignore[arg-type]


def test_a_server_that_was_away(api: ApiServer, kept: str, access: Access) -> None:
    """Nothing was done, and the call goes on by itself."""
    warm(api, kept, access)
    api.stop()
    api.start()
    until(lambda: ask(kept, access), "it does not connect again")


def test_a_server_without_a_certificate_that_is_trusted(
    api: ApiServer, kept: str, access: Access
) -> None:
    stranger = access._replace(ca="")
    for _ in range(3):
        assert ask(kept, stranger) is None
    warm(api, kept, access)


def test_an_answer_that_does_not_come(api: ApiServer, kept: str, access: Access) -> None:
    warm(api, kept, access)
    api.fail(kind="silent")
    with pytest.raises(TimeoutError, match="no answer in time"):
        ask(kept, access, seconds=0.3)


def test_an_answer_that_is_cut_short(api: ApiServer, kept: str, access: Access) -> None:
    warm(api, kept, access)
    api.fail(kind="length")
    with pytest.raises(http.CutShortError):
        ask(kept, access)


def test_an_answer_that_is_too_large(
    api: ApiServer, kept: str, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm(api, kept, access)
    monkeypatch.setattr(connection, "MAX_ANSWER", 100)
    with pytest.raises(connection.TooLargeError):
        ask(kept, access)


def test_without_a_keeper(access: Access, tmp_path: Path) -> None:
    assert ask(str(tmp_path / "nobody"), access) is None


def test_those_that_nobody_used(
    api: ApiServer, kept: str, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm(api, kept, access)
    monkeypatch.setattr(keeper, "_IDLE", 0.0)
    ask(kept, access._replace(server="https://127.0.0.1:1"))  # it looks whenever it wakes
    until(lambda: ask(kept, access) is None, "it is kept")


def test_a_client_uses_it(
    api: ApiServer, kept: str, access: Access, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answers and errors, by no connection of its own."""
    monkeypatch.setattr(connection, "KEEPER", kept)
    warm(api, kept, access)
    made = api.connections
    for _ in range(3):
        assert connect().get(POD)["metadata"]["name"] == "web"
    with pytest.raises(CniError, match="not found"):
        connect().get(f"{POD}-none")
    assert api.connections == made


def test_a_client_goes_on_without_it(
    api: ApiServer, kept: str, access: Access, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEEPER", kept)
    warm(api, kept, access)
    api.stop()
    api.start()
    assert connect().get(POD)["metadata"]["name"] == "web"
