"""Where the API server is and who we are to it: a kubeconfig, or the service account of a pod."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.errors import CniError, describe, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.core.types import Json

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

_MAX_FILE = 1 << 20  #: bytes

#: ways to authenticate that need other programs or servers
_UNSUPPORTED = ("exec", "auth-provider", "username", "password")


class Access(NamedTuple):
    """What it takes to ask: certificates and key are PEM texts, `source` is for messages."""

    server: str
    source: str
    namespace: str = "default"
    ca: str = ""  #: empty: the authorities that the system trusts
    verify: bool = True
    server_name: str = ""  #: that the certificate must have, when it is not the server's address
    token: str = ""
    certificate: str = ""
    key: str = ""


def from_kubeconfig(path: str) -> Access:
    """The current context of a kubeconfig file, YAML or JSON.

    Raises CniError 5 for a file that cannot be read, 7 for one that cannot be used.
    """
    document = _parse(_read(path), path)
    context = _named(document, "contexts", "context", _current_context(document, path), path)
    cluster = _named(document, "clusters", "cluster", _text(context, "cluster", path), path)
    user: Json = {}
    if name := _text(context, "user", path):
        user = _named(document, "users", "user", name, path)
    for key in _UNSUPPORTED:
        if user.get(key):
            raise invalid(f'kubeconfig {path}: "{key}" is not supported: use a token')
    server = _text(cluster, "server", path)
    if not server:
        raise invalid(f'kubeconfig {path}: the cluster has no "server"')
    skip = cluster.get("insecure-skip-tls-verify") or False
    if not isinstance(skip, bool):
        raise invalid(f'kubeconfig {path}: "insecure-skip-tls-verify" must be a boolean')
    return Access(
        server=server,
        source=f"kubeconfig {path}",
        namespace=_text(context, "namespace", path) or "default",
        ca=_data_or_file(cluster, "certificate-authority", path),
        verify=not skip,
        server_name=_text(cluster, "tls-server-name", path),
        token=_token(user, path),
        certificate=_data_or_file(user, "client-certificate", path),
        key=_data_or_file(user, "client-key", path),
    )


def in_cluster(environ: Mapping[str, str], directory: str = SERVICE_ACCOUNT) -> Access | None:
    """The service account of the pod that we run in; None when we run in none.

    On a node whose environment speaks of a cluster there is no service account either.
    """
    host, port = (environ.get(f"KUBERNETES_SERVICE_{key}") for key in ("HOST", "PORT"))
    token = os.path.join(directory, "token")
    if not host or not port or not os.path.exists(token):
        return None
    ca, namespace = (os.path.join(directory, name) for name in ("ca.crt", "namespace"))
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        source=f"service account {directory}",
        namespace=_read(namespace).strip() if os.path.exists(namespace) else "default",
        ca=_read(ca) if os.path.exists(ca) else "",
        token=_header(_read(token).strip(), token),
    )


def _read(path: str) -> str:
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise invalid(f"{path} is not a regular file")
        with open(path, "rb") as file:
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise invalid(f"{path} is larger than {_MAX_FILE} bytes")
        return data.decode()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise describe(error) from None
        raise invalid(f"{path} is not UTF-8") from None


def _parse(text: str, path: str) -> Json:
    """JSON is YAML too, and what our installer writes: the YAML library costs 20 ms."""
    document: Any = None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        import yaml

        try:
            document = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise invalid(f"kubeconfig {path} is not YAML", reason) from None
    if not isinstance(document, dict):
        raise invalid(f"kubeconfig {path} is not an object")
    return document


def _current_context(document: Json, path: str) -> str:
    """The one that is current; with a single context, that."""
    name = _text(document, "current-context", path)
    contexts = document.get("contexts")
    if not name and isinstance(contexts, list) and len(contexts) == 1:
        only = contexts[0]
        name = _text(only, "name", path) if isinstance(only, dict) else ""
    if not name:
        raise invalid(f'kubeconfig {path} has no "current-context"')
    return name


def _named(document: Json, plural: str, singular: str, name: str, path: str) -> Json:
    entries = document.get(plural)
    for each in entries if isinstance(entries, list) else ():
        if isinstance(each, dict) and each.get("name") == name:
            found = each.get(singular)
            return found if isinstance(found, dict) else {}
    raise invalid(f'kubeconfig {path}: no {singular} is called "{name}"')


def _text(entry: Json, key: str, path: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str | None):
        raise invalid(f'kubeconfig {path}: "{key}" must be a string')
    return value or ""


def _data_or_file(entry: Json, key: str, path: str) -> str:
    """A PEM text: inline in base64, or in a file beside the kubeconfig."""
    if data := _text(entry, f"{key}-data", path):
        import base64

        try:
            return base64.b64decode("".join(data.split()), validate=True).decode()
        except ValueError:
            raise invalid(f'kubeconfig {path}: "{key}-data" is not a PEM in base64') from None
    if file := _text(entry, key, path):
        return _read(os.path.join(os.path.dirname(path), file))
    return ""


def _token(user: Json, path: str) -> str:
    """Of the two ways the file counts: it is the one that changes (client-go)."""
    if file := _text(user, "tokenFile", path):
        return _header(_read(os.path.join(os.path.dirname(path), file)).strip(), file)
    return _header(_text(user, "token", path).strip(), f'"token" of kubeconfig {path}')


def _header(token: str, where: str) -> str:
    """The token; raises CniError 7 for one that would break out of the HTTP header."""
    if not token.isascii() or not all("!" <= c <= "~" for c in token):
        raise CniError(7, f"{where}: a token holds no spaces and no control characters")
    return token
