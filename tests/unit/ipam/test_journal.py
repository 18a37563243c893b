"""The journal: what it keeps, whatever a killed writer, a full disk or a power cut does."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError, Code
from cni.core.types import Attachment
from ipam.stores import Owner, journal
from ipam.stores.journal import LEASED, LEASING, RELEASING, Intent, Journal, Place, intent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WEB = Attachment("net", "c1", "eth0")
ODD = Attachment("net.1-x_", "c" * 300, "eth0/1@☃ +")
PLACE = Place("blue", "fd00::/64", 6, 2**127, {"pool": "p", "any": [1, None, {"x": "ä\n"}]})
NOWHERE = Place("", "10.0.0.0/24", 4, None, {})


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], Journal]:
    """The journal as the next call has it."""
    return lambda: Journal(str(tmp_path), "https://[::1]:6443/kube-system", timeout=30)


def begun(where: Journal, attachment: Attachment = WEB, *places: Place) -> Intent:
    new = intent(Owner(attachment, "default", "web-0", "uid", "node", "/netns"), places)
    with where.entry(attachment) as entry:
        entry.begin(new)
    assert where.read(attachment) == new
    return new


def unfinished(where: Journal) -> list[Intent | None]:
    return [entry.intent for entry in where.unfinished()]


@pytest.mark.parametrize("attachment", [WEB, ODD])
def test_a_life(opened: Callable[[], Journal], attachment: Attachment, tmp_path: Path) -> None:
    assert opened().read(attachment) is None
    assert opened().every() == unfinished(opened()) == []
    new = begun(opened(), attachment, PLACE, NOWHERE)
    assert opened().read(attachment) == new
    assert unfinished(opened()) == [new]
    with opened().entry(attachment) as entry:
        entry.finish(new.now(LEASED, (PLACE,)))
    assert unfinished(opened()) == []
    assert opened().every() == [new._replace(state=LEASED, places=(PLACE,))]
    assert opened().of_network(attachment.network) == [attachment]
    assert opened().of_network("other") == []
    with opened().entry(attachment) as entry:
        assert entry.intent is not None
        entry.begin(entry.intent.now(RELEASING))
    (left,) = opened().every()
    assert (left.state, left.places) == (RELEASING, (PLACE,))
    assert unfinished(opened()) == [left]
    with opened().entry(attachment) as entry:
        entry.forget()
        assert entry.intent is None
    assert opened().read(attachment) is None
    assert opened().every() == []
    left_behind = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert {each.name for each in left_behind} <= {"boot", "boot.lock"}


def test_stores_have_journals_of_their_own(tmp_path: Path) -> None:
    one, two = Journal(str(tmp_path), "a/b"), Journal(str(tmp_path), "a%2Fb")
    begun(one)
    assert two.every() == []


def test_what_a_live_call_does_is_not_unfinished(opened: Callable[[], Journal]) -> None:
    begun(opened(), ODD)
    with opened().entry(WEB) as entry:
        entry.begin(intent(Owner(WEB), ()))
        assert [each and each.owner.attachment for each in unfinished(opened())] == [ODD]
    assert len(unfinished(opened())) == 2


def test_one_call_at_a_time(tmp_path: Path) -> None:
    impatient = Journal(str(tmp_path), "s", timeout=0)
    with impatient.entry(WEB):
        with (
            pytest.raises(CniError, match="in use by another call") as caught,
            impatient.entry(WEB),
        ):
            pass
        with impatient.entry(ODD):
            pass
    assert caught.value.code == Code.TRY_AGAIN_LATER


def test_the_next_call_waits_and_sees_what_was_done(opened: Callable[[], Journal]) -> None:
    seen: list[Intent | None] = []

    def wait() -> None:
        with opened().entry(WEB) as entry:
            seen.append(entry.intent)

    with opened().entry(WEB) as entry:
        thread = threading.Thread(target=wait)
        thread.start()
        new = intent(Owner(WEB), (PLACE,))
        entry.begin(new)
        entry.finish(new.now(LEASED))
    thread.join()
    assert seen == [new.now(LEASED)]


def test_a_torn_line_is_not_read(opened: Callable[[], Journal], tmp_path: Path) -> None:
    """For every length of what is there of it; and what is written behind it is."""
    new = begun(opened())
    (file,) = tmp_path.rglob("open/*")
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole + whole[:length])
        assert opened().read(WEB) == new
        with opened().entry(WEB) as entry:
            entry.begin(new.now(RELEASING))
        found = opened().read(WEB)
        assert found is not None
        assert found.state == RELEASING


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\0" * 100, b"[]\n", b"{}\n", b'{"owner": 1}\n', b"\xff\n", b"[" * 9999]
)
def test_a_file_without_a_line_is_nothing(
    opened: Callable[[], Journal], tmp_path: Path, content: bytes
) -> None:
    begun(opened())
    (file,) = tmp_path.rglob("open/*")
    file.write_bytes(content)
    assert opened().read(WEB) is None
    assert opened().every() == []
    assert unfinished(opened()) == []
    assert not file.exists()


def test_an_intent_of_another_version_is_left_alone(
    opened: Callable[[], Journal], tmp_path: Path
) -> None:
    """A newer executable has written it: to forget it would leak what it speaks of."""
    begun(opened())
    (file,) = tmp_path.rglob("open/*")
    content = b'{"state": "leasing", "owner": {"unheard": "of"}}\n'
    file.write_bytes(content)
    assert unfinished(opened()) == []
    assert file.read_bytes() == content


def test_after_a_boot(opened: Callable[[], Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is unfinished: its containers have ended."""
    new = begun(opened())
    with opened().entry(WEB) as entry:
        entry.finish(new.now(LEASED))
    assert unfinished(opened()) == []
    monkeypatch.setattr(journal, "boot_id", lambda: "another")
    assert unfinished(opened()) == [new.now(LEASED)]
    later = begun(opened(), ODD)
    with opened().entry(ODD) as entry:
        entry.finish(later.now(LEASED))
    assert unfinished(opened()) == [new.now(LEASED)]
    monkeypatch.setattr(journal, "boot_id", lambda: "")
    assert unfinished(opened()) == [new.now(LEASED)]


def test_a_full_disk(opened: Callable[[], Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    new = begun(opened())
    real = os.write

    def some(fd: int, data: bytes) -> int:
        return real(fd, data[:10])

    with opened().entry(WEB) as entry:
        monkeypatch.setattr(os, "write", some)
        with pytest.raises(CniError, match=r"cannot write an intent.*No space left") as caught:
            entry.begin(new.now(RELEASING))
        monkeypatch.undo()
        assert caught.value.code == Code.IO_FAILURE
        assert entry.intent == new
    assert opened().read(WEB) == new


def test_files_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "plait").write_text("")
    where = Journal(str(tmp_path), "s")
    assert where.every() == []
    assert where.read(WEB) is None
    for act in (where.probe, lambda: where.entry(WEB).__enter__()):
        with pytest.raises(CniError) as caught:
            act()
        assert caught.value.code == Code.IO_FAILURE


def test_leasing_is_durable_and_leased_is_cheap(
    opened: Callable[[], Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    new = begun(opened())
    assert len(synced) == 2  # the file and its directory
    with opened().entry(WEB) as entry:
        entry.finish(new.now(LEASED))
    assert len(synced) == 2
    with opened().entry(WEB) as entry:
        entry.begin(new.now(RELEASING))
    assert len(synced) == 3
    assert new.state == LEASING
