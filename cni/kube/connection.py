"""One HTTP/1.1 connection whose every byte has to come before a deadline."""

from __future__ import annotations

import _socket
import io
import os
import ssl
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cni.core import log
from cni.core.errors import CniError, invalid
from cni.kube import http, url
from cni.kube.line import line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from _typeshed import WriteableBuffer

    from cni.kube.access import Access

MAX_ANSWER = 32 << 20  #: bytes, with the head; the API server stores no object above 2 MiB

_HTTP = 80  #: the port that goes without saying

#: where connections are kept that outlive calls (cni.kube.keeper); empty: nowhere
KEEPER = ""

#: how a server that has ended an idle connection is noticed
STALE = (ConnectionError, http.StatusLineError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
#: the status with which some end it, asked or not: of a connection that was idle, no answer
IDLE_TOO_LONG = 408

_UNHEARD = 3000  #: milliseconds without a sign that the server's host got what we have sent
_WANT_READ = 2  #: of OpenSSL: nothing is there to be read


class Server(NamedTuple):
    """A server's address, taken apart; `prefix` comes before every path."""

    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None
    name: str  #: that its certificate must have

    @property
    def authority(self) -> str:
        """Host and port, as a request names them."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _HTTP else f"{name}:{self.port}"


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
        scheme, host, port, path = url.parts(url.without_needless_brackets(text))
    except ValueError as error:
        raise invalid(line(f"{about}: {error}")) from None
    if scheme not in ("https", "http") or not _is_host(host) or not _is_plain(access.server):
        raise invalid(line(f"{about} is not an address of HTTPS"))
    name = access.server_name or host
    if not _is_host(name):
        raise invalid(line(f'{access.source}: "tls-server-name" cannot be "{name}"'))
    tls = _tls(access) if scheme == "https" else None
    if access.token and tls is None:
        log.warning("the token is sent without TLS", server=access.server)
    return Server(host, port or (443 if tls else _HTTP), path.rstrip("/"), tls, name)


class Connection:
    """A connection that is kept while the server keeps it; not for two threads at a time."""

    def __init__(self, target: Server, deadline: float) -> None:
        self._host = target.authority
        self._timed = _Timed(_connect(target, deadline))
        self.is_used = False  #: an answer came before
        self.is_open = True  #: the server has not said that it ends it

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        deadline: float,
    ) -> Answer:
        """As `exchange`; raises ValueError too, for what http.request takes for none."""
        return self.exchange(http.request(method, path, self._host, headers, body), deadline)

    def exchange(self, request: bytes, deadline: float) -> Answer:
        """One exchange; the connection is of no use after an exception.

        Raises OSError (TimeoutError at the deadline, http.AnswerError) or TooLargeError.
        """
        self._timed.begin(deadline)
        with _in_time("no answer"):
            self._timed.sendall(request)
            stream = io.BufferedReader(self._timed)
            head = http.head(stream)
            data = http.body(stream, head, MAX_ANSWER)
        self._timed.stop()
        self.is_used = True
        self.is_open = head.is_kept and not stream.peek(1)  # more: another's answer, some day
        return Answer(
            head.status,
            head.fields.get("content-type", ""),
            head.fields.get("content-encoding", ""),
            head.fields.get("location", ""),
            head.fields.get("retry-after", ""),
            data,
        )

    def is_quiet(self) -> bool:
        """Between two exchanges: neither its end has come, nor what nobody has asked for."""
        return self._timed.is_quiet()

    def close(self) -> None:
        self._timed.end()


class _Timed(io.RawIOBase):
    """The socket as a file. What is read is bounded in time and in size."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._deadline = 0.0
        self._left = 0

    def begin(self, deadline: float) -> None:
        """The next exchange."""
        self._deadline = deadline
        self._left = MAX_ANSWER

    def stop(self) -> None:
        """The answer is there: what was read is left, nothing more comes."""
        self._left = 0

    def is_quiet(self) -> bool:
        self._inner.settimeout(0)
        try:
            self._inner.recv_into(bytearray(1))
        except BlockingIOError:
            return True
        except OSError as error:
            return isinstance(error, ssl.SSLError) and error.args[0] == _WANT_READ
        return False

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(_remaining(self._deadline))
        self._inner.sendall(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if not self._left:
            return None
        self._inner.settimeout(_remaining(self._deadline))
        received: int = self._inner.recv_into(buffer)
        self._left -= received
        if self._left <= 0:
            raise TooLargeError
        return received

    def close(self) -> None:
        """With what read an answer from it this is closed too: the socket stays."""

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


def _connect(target: Server, deadline: float) -> Any:
    with _in_time(f"no address of {target.host}"):
        addresses = _addresses(target, deadline)
    with _in_time("no connection"):
        plain: Any = _reach(addresses, deadline)  # ssl takes one of _socket too
    try:
        plain.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        plain.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_USER_TIMEOUT, _UNHEARD)
        if target.tls is None:
            return plain
        with _in_time("no TLS handshake"):
            plain.settimeout(_remaining(deadline))
            # as bytes: of a text ssl asks the codec of international names, which costs 3 ms
            return target.tls.wrap_socket(plain, server_hostname=target.name.encode())
    except BaseException:
        plain.close()
        raise


def _reach(addresses: list[tuple[Any, ...]], deadline: float) -> _socket.socket:
    """The first address that takes a connection; a silent one leaves time to those behind it."""
    failure: OSError = OSError("no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        each = _socket.socket(family, kind, protocol)
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
        return _socket.getaddrinfo(
            host, target.port, type=_socket.SOCK_STREAM, flags=_socket.AI_NUMERICHOST
        )
    except OSError:
        pass  # a name
    found: list[list[tuple[Any, ...]] | OSError] = []

    def resolve() -> None:
        try:
            found.append(_socket.getaddrinfo(host, target.port, type=_socket.SOCK_STREAM))
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
