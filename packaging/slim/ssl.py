"""ssl as a client needs it: OpenSSL's sockets, without enumerations and certificates' dates.

Whether a certificate is trusted, and is that of the host, OpenSSL itself decides here as there.
"""

# mypy: ignore-errors
# ruff: noqa: F401

import importlib
from _socket import socket
from _ssl import (
    CERT_NONE,
    HOSTFLAG_NEVER_CHECK_SUBJECT,
    PROTOCOL_TLS_CLIENT,
    SSL_ERROR_EOF,
    VERIFY_X509_PARTIAL_CHAIN,
    PROTO_TLSv1_2,
    SSLCertVerificationError,
    SSLEOFError,
    SSLError,
    SSLZeroReturnError,
    _SSLContext,
)


class TLSVersion:
    TLSv1_2 = PROTO_TLSv1_2


class SSLContext(_SSLContext):
    @property
    def hostname_checks_common_name(self):
        return not self._host_flags & HOSTFLAG_NEVER_CHECK_SUBJECT

    @hostname_checks_common_name.setter
    def hostname_checks_common_name(self, value):
        flags = self._host_flags & ~HOSTFLAG_NEVER_CHECK_SUBJECT
        self._host_flags = flags if value else flags | HOSTFLAG_NEVER_CHECK_SUBJECT

    def load_default_certs(self):
        self.set_default_verify_paths()

    def wrap_socket(self, plain, *, server_hostname):
        return SSLSocket(self, plain, server_hostname)


class _Plain(socket):
    """One to which there can be a weak reference, as OpenSSL's side wants it."""


class SSLSocket:
    """A connection whose handshake is done; it takes the plain socket's timeout."""

    def __init__(self, context, plain, server_hostname):
        timeout = plain.gettimeout()
        self._plain = _Plain(plain.family, plain.type, plain.proto, plain.detach())
        try:
            self._plain.settimeout(timeout)
            self._tls = context._wrap_socket(self._plain, False, server_hostname.decode("ascii"))
            self._tls.do_handshake()
        except BaseException:
            self._plain.close()
            raise

    def settimeout(self, seconds):
        self._plain.settimeout(seconds)

    def sendall(self, data):
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]

    def recv_into(self, buffer):
        try:
            return self._tls.read(len(buffer), buffer)
        except SSLError as error:
            if error.args[0] == SSL_ERROR_EOF:  # it has hung up without a word
                return 0
            raise

    def close(self):
        self._plain.close()


def __getattr__(name):
    return getattr(importlib.import_module("ssl.whole"), name)
