"""etcd's JSON gateway: requests that end in time, at whichever endpoint answers.

A request that only reads is asked again until it is answered. One that changes something is not,
once it may have arrived: what became of it only its sender can find out (see UnansweredError).
"""

from __future__ import annotations

import json
import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import log, signals
from cni.core.errors import CniError, Code, invalid
from cni.kube import connection
from cni.kube.access import Access
from cni.kube.connection import Connection, Server, TooLargeError
from cni.kube.line import line
from cni.store import files
from ipam.stores import etcd_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.core.types import Json
    from cni.kube.connection import Answer

_PAUSE = 0.05  #: seconds before all endpoints are tried again; doubled each time
_LONGEST_PAUSE = 1.0
#: answers after which nothing has been changed, and that the next try would get again
_FINAL = frozenset((400, 403, 404, 405, 412, 413))
_EXCERPT = 200  #: bytes of an answer that is no JSON
_NO_SPACE = "etcdserver: mvcc: database space exceeded"
_NO_AUTH = "etcdserver: authentication is not enabled"
#: a token of before the server's start, of a role changed since, or one that has run out
_STALE_TOKEN = ("etcdserver: invalid auth token", "etcdserver: revision of auth store is old")


class EtcdSettings(NamedTuple):
    """Where etcd is and who we are to it; the files are PEM."""

    hosts: tuple[str, ...]  #: addresses or URLs; https without a scheme when there is a CA file
    user: str = ""
    password: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    prefix: str = "/plait/"  #: of all keys: one for each set of nodes that share addresses
    node: str = ""  #: this node's name; the host's when empty
    token_dir: str = ""  #: where calls of this node keep the user's token for each other, or none


class Limits(NamedTuple):
    """Seconds: for one connection, one answer, all requests of one call of the store."""

    connect: float = 2.0
    call: float = 3.0
    total: float = 10.0


class UnansweredError(CniError):
    """It is not known whether the change was made, or is still going to be."""


class Gateway:
    """The endpoints of one etcd cluster; not for two threads at a time.

    All methods raise CniError: 11 when no endpoint answers in time, 5 when etcd has no space left,
    7 when it refuses what we are or what we ask.
    """

    def __init__(self, settings: EtcdSettings, limits: Limits | None = None) -> None:
        self._settings = settings
        self._limits = limits or Limits()
        self._servers = [_server(settings, host) for host in settings.hosts]
        if not self._servers:
            raise invalid('"etcd_host" names no endpoint')
        self._at = 0  #: index of the endpoint that is asked
        self._link: Connection | None = None
        self._token = ""
        self._is_token_kept = bool(settings.token_dir)  #: and not yet tried
        self._has_no_auth = False
        self._deadline: float | None = None

    @contextmanager
    def within(self) -> Iterator[None]:
        """All requests of the body share the total time; within another one, that one's."""
        if self._deadline is not None:
            yield
            return
        self._deadline = time.monotonic() + self._limits.total
        try:
            yield
        finally:
            self._deadline = None

    @property
    def remaining(self) -> float:
        """Seconds that the body of `within` has left."""
        return 0.0 if self._deadline is None else self._deadline - time.monotonic()

    def read(self, path: str, body: Json) -> Json:
        """Ask what may be asked twice."""
        with self.within():
            return self._ask(path, body, repeatable=True)

    def change(self, path: str, body: Json) -> Json:
        """Ask once. Raises UnansweredError when that may have arrived."""
        with self.within():
            return self._ask(path, body, repeatable=False)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _ask(self, path: str, body: Json, *, repeatable: bool) -> Json:
        start, tries, pause = time.monotonic(), 0, _PAUSE
        has_new_token = False
        while True:
            tries += 1
            sent = False
            failure: CniError
            try:
                self._authenticate()
                link = self._open()
                sent = True
                answer = self._exchange(link, path, body)
            except (OSError, TooLargeError) as error:
                failure = self._unreachable(error)
                is_known = not sent
            except CniError as error:  # of the authentication
                failure = error
                is_known = True
            else:
                message = _message(answer)
                if answer.status == 200:
                    return self._read(answer, path)
                if (answer.status == 401 or message in _STALE_TOKEN) and self._token:
                    self._token = ""
                    if not has_new_token:
                        has_new_token = True
                        continue
                failure = self._refused(answer, message)
                is_known = answer.status in _FINAL or answer.status in (401, 429)
            details = f"{tries} {'try' if tries == 1 else 'tries'} in {{:.1f}} s; {path}"
            failure.details = details.format(time.monotonic() - start)
            if not is_known and not repeatable:
                raise UnansweredError(failure.code, failure.msg, failure.details)
            if failure.code != Code.TRY_AGAIN_LATER and tries >= len(self._servers):
                raise failure
            self._at = (self._at + 1) % len(self._servers)
            self.close()
            wait = 0.0 if tries % len(self._servers) else pause
            if self.remaining <= wait:
                raise failure
            if wait:
                signals.sleep(wait)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _authenticate(self) -> None:
        """A token for the user, if there is one; etcd takes 50 to 100 ms to make it."""
        if not self._settings.user or self._token or self._has_no_auth:
            return
        if self._is_token_kept:
            self._is_token_kept = False
            self._token = etcd_token.read(self._settings)
            if self._token:
                return
        user = {"name": self._settings.user, "password": self._settings.password}
        answer = self._exchange(self._open(), "/v3/auth/authenticate", user)
        if answer.status != 200:
            message = _message(answer)
            if message == _NO_AUTH:
                log.warning("etcd does not ask who we are", user=self._settings.user)
                self._has_no_auth = True
                return
            raise self._refused(answer, message)
        token = self._read(answer, "/v3/auth/authenticate").get("token")
        if not isinstance(token, str) or not etcd_token.is_token(token):
            raise self._garbled("/v3/auth/authenticate")
        self._token = token
        if self._settings.token_dir:
            etcd_token.keep(self._settings, token)

    def _open(self) -> Connection:
        if self._link is None or not self._link.is_open:
            with signals.waiting():
                soon = time.monotonic() + min(self._limits.connect, self.remaining)
                self._link = Connection(self._servers[self._at], soon)
        return self._link

    def _exchange(self, link: Connection, path: str, body: Json) -> Answer:
        headers = {"Content-Type": "application/json", "User-Agent": "plait"}
        if self._token:
            headers["Authorization"] = self._token
        until = time.monotonic() + min(self._limits.call, self.remaining)
        target = self._servers[self._at].prefix + path
        try:
            with signals.waiting():
                return link.ask("POST", target, headers, json.dumps(body).encode(), until)
        except BaseException:
            self.close()
            raise

    def _read(self, answer: Answer, path: str) -> Json:
        try:
            document: Any = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self._garbled(path)
        return document

    def _garbled(self, path: str) -> CniError:
        return CniError(Code.IO_FAILURE, f"{self._name}: the answer is not etcd's", path)

    def _refused(self, answer: Answer, message: str) -> CniError:
        code = Code.TRY_AGAIN_LATER
        if answer.status in _FINAL or answer.status == 401:
            code = Code.INVALID_CONFIG
        if message == _NO_SPACE:
            code = Code.IO_FAILURE
        said = line(message or f"status {answer.status}")
        return CniError(code, f"{self._name}: {said}")

    def _unreachable(self, error: Exception) -> CniError:
        code = Code.TRY_AGAIN_LATER
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            code = Code.INVALID_CONFIG
            reason = f"its certificate is not trusted: {error.verify_message}"
        elif isinstance(error, TooLargeError):
            code = Code.IO_FAILURE
            reason = f"an answer of {connection.MAX_ANSWER} bytes and more"
        return CniError(code, line(f"{self._name}: {reason}"))

    @property
    def _name(self) -> str:
        return line(f"etcd {self._settings.hosts[self._at]}")


def _server(settings: EtcdSettings, host: str) -> Server:
    """Raises CniError 7 for an address or a file that cannot be used, 5 for one unreadable."""
    if bool(settings.cert_file) != bool(settings.key_file):
        raise invalid('"etcd_cert_file" and "etcd_key_file" need each other')
    scheme = "https" if settings.ca_file or settings.cert_file else "http"
    access = Access(
        server=host if "://" in host else f"{scheme}://{host}",
        source="etcd_host",
        ca=_pem("etcd_ca_cert_file", settings.ca_file),
        certificate=_pem("etcd_cert_file", settings.cert_file),
        key=_pem("etcd_key_file", settings.key_file),
    )
    return connection.server(access)


def _pem(key: str, path: str) -> str:
    if not path:
        return ""
    try:
        data = files.read(path)
    except OSError as error:
        raise CniError(Code.IO_FAILURE, f'"{key}": {path}', str(error.strerror)) from None
    if data is None:
        raise invalid(f'"{key}": {path} is not a file')
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise invalid(f'"{key}": {path} is not PEM') from None


def _message(answer: Answer) -> str:
    """etcd's own words, in JSON or, of those before it, without."""
    try:
        document: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        return line(answer.body[:_EXCERPT].decode(errors="replace"))
    said = document.get("message", document.get("error")) if isinstance(document, dict) else None
    return said if isinstance(said, str) else ""
