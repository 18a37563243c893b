"""Kubeconfigs as the tests vary them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from cni.kube import access

if TYPE_CHECKING:
    from pathlib import Path

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
DATA = base64.b64encode(PEM.encode()).decode()
SERVER = "https://api:6443"
SECRET = "eyJhbGciOi.very-secret_token.abc123"


def document(
    cluster: Any = None, user: Any = None, context: Any = None, **top: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "other", "cluster": {"server": "https://other"}},
            {
                "name": "c",
                "cluster": {"server": "https://api:6443"} if cluster is None else cluster,
            },
        ],
        "users": [{"name": "u", "user": {"token": SECRET} if user is None else user}],
        "contexts": [
            {"name": "x", "context": {"cluster": "c", "user": "u"} if context is None else context}
        ],
        "current-context": "x",
        **top,
    }


def load(path: Path, content: Any) -> access.Access:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return access.from_kubeconfig(str(path))
