"""One HTTP/1.1 connection whose every byte has to come before a deadline."""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from cni.core.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import WriteableBuffer

    from cni.kube.access import Access

MAX_ANSWER = 32 << 20  #: bytes; the API server stores no object above 2 MiB


class Server(NamedTuple):
    """A server's address, taken apart; `prefix` comes before every path."""

    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None
    name: str  #: that its certificate must have


class Answer(NamedTuple):
    status: int
    content_type: str
    retry_after: str
    body: bytes


def server(access: Access) -> Server:
    """Raises CniError 7 for an address or a certificate that cannot be used."""
    try:
        parts = urlsplit(access.server if "://" in access.server else f"https://{access.server}")
        port = parts.port
    except ValueError as error:
        raise invalid(f'{access.source}: server "{access.server}": {error}') from None
    if parts.scheme not in ("https", "http") or not parts.hostname or not parts.hostname.isascii():
        raise invalid(f'{access.source}: server "{access.server}" is not an address of HTTPS')
    tls = _tls(access) if parts.scheme == "https" else None
    default = 443 if tls else 80
    name = access.server_name or parts.hostname
    return Server(parts.hostname, port or default, parts.path.rstrip("/"), tls, name)


class Connection:
    """A connection that is kept while the server keeps it; not for two threads at a time."""

    def __init__(self, target: Server, deadline: float) -> None:
        self._timed = _Timed(_connect(target, deadline), deadline)
        self._http = http.client.HTTPConnection(target.host, target.port)
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

        Raises OSError (TimeoutError at the deadline) or http.client.HTTPException.
        """
        self._timed.deadline = deadline
        self._http.request(method, path, body, dict(headers))
        response = self._http.getresponse()
        data = response.read(MAX_ANSWER)
        if not response.isclosed():
            what = "cut short" if len(data) < MAX_ANSWER else f"of more than {MAX_ANSWER} bytes"
            raise http.client.HTTPException(f"an answer {what}")
        self.is_used = True
        return Answer(
            response.status,
            response.headers.get("Content-Type", ""),
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
    """The socket as http.client uses one: it is written to, and read through `makefile`."""

    def __init__(self, inner: socket.socket, deadline: float) -> None:
        self._inner = inner
        self.deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(remaining(self.deadline))
        self._inner.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._inner.settimeout(remaining(self.deadline))
        return self._inner.recv_into(buffer)

    def close(self) -> None:
        """After each answer http.client closes what it read from: the socket stays."""

    def end(self) -> None:
        self._inner.close()


def remaining(deadline: float) -> float:
    """Seconds until the deadline; raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _connect(target: Server, deadline: float) -> socket.socket:
    plain = _reach(target, deadline)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.tls is None:
            return plain
        plain.settimeout(remaining(deadline))
        # as bytes: of a text ssl asks the codec of international names, which costs 3 ms
        return target.tls.wrap_socket(plain, server_hostname=target.name.encode())
    except BaseException:
        plain.close()
        raise


def _reach(target: Server, deadline: float) -> socket.socket:
    """The first address that takes a connection."""
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in _addresses(target, deadline):
        each = socket.socket(family, kind, protocol)
        try:
            each.settimeout(remaining(deadline))
            each.connect(address)
            return each
        except OSError as error:
            each.close()
            failure = error
        except BaseException:
            each.close()
            raise
    raise failure


def _addresses(target: Server, deadline: float) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    """The resolver has a patience of its own, hence a thread for a name."""
    found: list[object] = []

    def resolve(flags: int) -> None:
        try:
            found.extend(
                socket.getaddrinfo(
                    target.host.encode(), target.port, type=socket.SOCK_STREAM, flags=flags
                )
            )
        except OSError as error:
            found.append(error)

    resolve(socket.AI_NUMERICHOST)
    if isinstance(found[0], OSError):
        found.clear()
        thread = threading.Thread(target=resolve, args=(0,), daemon=True)
        thread.start()
        thread.join(remaining(deadline))
        if not found:
            raise TimeoutError(f"no answer to the name {target.host}")
        if isinstance(found[0], OSError):
            raise OSError(f"cannot resolve {target.host}: {found[0].strerror}")
    return found  # type: ignore[return-value]


def _tls(access: Access) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif access.ca:
        try:
            context.load_verify_locations(cadata=access.ca)
        except (ssl.SSLError, ValueError) as error:
            raise invalid(f"{access.source}: the authority's certificate: {error}") from None
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
        raise invalid(f"{access.source}: the client certificate and its key: {error}") from None
    finally:
        os.close(memory)


def _no_password() -> str:
    """Asked of a key that is encrypted; without this OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted")
