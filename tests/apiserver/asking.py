"""A client of the standard library alone, to hold the server against."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from pathlib import Path

    from .server import ApiServer

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
PODS = "/api/v1/namespaces/default/pods"
P1 = f"{PODS}/p1"
NADS = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions"
POOLS = "/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/kube-system/ippools"


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: http.client.HTTPMessage

    @property
    def json(self) -> Json:
        document: Json = json.loads(self.body)
        return document


class Client:
    """One connection that is kept; who asks is a token, a certificate, or nobody."""

    def __init__(
        self,
        api: ApiServer,
        token: str | None = None,
        certificate: tuple[Path, Path] | None = None,
        timeout: float = 30.0,
    ) -> None:
        context = ssl.create_default_context(cafile=api.certificates.authority)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        self._token = api.token if token is None and certificate is None else token
        self.connection = http.client.HTTPSConnection(
            "127.0.0.1", api.port, timeout=timeout, context=context
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(
        self, method: str, path: str, body: Any = None, content_type: str = ""
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if content_type:
            headers["Content-Type"] = content_type
        text = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        self.connection.request(method, path, text, headers)
        return self.connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "") -> Reply:
        try:
            response = self.send(method, path, body, content_type)
            return Reply(response.status, response.read(), response.headers)
        except BaseException:
            self.connection.close()  # The next request is made on a new one.
            raise

    def get(self, path: str) -> Reply:
        return self.ask("GET", path)

    def merge(self, path: str, patch: Any) -> Reply:
        return self.ask("PATCH", path, patch, MERGE)
