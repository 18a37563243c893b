"""The kubeconfig of the node's multus, made from the service account of the installer's pod.

JSON, which every reader of YAML takes too. The token is in it: the account's directory exists in
the pod only.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cni.core import log
from cni.core.errors import CniError, Code, invalid
from cni.ctl.install.place import KEPT
from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_CONTEXT = "plait"  #: by which a file of ours is known


def server_of(environ: Mapping[str, str]) -> str:
    """The URL of the API server, as pods are told it; raises CniError 4."""
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            "no API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set",
            "outside of a pod give --server, or --kubeconfig",
        )
    protocol = environ.get("KUBERNETES_SERVICE_PROTOCOL") or "https"
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return checked_server(f"{protocol}://{host}:{port}")


def checked_server(url: str) -> str:
    """Raises CniError 7 for what is no URL of an API server."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        raise invalid(f'"{url}" is no URL of an API server')
    return url


def render(account: str, server: str) -> bytes:
    """The file for a service account's directory.

    Raises CniError 5 while token or certificate are missing or not whole.
    """
    token = _read(account, "token").strip()
    if not token or not token.isascii() or any(each <= " " or each == "\x7f" for each in token):
        raise CniError(Code.IO_FAILURE, f"{account}/token holds no token")
    authority = _read(account, "ca.crt")
    begun, ended = (authority.count(f"-----{each} CERT") for each in ("BEGIN", "END"))
    if not begun or begun != ended:
        raise CniError(Code.IO_FAILURE, f"{account}/ca.crt holds no whole certificate")
    namespace = (files.read(os.path.join(account, "namespace")) or b"").decode("utf-8", "replace")
    data = base64.b64encode(authority.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "local", "cluster": {"server": server, "certificate-authority-data": data}}
        ],
        "users": [{"name": "multus", "user": {"token": token}}],
        "contexts": [
            {
                "name": _CONTEXT,
                "context": {
                    "cluster": "local",
                    "user": "multus",
                    "namespace": namespace.strip() or "default",
                },
            }
        ],
        "current-context": _CONTEXT,
    }
    return (json.dumps(document, indent=4) + "\n").encode()


def install(path: str, data: bytes) -> None:
    """Write it unless it is there already; another program's file is kept beside it."""
    found = files.read(path)
    if found == data and os.stat(path).st_mode & 0o777 == 0o600:
        return
    if found and not is_ours(found):
        files.write(path + KEPT, found)
        log.info("kept another program's kubeconfig", file=path + KEPT)
    files.write(path, data)
    log.info("wrote the kubeconfig", file=path)


def uninstall(path: str) -> None:
    """Remove it, or put back what was in its place; a file that is not ours stays."""
    found = files.read(path)
    if found is None or is_ours(found):
        files.remove(path)
        if os.path.lexists(path + KEPT):
            os.rename(path + KEPT, path)
            log.info("restored", file=path)
        elif found is not None:
            log.info("removed", file=path)
    try:
        os.rmdir(os.path.dirname(path))
    except OSError:
        pass  # gone, or somebody has files there


def is_ours(data: bytes) -> bool:
    try:
        document: Any = json.loads(data)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("current-context") == _CONTEXT


def _read(account: str, name: str) -> str:
    data = files.read(os.path.join(account, name))
    if data is None:
        raise CniError(
            Code.IO_FAILURE,
            f"no {name} of a service account in {account}",
            "outside of a pod give --service-account, or --kubeconfig",
        )
    return data.decode("utf-8", "replace")
