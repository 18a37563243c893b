"""A real etcd on the loopback, and what may come between it and the store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.apiserver.certificates import NAMES, _made, _signed, make

if TYPE_CHECKING:
    from tests.apiserver.certificates import Certificates

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plait" / "cluster"
PATIENCE = 60  #: seconds; it starts in one


def binary() -> str:
    """Debian's etcd; without one the test is skipped, or failed where it must not be."""
    found = shutil.which("etcd") or shutil.which("etcd", path=CACHE)
    if not found:
        end = pytest.fail if os.environ.get("PLAIT_NEED_CLUSTER") else pytest.skip
        end("there is no etcd: run tests/cluster/fetch")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def certificates(directory: Path) -> Certificates:
    """As the tests' API server has them, but as etcd's gateway wants them: the server's is one for
    a client too, which the gateway is, and ours says no name, which it would not heed.
    """
    made = make(directory)
    authority = _made(NAMES).authority.parent
    for key in ("ca.crt", "ca.key"):
        shutil.copy(authority / key, directory / key)
    extensions = f"subjectAltName={NAMES}", "extendedKeyUsage=serverAuth,clientAuth"
    _signed(directory, "server", "/CN=etcd", "ca", *extensions)
    _signed(directory, "client", "/O=plait", "ca", "extendedKeyUsage=clientAuth")
    return made


class EtcdServer:
    """One member; its data outlives it. With certificates it asks for one of the client."""

    def __init__(
        self, directory: Path, certificates: Certificates | None = None, token_ttl: int = 2
    ) -> None:
        """`token_ttl`: seconds after which etcd forgets a user's token that is not used."""
        self._directory = directory
        self._certificates = certificates
        self._token_ttl = token_ttl
        self._port, self._peer_port = free_port(), free_port()
        scheme = "https" if certificates else "http"
        self.url = f"{scheme}://127.0.0.1:{self._port}"
        self.port = self._port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        peer = f"http://127.0.0.1:{self._peer_port}"
        arguments = [
            f"--data-dir={self._directory}/data",
            f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}", "--unsafe-no-fsync",
            f"--auth-token-ttl={self._token_ttl}",
        ]  # fmt: skip
        if self._certificates:
            made = self._certificates
            arguments += [
                f"--cert-file={made.certificate}", f"--key-file={made.key}",
                f"--trusted-ca-file={made.authority}", "--client-cert-auth",
            ]  # fmt: skip
        with open(self._directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                [binary(), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It takes connections, as far as the kernel does, and is silent."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, path: str, body: object) -> Any:
        """An answer by Python's own client."""
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE, context=self._tls()) as answer:
            return json.loads(answer.read())

    def enable_authentication(self, user: str, password: str, prefix: str) -> None:
        """From now on it answers users only, and this one what is below the prefix."""
        self.ask("/v3/auth/user/add", {"name": "root", "password": "secret"})
        self.ask("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.ask("/v3/auth/user/add", {"name": user, "password": password})
        self.ask("/v3/auth/role/add", {"name": user})
        first, end = (b64encode(each.encode()).decode() for each in (prefix, f"{prefix}\x7f"))
        permission = {"permType": "READWRITE", "key": first, "range_end": end}
        self.ask("/v3/auth/role/grant", {"name": user, "perm": permission})
        self.ask("/v3/auth/user/grant", {"user": user, "role": user})
        self.ask("/v3/auth/enable", {})

    def put(self, key: str, value: str) -> None:
        texts = {"key": key, "value": value}
        self.ask("/v3/kv/put", {k: b64encode(v.encode()).decode() for k, v in texts.items()})

    def keys(self, prefix: str) -> list[str]:
        """All keys below a prefix, without it."""
        first, end = (b64encode(each.encode()).decode() for each in (prefix, f"{prefix}\x7f"))
        body = {"key": first, "range_end": end, "keys_only": True}
        found = self.ask("/v3/kv/range", body).get("kvs", [])
        return [b64decode(each["key"]).decode().removeprefix(prefix) for each in found]

    def _tls(self) -> ssl.SSLContext | None:
        if not self._certificates:
            return None
        context = ssl.create_default_context(cafile=self._certificates.authority)
        made = self._certificates
        context.load_cert_chain(made.client_certificate, made.client_key)
        return context

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.ask("/v3/kv/range", {"key": "AA=="})
                return
            except urllib.error.HTTPError as error:
                if error.code in (400, 401, 403):  # it wants to know who asks
                    return
                failure: OSError = error
            except OSError as error:
                failure = error
            log = (self._directory / "log").read_text()
            assert self._process.poll() is None, log
            assert time.monotonic() < end, f"{failure}\n{log}"
            time.sleep(0.05)
