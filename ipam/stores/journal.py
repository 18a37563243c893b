"""What this node has leased, or is about to lease or release, at a store that nodes share.

One file for each attachment, written before the store is: whatever a killed process or a lost
answer has left there is found again by the next call. While something is unfinished the file is
in `open/`, so that a call which finds that empty has nothing to settle; else in `leased/`.

A file is a line of JSON for each state of the intent, the last whole line counts. A line is added,
never changed: what a power cut leaves is at worst an earlier state of an earlier boot.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import log
from cni.core.errors import CniError, Code
from cni.core.syncing import sync_directory
from cni.core.types import Attachment
from cni.kube.percent import quote, unquote
from cni.store import files
from cni.store.lock import locked
from ipam.stores import Owner
from ipam.stores.boot import boot_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni.core.types import Json

#: states of an intent
LEASING, LEASED, RELEASING = "leasing", "leased", "releasing"


class Place(NamedTuple):
    """An address of a pool, and what else the store has to know to find it again."""

    network_name: str
    cidr: str
    version: int
    address: int | None  #: None: not known when the intent was written
    extra: Json  #: the store's own, any JSON


class Intent(NamedTuple):
    """What an attachment has at the store, or might have: all of it, in the order of its asks."""

    state: str
    owner: Owner
    places: tuple[Place, ...]
    boot_id: str  #: of the boot that leased; empty when the kernel does not say
    created: int  #: seconds since 1970

    def now(self, state: str, places: tuple[Place, ...] | None = None) -> Intent:
        """The same in another state."""
        return self._replace(state=state, places=self.places if places is None else places)


def intent(owner: Owner, places: tuple[Place, ...]) -> Intent:
    """A new one, about to lease."""
    return Intent(LEASING, owner, places, boot_id(), int(time.time()))


def release_later(state_dir: str, attachment: Attachment) -> int:
    """Have whoever next opens the stores that have a lease of the attachment release it.

    For a DEL whose configuration names another store by now, or none. Returns how many stores.
    """
    directory, marked = os.path.join(state_dir, "plait", "intents"), 0
    for name in files.names(directory):
        with Journal(state_dir, unquote(name)).entry(attachment) as entry:
            if entry.intent is not None and entry.intent.state != RELEASING:
                entry.begin(entry.intent.now(RELEASING))
                marked += 1
    return marked


def has_network(state_dir: str, network: str) -> bool:
    """Whether a store of other nodes has leases of the network for this node."""
    directory = os.path.join(state_dir, "plait", "intents")
    return any(
        Journal(state_dir, unquote(name)).of_network(network) for name in files.names(directory)
    )


class Journal:
    """The intents of one store in `<state_dir>/plait/intents/<store>/`.

    All methods raise CniError 5 when the files cannot be used.
    """

    def __init__(self, state_dir: str, store: str, timeout: float = 60) -> None:
        """`store` tells stores apart, as in "kubernetes/kube-system".

        `timeout`: seconds to wait for another call about the same attachment.
        """
        name = files.name_for(quote(store))
        self._directory = os.path.join(state_dir, "plait", "intents", name)
        self._timeout = timeout

    @contextmanager
    def entry(self, attachment: Attachment) -> Iterator[Entry]:
        """The attachment's, for this call alone. Raises CniError 11 while another has it."""
        with self._held(_name(attachment), self._timeout) as found:
            yield found

    def unfinished(self) -> Iterator[Entry]:
        """What a call has left unfinished that has ended, and what an earlier boot has leased.

        Each for this call alone, until the next is asked for.
        """
        with _failing("read the intents", self._directory):
            self._reopen_after_boot()
            names = files.names(self._path("open"))
        for name, found in self._at_rest(names):
            if not os.path.exists(self._path("open", name)):
                pass  # its call has ended well since it was listed
            elif found.intent is None and self._has_line(name):
                log.warning("an intent of another version is left alone", file=name)
            elif found.intent is None:
                found.forget()  # its writer was killed in the first line
            else:
                yield found

    def at_rest(self, attachments: Iterable[Attachment]) -> Iterator[Entry]:
        """The intents of those attachments that no call is about now.

        Each for this call alone, until the next is asked for.
        """
        for _, found in self._at_rest(map(_name, attachments)):
            if found.intent is not None:
                yield found

    def read(self, attachment: Attachment) -> Intent | None:
        """The attachment's intent as it is now; another call may be changing it."""
        return self._read(_name(attachment))

    def every(self) -> list[Intent]:
        """All intents as they are now."""
        with _failing("read the intents", self._directory):
            names = {*files.names(self._path("open")), *files.names(self._path("leased"))}
        found = [self._read(name) for name in sorted(names)]
        return [each for each in found if each is not None]

    def of_network(self, network: str) -> list[Attachment]:
        """The attachments of a network that have an intent."""
        found = (each.owner.attachment for each in self.every())
        return [each for each in found if each.network == network]

    def probe(self) -> None:
        """Raises as `begin` would when no intent could be written now."""
        with _failing("write an intent", self._directory):
            files.write(self._path("probe"), b"", durable=False)

    def _at_rest(self, names: Iterable[str]) -> Iterator[tuple[str, Entry]]:
        for name in names:
            try:
                with self._held(name, timeout=0) as found:
                    yield name, found
            except CniError as error:
                if error.code != Code.TRY_AGAIN_LATER:  # a call that is not over
                    raise

    @contextmanager
    def _held(self, name: str, timeout: float) -> Iterator[Entry]:
        lock = self._path("locks", name)
        with _failing("lock an intent", lock):
            holding = locked(lock, timeout, what=f"the intent {name}", remove=True)
            holding.__enter__()
        try:
            yield Entry(self._path("open", name), self._path("leased", name), self._read(name))
        finally:
            holding.__exit__(None, None, None)

    def _has_line(self, name: str) -> bool:
        """Whether the file has a whole line of an intent, be it one that we do not understand."""
        for line in (files.read(self._path("open", name)) or b"").splitlines():
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(document, dict) and "state" in document:
                return True
        return False

    def _read(self, name: str) -> Intent | None:
        # a call that moves it at this moment moves it once
        for state in ("open", "leased", "open"):
            path = self._path(state, name)
            with _failing("read an intent", path):
                data = files.read(path)
            if data is not None:
                return _last(data)
        return None

    def _reopen_after_boot(self) -> None:
        """What an earlier boot has leased has ended with it: that is for us to settle."""
        now = boot_id()
        if not now or not os.path.isdir(self._directory):
            return
        seen = self._path("boot")
        if files.read(seen) == now.encode():
            return
        with locked(f"{seen}.lock", self._timeout):
            if files.read(seen) == now.encode():
                return
            os.makedirs(self._path("open"), mode=0o700, exist_ok=True)
            for name in files.names(self._path("leased")):
                found = self._read(name)
                if found is None or found.boot_id != now:
                    os.rename(self._path("leased", name), self._path("open", name))
            files.write(seen, now.encode())

    def _path(self, *names: str) -> str:
        return os.path.join(self._directory, *names)


class Entry:
    """The intent of one attachment, for one call alone."""

    def __init__(self, open_path: str, leased_path: str, found: Intent | None) -> None:
        self._open = open_path
        self._leased = leased_path
        self.intent = found  #: None: there is none

    def begin(self, intent: Intent) -> None:
        """Write down what is about to be changed at the store; durable on return."""
        self._append(intent, durable=True)

    def finish(self, intent: Intent) -> None:
        """What was begun is done, and this is what the attachment has.

        Not durable by itself: after a power cut all that was leased before it is given back.
        """
        self._append(intent, durable=False)
        with _failing("finish an intent", self._leased):
            files.ensure_dir(os.path.dirname(self._leased))
            os.rename(self._open, self._leased)

    def forget(self) -> None:
        """The attachment has nothing."""
        self.intent = None
        for path in (self._leased, self._open):
            with _failing("forget an intent", path):
                files.remove(path)

    def _append(self, intent: Intent, *, durable: bool) -> None:
        with _failing("write an intent", self._open):
            directory = os.path.dirname(self._open)
            files.ensure_dir(directory)
            if os.path.exists(self._leased):
                os.rename(self._leased, self._open)
            is_new = not os.path.exists(self._open)
            fd = os.open(self._open, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                _write(fd, _line(intent))
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            if durable and is_new:
                sync_directory(directory)
        self.intent = intent


def _write(fd: int, line: bytes) -> None:
    """Behind what is there, which may end in a torn line."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        line = b"\n" + line
    if os.write(fd, line) != len(line):
        raise OSError(28, "No space left on device")


def _name(attachment: Attachment) -> str:
    return files.name_for(quote("+".join(attachment), safe="+"))


def _line(intent: Intent) -> bytes:
    document = {
        "state": intent.state,
        "owner": {**intent.owner._asdict(), "attachment": list(intent.owner.attachment)},
        "places": [each._asdict() for each in intent.places],
        "boot_id": intent.boot_id,
        "created": intent.created,
    }
    return json.dumps(document).encode() + b"\n"


def _last(data: bytes) -> Intent | None:
    """The intent of the last whole line; None when there is none: nothing was done for it."""
    for line in reversed(data.splitlines()):
        try:
            return _intent(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return None


def _intent(document: Any) -> Intent:
    owner = {**document["owner"], "attachment": Attachment(*document["owner"]["attachment"])}
    return Intent(
        document["state"],
        Owner(**owner),
        tuple(Place(**each) for each in document["places"]),
        document["boot_id"],
        document["created"],
    )


@contextmanager
def _failing(operation: str, path: str) -> Iterator[None]:
    """An OSError of the body as a CniError 5."""
    try:
        yield
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE, f"cannot {operation}: {error.filename or path}", str(error.strerror)
        ) from None
