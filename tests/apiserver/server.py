"""The server as tests hold it: started on a port of its own, filled, made to fail, asked."""

from __future__ import annotations

import copy
import json
import secrets
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from . import certificates, kubeconfig
from .connection import Conversation, World, wait_out
from .faults import Fault
from .journal import Seen
from .resources import Resource, parse
from .selectors import selection
from .status import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .faults import Kind
    from .store import Json

__all__ = ["ApiServer", "Seen"]

_HOST = "127.0.0.1"
_NADS = "/apis/k8s.cni.cncf.io/v1/namespaces"


class ApiServer:
    """An API server in threads of this process; its objects outlive stop() and start()."""

    #: of the bearer of `token`, and of the client certificate
    user = "multus"
    certificate_user = certificates.CLIENT

    def __init__(self, directory: Path, *, port: int = 0, names: str = certificates.NAMES) -> None:
        """`directory` gets the certificates; `names` are those of the server's."""
        self.certificates = certificates.make(directory / "pki", names)
        self.token = secrets.token_urlsafe(24)
        self.world = World({self.token: self.user})
        self._open: dict[ssl.SSLSocket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._tls = _tls(self.certificates)
        self._listener: socket.socket | None = None
        self._port = _bind(port)  # Kept while stopped, so that nobody else is there.

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._port.close()

    def start(self) -> None:
        """Listen; after a stop, on the port of before."""
        if self._listener is not None:
            return
        self.world.stopped.clear()
        self._listener = self._port
        self._listener.listen(512)
        self._address = self._listener.getsockname()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Be gone: the port refuses, every connection is cut, what is being handled has ended."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self.world.stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self._port = _bind(self._address[1])
        self.world.release()
        self.world.store.wake()
        with self._lock:
            conversations = list(self._open.items())
        for connection, _ in conversations:
            _shut(connection)
        for _, thread in conversations:
            thread.join(10)

    @property
    def port(self) -> int:
        port: int = self._port.getsockname()[1] if self._listener is None else self._address[1]
        return port

    @property
    def url(self) -> str:
        return f"https://{_HOST}:{self.port}"

    # What clients need.

    def kubeconfig(
        self,
        path: Path,
        *,
        form: kubeconfig.Form = "yaml",
        auth: kubeconfig.Auth = "token",
        ca: kubeconfig.Ca = "data",
        token: str | None = None,
        server: str | None = None,
        namespace: str = "",
    ) -> Path:
        """Write a kubeconfig, by default one that works; a tokenFile is `path` + ".token"."""
        return kubeconfig.write(
            path,
            self.certificates,
            form=form,
            auth=auth,
            ca=ca,
            token=self.token if token is None else token,
            server=server or self.url,
            namespace=namespace,
        )

    @property
    def tokens(self) -> dict[str, str]:
        """Users by token; may be changed at any time."""
        return self.world.access.tokens

    def forbid(self, user: str, verb: str, resource: str) -> None:
        """Answer 403, as in forbid("multus", "patch", "pods/status"); "*" is any."""
        self.world.access.forbidden.add((user, verb, resource))

    def permit(self) -> None:
        """Nothing is forbidden any more."""
        self.world.access.forbidden.clear()

    # What is stored.

    def pod(
        self,
        namespace: str,
        name: str,
        annotations: Mapping[str, str] | None = None,
        uid: str | None = None,
    ) -> Json:
        metadata: Json = {"annotations": dict(annotations)} if annotations else {}
        if uid is not None:
            metadata["uid"] = uid
        document = {
            "metadata": metadata,
            "spec": {"nodeName": "node1", "containers": [{"name": "main", "image": "pause"}]},
            "status": {"phase": "Pending"},
        }
        target = Resource("", "v1", "pods", namespace, name)
        return copy.deepcopy(self._create(target, document))

    def nad(
        self,
        namespace: str,
        name: str,
        config: Mapping[str, Any] | str | None,
        annotations: Mapping[str, str] | None = None,
    ) -> Json:
        """A NetworkAttachmentDefinition; a config that is text is taken as it is."""
        document: Json = {"metadata": {"annotations": dict(annotations)} if annotations else {}}
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(config)
            document["spec"] = {"config": text}
        path = f"{_NADS}/{quote(namespace)}/network-attachment-definitions/{quote(name)}"
        return copy.deepcopy(self._create(_target(path), document))

    def get(self, path: str) -> Json | None:
        """The object of a path such as "/api/v1/namespaces/default/pods/p1"."""
        try:
            return copy.deepcopy(self.world.store.get(_target(path)))
        except Refusal:
            return None

    def put_object(self, path: str, document: Mapping[str, Any]) -> Json:
        """Store an object, new or not; its name and namespace are those of the path."""
        stored = self.world.store.put(_target(path), copy.deepcopy(dict(document)))
        return copy.deepcopy(stored)

    def delete(self, path: str) -> None:
        """Take an object away; gone is fine."""
        try:
            self.world.store.delete(_target(path), {})
        except Refusal:
            pass

    def events(self, namespace: str) -> list[Json]:
        target = Resource("", "v1", "events", namespace)
        selected = selection(target, {})
        items, _ = self.world.store.items(target)
        return [copy.deepcopy(item) for item in items if selected(item)]

    def compact(self) -> None:
        """Forget the past: watches from earlier versions, and continued lists, are told 410."""
        self.world.store.compact()

    # What was asked.

    @property
    def requests(self) -> list[Seen]:
        return self.world.journal.all()

    @property
    def connections(self) -> int:
        """TCP connections that were accepted, since the start or clear()."""
        return self.world.journal.connections

    def clear(self) -> None:
        """Forget the requests and the number of connections."""
        self.world.journal.clear()

    # What goes wrong.

    def fail(
        self,
        times: int | None = 1,
        *,
        method: str | None = None,
        path: str = "",
        delay: float = 0.0,
        status: int | None = None,
        kind: Kind | None = None,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Let the next `times` requests that match fail; None: all of them until heal().

        `path` is how their path begins.  Kinds are explained in `faults`; `delay` in seconds goes
        before them, and is the time between two bytes of a drip.  Of several faults that match,
        the one that was set first happens.
        """
        self.world.faults.add(Fault(times, method, path, delay, status, kind, body, headers))

    def heal(self) -> None:
        """No faults any more; who still waits because of one waits no longer."""
        self.world.faults.clear()
        self.world.release()

    def _create(self, target: Resource, document: Json) -> Json:
        described = document["metadata"] | {"name": target.name}
        whole = {"apiVersion": target.api_version, "kind": target.kind} | document
        return self.world.store.create(target._replace(name=""), whole | {"metadata": described})

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:  # stopped
                return
            self.world.journal.connected()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self._tls.wrap_socket(
                plain, server_side=True, do_handshake_on_connect=False
            )
            thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
            with self._lock:
                self._open[connection] = thread
            thread.start()
            if self.world.stopped.is_set():
                _shut(connection)

    def _converse(self, connection: ssl.SSLSocket) -> None:
        fault = self.world.faults.for_connection()
        try:
            if fault is not None and fault.kind == "silent-tls":
                wait_out(connection, self.world.released)
            if fault is None:
                connection.do_handshake()
                Conversation(connection, self.world)
        except OSError:  # The client has hung up, or does not trust us.
            pass
        finally:
            with self._lock:
                del self._open[connection]
            connection.close()


def _target(path: str) -> Resource:
    target = parse(path)
    if target is None:
        raise ValueError(f"{path} is no path of the API")
    return target


def _bind(port: int) -> socket.socket:
    """A port that is ours, and refuses connections as long as nobody listens."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((_HOST, port))
    return bound


def _shut(connection: ssl.SSLSocket) -> None:
    """End the TCP connection under a conversation of another thread, which notices."""
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:  # It has ended by itself.
        pass


def _tls(files: certificates.Certificates) -> ssl.SSLContext:
    """Asks for a client certificate; one of a stranger is accepted here, and is nobody later.

    That is how the real server answers it: with 401, and not in the handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.authority)
    context.load_verify_locations(files.other_authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context
