"""Kubeconfig files, as the daemon of multus writes them and as others do."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from .certificates import Certificates

Form = Literal["yaml", "json"]
Auth = Literal["token", "tokenFile", "certificate", "certificateFiles", "none"]
Ca = Literal["data", "file", "skip", "wrong", "none"]


def write(
    path: Path,
    certificates: Certificates,
    *,
    form: Form,
    auth: Auth,
    ca: Ca,
    token: str,
    server: str,
    namespace: str,
) -> Path:
    """Write a kubeconfig with one cluster, one user, one context.

    A token file is written beside it, with ".token" behind its name.
    """
    context = {"cluster": "local", "user": "multus"}
    if namespace:
        context["namespace"] = namespace
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server} | _ca(ca, certificates)}],
        "users": [{"name": "multus", "user": _user(auth, token, path, certificates)}],
        "contexts": [{"name": "multus-context", "context": context}],
        "current-context": "multus-context",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "json":
        path.write_text(json.dumps(document))
    else:
        head = "# Kubeconfig file for Multus CNI plugin.\n"
        path.write_text(head + "\n".join(_lines(document)) + "\n")
    path.chmod(0o600)
    return path


def _ca(ca: Ca, certificates: Certificates) -> dict[str, Any]:
    match ca:
        case "data":
            return {"certificate-authority-data": _data(certificates.authority)}
        case "wrong":
            return {"certificate-authority-data": _data(certificates.other_authority)}
        case "file":
            return {"certificate-authority": str(certificates.authority)}
        case "skip":
            return {"insecure-skip-tls-verify": True}
        case "none":
            return {}


def _user(auth: Auth, token: str, path: Path, certificates: Certificates) -> dict[str, Any]:
    match auth:
        case "token":
            return {"token": token}
        case "tokenFile":
            file = path.with_name(path.name + ".token")
            file.write_text(token)
            return {"tokenFile": str(file)}
        case "certificate":
            return {
                "client-certificate-data": _data(certificates.client_certificate),
                "client-key-data": _data(certificates.client_key),
            }
        case "certificateFiles":
            return {
                "client-certificate": str(certificates.client_certificate),
                "client-key": str(certificates.client_key),
            }
        case "none":
            return {}


def _data(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _lines(value: Any) -> list[str]:
    """Block style, a list at the indentation of its key; a token is in double quotes."""
    lines: list[str] = []
    for key, inner in value.items():
        if isinstance(inner, list):
            lines.append(f"{key}:")
            for item in inner:
                first, *rest = _lines(item)
                lines += [f"- {first}", *(f"  {line}" for line in rest)]
        elif isinstance(inner, dict) and inner:
            lines += [f"{key}:", *(f"  {line}" for line in _lines(inner))]
        elif isinstance(inner, str) and key != "token":
            lines.append(f"{key}: {inner}")
        else:
            lines.append(f"{key}: {json.dumps(inner)}")
    return lines
