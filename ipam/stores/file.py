"""The file store: the leases of this node, in one SQLite database.

Crash safety is SQLite's: a write-ahead log, so that a killed process or a power cut leaves the last
whole transaction. One flock around it keeps a burst of ADDs in line (SQLite's own busy sleep costs
two to four times as much).
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core import log, syncing
from cni.core.errors import CniError, Code
from cni.core.syncing import sync_directory
from cni.store.lock import locked
from ipam.stores import match, schema
from ipam.stores.boot import boot_id
from ipam.stores.ledger import Ledger

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterator, Sequence

    from cni.core.types import Attachment
    from ipam.stores import Ask, Hold, Lease, Owner, Pools

_WAL_LIMIT = 512 << 10  #: bytes of log that are left for the next process; see _close
_RESERVE = 256 << 10  #: bytes kept on the disk for releasing addresses when it is full
_BUSY_TIMEOUT = 10.0  #: seconds to wait for someone who reads the database without our lock
_SPACE_NEEDED = 1 << 20  #: bytes that must be free on the disk for `probe` to be content


class FileStore:
    """Leases in `<state_dir>/plait/leases.db`. A Store (see ipam.stores)."""

    def __init__(
        self, state_dir: str, timeout: float = 60, *, is_synced_later: bool = False
    ) -> None:
        """`timeout`: seconds to wait for another process that holds the leases.

        `is_synced_later`: what is done is durable when `syncing.wait` returns, not before, for a
        caller that undoes it when that fails. The log is a line of transactions: whoever builds on
        one of them has it synced with its own.
        """
        self._directory = os.path.join(state_dir, "plait")
        self._path = os.path.join(self._directory, "leases.db")
        self._log = f"{self._path}-wal"
        self._lock = os.path.join(self._directory, "leases.lock")
        self._reserve = os.path.join(self._directory, "leases.reserve")
        self._timeout = timeout
        self._is_synced_later = is_synced_later

    def lease(self, owner: Owner, asks: Sequence[Ask]) -> list[int]:
        """See Store.lease."""
        if not asks:
            return []
        with self._transaction("lease an address") as ledger:
            ledger.begin()
            ledger.renew(owner)
            held = match(asks, ledger.leases(owner.attachment))
            leased = [
                lease.address if lease else ledger.take(owner, ask, slot, asks)
                for slot, (ask, lease) in enumerate(zip(asks, held, strict=True))
            ]
        self._keep_reserve()
        return leased

    def leases(self, attachment: Attachment, pools: Pools = ()) -> list[Lease]:
        """See Store.leases; makes no files."""
        if not os.path.exists(self._path):
            return []
        with self._transaction("read the leases") as ledger:
            return ledger.leases(attachment)

    def release(self, attachment: Attachment, pools: Pools = ()) -> int:
        """See Store.release; makes no files."""
        if not os.path.exists(self._path):
            return 0
        return self._give_back("release an address", lambda ledger: _drop(ledger, attachment))

    def keep_only(self, network: str, valid: Collection[tuple[str, str]]) -> int:
        """See Store.keep_only; makes no files."""
        if not os.path.exists(self._path):
            return 0
        from cni.core.types import Attachment

        def drop_stale(ledger: Ledger) -> int:
            stale = ledger.attachments(network).difference(valid)
            return sum(_drop(ledger, Attachment(network, *each)) for each in sorted(stale))

        return self._give_back("collect stale leases", drop_stale)

    def probe(self) -> None:
        """See Store.probe."""
        with self._transaction("prepare for leases") as ledger:
            ledger.probe()
            disk = os.statvfs(self._directory)
        # a file system that does not count its blocks says 0 of 0
        if disk.f_blocks and disk.f_bfree * disk.f_frsize < _SPACE_NEEDED:
            raise CniError(Code.IO_FAILURE, f"no space for leases in {self._directory}")

    def every(self) -> list[Lease]:
        """See Store.every; makes no files."""
        if not os.path.exists(self._path):
            return []
        with self._transaction("read the leases") as ledger:
            return ledger.every()

    def holds(self) -> list[Hold]:
        """See Store.holds; makes no files."""
        if not os.path.exists(self._path):
            return []
        now = int(time.time())
        with self._transaction("read what is held") as ledger:
            return [each for each in ledger.holds() if not 0 < each.until <= now]

    def leased_here(self, attachment: Attachment) -> bool:
        """See Store.leased_here: what is here, this node has leased."""
        return True

    def drop(self, lease: Lease) -> bool:
        """See Store.drop; makes no files."""
        if not os.path.exists(self._path):
            return False
        return bool(self._give_back("release an address", lambda ledger: ledger.drop(lease)))

    def reserve(self, hold: Hold) -> None:
        """See Store.reserve."""
        with self._transaction("reserve an address") as ledger:
            ledger.reserve(hold)

    def unreserve(self, network_name: str, version: int, address: int) -> bool:
        """See Store.unreserve; makes no files."""
        if not os.path.exists(self._path):
            return False
        with self._transaction("forget a reservation") as ledger:
            return ledger.unreserve(network_name, version, address)

    def _give_back(self, operation: str, drop: Callable[[Ledger], int]) -> int:
        """Run a transaction that only drops leases: on a full disk too, in the reserved space.

        Deleting pods is how a full node gets space; even that takes a page of the log.
        """
        try:
            with self._transaction(operation) as ledger:
                return drop(ledger)
        except CniError as error:
            if error.code == Code.TRY_AGAIN_LATER or not self._spend_reserve():
                raise
        with self._transaction(operation) as ledger:
            return drop(ledger)

    def _spend_reserve(self) -> bool:
        """Free the reserved space if the disk is full; whether that was so."""
        try:
            disk = os.statvfs(self._directory)
            if disk.f_bfree * disk.f_frsize >= _RESERVE:
                return False
            os.unlink(self._reserve)
        except OSError:
            return False
        log.warning("disk full: the space reserved for releasing addresses is used")
        return True

    def _keep_reserve(self) -> None:
        """Reserve the space again, now or when there is some."""
        if os.path.exists(self._reserve):
            return
        try:
            fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(fd, 0, _RESERVE)
            except OSError:
                os.unlink(self._reserve)
            finally:
                os.close(fd)
        except OSError as error:
            log.debug("leases: no space can be reserved", reason=error)

    @contextmanager
    def _transaction(self, operation: str) -> Iterator[Ledger]:
        """All that the body does, durable when it ends (see __init__); nothing when it raises."""
        import sqlite3  # 2 ms that only a verb with leases pays

        try:
            with locked(self._lock, self._timeout):
                connection = self._open()
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    yield Ledger(connection, boot_id())
                    connection.execute("COMMIT")
                    if self._is_synced_later:  # unchanged too: who made it may not have synced it
                        syncing.begin(self._log)
                finally:
                    self._close(connection)  # rolls back what was not committed
        except sqlite3.Error as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            raise CniError(
                Code.TRY_AGAIN_LATER if busy else Code.IO_FAILURE,
                f"cannot {operation}: {self._path}",
                str(error),
            ) from None
        except OSError as error:
            raise CniError(
                Code.IO_FAILURE,
                f"cannot {operation}: {error.filename or self._path}",
                str(error.strerror),
            ) from None

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        if not os.path.exists(self._path):
            self._make_file()
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT, isolation_level=None)
        try:
            # in WAL mode NORMAL leaves out the sync of each COMMIT, and no other
            level = "NORMAL" if self._is_synced_later else "FULL"
            connection.execute(f"PRAGMA synchronous = {level}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != schema.VERSION:
                self._make_tables(connection, version)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_file(self) -> None:
        """An empty database, there after a power cut too; the log takes over its mode."""
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        for directory in (self._directory, os.path.dirname(self._directory)):
            sync_directory(directory)

    def _make_tables(self, connection: sqlite3.Connection, version: int) -> None:
        if version in schema.UPGRADES:
            connection.create_function("this_boot", 0, boot_id)
            connection.executescript(schema.UPGRADES[version])
            return
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version != 0 or tables:
            raise CniError(
                Code.IO_FAILURE,
                f"cannot use the leases of another version: {self._path}",
                f"its schema version is {version}, this version knows {schema.VERSION}",
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(schema.CREATE)

    def _close(self, connection: sqlite3.Connection) -> None:
        """Close without a checkpoint while the log is short: one fsync for each ADD, not four.

        The last connection to close copies the log into the database, syncs that and removes the
        log. A read-only one that closes after ours is the last, and cannot: the next process
        takes the log up where it ends. (Python 3.12 has a switch for it, 3.11 has not.)

        Of a log that could not be synced the kernel may have kept a part back for good, and what
        is synced behind that is lost with it: then the database is to have it all.
        """
        import sqlite3

        keeper = None
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if 0 < os.path.getsize(self._log) < _WAL_LIMIT and self._log not in syncing.failed:
                keeper = sqlite3.connect(f"file:{_uri(self._path)}?mode=ro", uri=True)
                keeper.execute("PRAGMA user_version").fetchone()
        except (sqlite3.Error, OSError) as error:
            log.debug("leases: closing with a checkpoint", reason=error)
        finally:
            connection.close()
            if keeper is not None:
                keeper.close()


def _uri(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _drop(ledger: Ledger, attachment: Attachment) -> int:
    leases = ledger.leases(attachment)
    for lease in leases:
        ledger.drop(lease)
    return len(leases)
