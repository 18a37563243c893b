"""One HTTP/1.1 connection whose every byte has to come before a deadline."""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from cni.core import log
from cni.core.errors import CniError, invalid
from cni.kube.line import line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from _typeshed import WriteableBuffer

    from cni.kube.access import Access

MAX_ANSWER = 32 << 20  #: bytes, with the head; the API server stores no object above 2 MiB

#: how a server that has ended an idle connection is noticed
STALE = (ConnectionError, http.client.BadStatusLine, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Server(NamedTuple):
    """A server's address, taken apart; `prefix` comes before every path."""

    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None
    name: str  #: that its certificate must have


class Answer(NamedTuple):
    """The headers are those that we heed; empty: there was none."""

    status: int
    content_type: str
    encoding: str
    location: str
    retry_after: str
    body: bytes


class TooLargeError(Exception):
    """An answer of MAX_ANSWER bytes and more: the next would be no shorter."""


def server(access: Access) -> Server:
    """Raises CniError 7 for an address or a certificate that cannot be used."""
    if "@" in access.server:  # a password would stand before it: not to be repeated
        raise invalid(f'{access.source}: "server" must be an address without a user')
    about = f'{access.source}: server "{access.server}"'
    try:
        text = access.server if "://" in access.server else f"https://{access.server}"
        parts = urlsplit(_without_needless_brackets(text))
        port = parts.port
    except ValueError as error:
        raise invalid(line(f"{about}: {error}")) from None
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not _is_host(host) or not _is_plain(access.server):
        raise invalid(line(f"{about} is not an address of HTTPS"))
    name = access.server_name or host
    if not _is_host(name):
        raise invalid(line(f'{access.source}: "tls-server-name" cannot be "{name}"'))
    tls = _tls(access) if parts.scheme == "https" else None
    if access.token and tls is None:
        log.warning("the token is sent without TLS", server=access.server)
    default = 443 if tls else 80
    return Server(host, port or default, parts.path.rstrip("/"), tls, name)


def _without_needless_brackets(url: str) -> str:
    """`https://[10.96.0.1]:443`, as the original's installer writes every server, read as it means
    it: only IPv6 addresses are for brackets.
    """
    scheme, _, rest = url.partition("://")
    host, bracket, behind = rest.removeprefix("[").partition("]")
    if rest.startswith("[") and bracket and ":" not in host and "/" not in host:
        return f"{scheme}://{host}{behind}"
    return url


class Connection:
    """A connection that is kept while the server keeps it; not for two threads at a time."""

    def __init__(self, target: Server, deadline: float) -> None:
        self._http = http.client.HTTPConnection(target.host, target.port)
        self._http.auto_open = 0  # it would connect without TLS
        self._timed = _Timed(_connect(target, deadline))
        self._http.sock = self._timed
        self.is_used = False  #: an answer came before

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        deadline: float,
    ) -> Answer:
        """One exchange; the connection is of no use after an exception.

        Raises OSError (TimeoutError at the deadline), http.client.HTTPException or TooLargeError.
        """
        self._timed.begin(deadline)
        with _in_time("no answer"):
            self._http.request(method, path, body, dict(headers))
            try:
                response = self._http.getresponse()
                data = response.read(MAX_ANSWER)
            except ValueError:  # of the length of a chunk, when that is negative
                raise http.client.IncompleteRead(b"") from None
        # fewer than there should be, or none where the end of the connection is that of the answer
        if response.length or (not data and response.length is None):
            raise http.client.IncompleteRead(b"")
        self.is_used = True
        return Answer(
            response.status,
            response.headers.get("Content-Type", ""),
            response.headers.get("Content-Encoding", ""),
            response.headers.get("Location", ""),
            response.headers.get("Retry-After", ""),
            data,
        )

    @property
    def is_open(self) -> bool:
        """Whether the server has said that it keeps it."""
        return self._http.sock is not None

    def close(self) -> None:
        self._timed.end()


class _Timed(io.RawIOBase):
    """The socket as http.client uses one: it is written to, and read through `makefile`.

    What is read is bounded in time and in size.
    """

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._deadline = 0.0
        self._left = 0

    def begin(self, deadline: float) -> None:
        """The next exchange."""
        self._deadline = deadline
        self._left = MAX_ANSWER

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(_remaining(self._deadline))
        self._inner.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._inner.settimeout(_remaining(self._deadline))
        received = self._inner.recv_into(buffer)
        self._left -= received
        if self._left <= 0:
            raise TooLargeError
        return received

    def close(self) -> None:
        """After each answer http.client closes what it read from: the socket stays."""

    def end(self) -> None:
        self._inner.close()


@contextmanager
def _in_time(missing: str) -> Iterator[None]:
    """Makes every TimeoutError say what has not come in time."""
    try:
        yield
    except TimeoutError:
        raise TimeoutError(f"{missing} in time") from None


def _remaining(deadline: float) -> float:
    """Seconds until the deadline; raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connect(target: Server, deadline: float) -> socket.socket:
    with _in_time(f"no address of {target.host}"):
        addresses = _addresses(target, deadline)
    with _in_time("no connection"):
        plain = _reach(addresses, deadline)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.tls is None:
            return plain
        with _in_time("no TLS handshake"):
            plain.settimeout(_remaining(deadline))
            # as bytes: of a text ssl asks the codec of international names, which costs 3 ms
            return target.tls.wrap_socket(plain, server_hostname=target.name.encode())
    except BaseException:
        plain.close()
        raise


def _reach(addresses: list[tuple[Any, ...]], deadline: float) -> socket.socket:
    """The first address that takes a connection; a silent one leaves time to those behind it."""
    failure: OSError = OSError("no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        each = socket.socket(family, kind, protocol)
        try:
            each.settimeout(_remaining(deadline) / (len(addresses) - index))
            each.connect(address)
            return each
        except OSError as error:
            each.close()
            failure = error
        except BaseException:
            each.close()
            raise
    raise failure


def _addresses(target: Server, deadline: float) -> list[tuple[Any, ...]]:
    """As socket.getaddrinfo, whose patience is its own: hence a thread for a name."""
    host = target.host.encode()
    try:
        return socket.getaddrinfo(
            host, target.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except OSError:
        pass  # a name
    found: list[list[tuple[Any, ...]] | OSError] = []

    def resolve() -> None:
        try:
            found.append(socket.getaddrinfo(host, target.port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(_remaining(deadline))
    if not found:
        raise TimeoutError
    if isinstance(found[0], OSError):
        raise OSError(f"cannot resolve {target.host}: {found[0].strerror}")
    return found[0]


def _is_host(text: str) -> bool:
    """What the resolver, HTTP and TLS take without a fault of their own."""
    return text != "" and not text.startswith(".") and _is_plain(text)


def _is_plain(text: str) -> bool:
    """Printable ASCII without a blank."""
    return all("!" <= c <= "~" for c in text)


def _tls(access: Access) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # nor does Go
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif access.ca:
        # as in Go, whatever is in there is trusted, be it signed by another; comments are skipped
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cadata=access.ca.encode("ascii", "ignore").decode())
        except (ssl.SSLError, ValueError) as error:
            raise _unusable(access, "the authority's certificate", error) from None
    else:
        context.load_default_certs()
    if access.certificate:
        _load_identity(context, access)
    return context


def _load_identity(context: ssl.SSLContext, access: Access) -> None:
    """OpenSSL reads a certificate with its key from a file only: here, from memory."""
    memory = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(memory, f"{access.certificate}\n{access.key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{memory}", password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise _unusable(access, "the client certificate and its key", error) from None
    finally:
        os.close(memory)


def _unusable(access: Access, what: str, error: Exception) -> CniError:
    return invalid(line(f"{access.source}: {what}: {error}"))


def _no_password() -> str:
    """Asked of a key that is encrypted; without this OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted")
