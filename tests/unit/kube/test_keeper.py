"""Connections that outlive calls: lent when there are some, and never a reason to fail."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from cni.agent.start import listen
from cni.core.errors import CniError
from cni.kube import connection, http, keeper
from cni.kube.access import from_kubeconfig
from cni.kube.keeper import Exchange, Keeper
from tests.unit.kube.scripted import Scripted, answer, tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cni.kube.access import Access
    from cni.kube.connection import Answer, Connection
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
    thread = threading.Thread(target=Keeper().serve, args=(listen(path), ends))
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
    return keeper.ask(path, exchange(access, method=method, what=what, seconds=seconds))


def exchange(
    access: Access, *, method: str = "GET", what: str = POD, seconds: float = PATIENCE
) -> Exchange:
    headers = {"Authorization": f"Bearer {access.token}", "Accept": "application/json"}
    return Exchange(access, http.request(method, what, "server", headers, None), seconds)


def keeping(access: Access, number: int) -> Keeper:
    """One that has so many connections."""
    made = Keeper()
    for _ in range(number):
        made._connect(access)
    return made


def lent(by: Keeper, access: Access) -> Connection:
    kept = by._lend(access)
    assert kept is not None
    return kept


def idle(of: Keeper) -> int:
    return sum(len(each) for each in of._idle.values())


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
    monkeypatch.setattr(keeper, "_IDLE", -1.0)
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


# What it does not lend, and no longer keeps.


@pytest.mark.parametrize("kind", ["silent", "cut", "length"])
def test_a_failure_is_that_of_all(api: ApiServer, access: Access, kind: Any) -> None:
    """A server that is gone without a word fails one call, not one for each connection."""
    made = keeping(access, 3)
    api.fail(kind=kind)
    said, _ = made._made(lent(made, access), exchange(access, seconds=0.3))
    assert said == {"silent": "TimeoutError", "cut": "stale", "length": "CutShortError"}[kind]
    assert idle(made) == 0


def test_a_client_tries_it_once(
    api: ApiServer, kept: str, access: Access, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEEPER", kept)
    warm(api, kept, access)
    asked: list[Exchange] = []

    def lose(_: str, exchange: Exchange) -> None:
        asked.append(exchange)
        raise TimeoutError("no answer in time")

    monkeypatch.setattr(keeper, "ask", lose)
    assert connect(attempts=2).get(POD)["metadata"]["name"] == "web"
    assert len(asked) == 1


def test_one_that_has_ended_is_not_lent(api: ApiServer, access: Access) -> None:
    made = keeping(access, 3)
    api.stop()
    assert made._lend(access) is None
    assert idle(made) == 0


def test_one_on_which_something_came_is_not_lent(api: ApiServer, access: Access) -> None:
    """As of a proxy, whose patience is over: that is the answer to nothing."""
    late = answer(b"", "408 Request Time-out", Connection="close")
    with Scripted(None, late) as server:
        stranger = access._replace(server=f"http://127.0.0.1:{server.port}")
        made = keeping(stranger, 1)
        until(lambda: made._lend(stranger) is None, "it is lent")


def test_a_server_that_was_not_asked_in_time(api: ApiServer, access: Access) -> None:
    late = answer(b"", "408 Request Time-out")
    with Scripted(tls(api.certificates), late, kept=True) as server:
        stranger = access._replace(server=server.url)
        made = keeping(stranger, 1)
        assert made._made(lent(made, stranger), exchange(stranger)) == ("stale", "")


def test_one_that_was_never_used_is_kept_for_less_time(
    api: ApiServer, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keeping(access, 2)
    made._made(lent(made, access), exchange(access))
    monkeypatch.setattr(keeper, "_UNUSED", -1.0)
    made._close_idle()
    assert idle(made) == 1
    assert lent(made, access).is_used


def test_no_more_are_kept_than_it_may(
    api: ApiServer, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keeping(access, 3)
    out = [lent(made, access) for _ in range(3)]
    monkeypatch.setattr(keeper, "_MOST", 2)
    for each in out:
        made._keep(access, each)
    assert lent(made, access) is out[2]
    assert lent(made, access) is out[1]
    assert idle(made) == 0


# Who makes the exchange.


def test_a_call_that_has_given_up_makes_it_alone(api: ApiServer, kept: str, access: Access) -> None:
    """The keeper sends nothing for a call that does not say that it still waits."""
    warm(api, kept, access)
    made, seen = api.connections, len(api.requests)
    with socket.socket(socket.AF_UNIX) as call:
        call.connect(kept)
        keeper._send(call, keeper._told(exchange(access, method="DELETE")))
        assert keeper._receive(call) is True
    until(lambda: ask(kept, access), "it has kept none")
    assert [each.method for each in api.requests[seen:]] == ["GET"]
    assert api.connections == made


def test_what_is_no_request_is_none_at_once(
    api: ApiServer, kept: str, access: Access, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without a keeper."""
    monkeypatch.setattr(connection, "KEEPER", kept)
    warm(api, kept, access)
    with pytest.raises(ValueError, match="no request can be made"):
        connect().get(f"{POD} and more")
    assert ask(kept, access)


# What the system has no more of.


def test_no_thread_for_a_call(
    api: ApiServer, kept: str, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That one goes on by itself, the others are served."""
    warm(api, kept, access)
    real, refused = threading.Thread.start, threading.Event()

    def start(thread: threading.Thread) -> None:
        if not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        real(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert ask(kept, access) is None
        assert refused.is_set()
    assert ask(kept, access)
