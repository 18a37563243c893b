"""Where the API server is and who we are to it: a kubeconfig, or the service account of a pod."""

from __future__ import annotations

import binascii
import json
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.errors import CniError, describe, invalid
from cni.kube.line import line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.core.types import Json

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

_MAX_FILE = 1 << 20  #: bytes

#: what needs other programs or servers, or would make us somebody else if it were overlooked
_UNSUPPORTED = {
    "cluster": ("proxy-url",),
    "user": ("exec", "auth-provider", "username", "password", "as", "as-uid", "as-groups"),
}


class Access(NamedTuple):
    """What it takes to ask: certificates and key are PEM texts, `source` is for messages."""

    server: str
    source: str
    namespace: str = ""  #: of the context, or of the service account; empty: none is said
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
    try:
        text = _read(path)
    except CniError as error:
        raise error.within("kubeconfig") from None
    document = _parse(text, path)
    context = _named(document, "context", _current_context(document, path), path)
    cluster = _named(document, "cluster", _text(context, "cluster", path), path)
    user: Json = {}
    if name := _text(context, "user", path):
        user = _named(document, "user", name, path)
    server = _text(cluster, "server", path)
    if not server:
        raise _wrong(path, 'the cluster has no "server"')
    skip = cluster.get("insecure-skip-tls-verify") or False
    if not isinstance(skip, bool):
        raise _wrong(path, '"insecure-skip-tls-verify" must be a boolean')
    ca = _data_or_file(cluster, "certificate-authority", path)
    if skip and ca:
        raise _wrong(path, '"insecure-skip-tls-verify" together with a "certificate-authority"')
    certificate = _data_or_file(user, "client-certificate", path)
    key = _data_or_file(user, "client-key", path)
    if bool(certificate) != bool(key):
        raise _wrong(path, '"client-certificate" and "client-key" need each other')
    return Access(
        server=server,
        source=line(f"kubeconfig {path}"),
        namespace=_text(context, "namespace", path),
        ca=ca,
        verify=not skip,
        server_name=_text(cluster, "tls-server-name", path),
        token=_token(user, path),
        certificate=certificate,
        key=key,
    )


def in_cluster(environ: Mapping[str, str], directory: str = SERVICE_ACCOUNT) -> Access | None:
    """The service account of the pod that we run in; None when we run in none.

    On a node whose environment speaks of a cluster there is no service account either.
    Raises CniError as from_kubeconfig does.
    """
    host, port = (environ.get(f"KUBERNETES_SERVICE_{key}") for key in ("HOST", "PORT"))
    token = os.path.join(directory, "token")
    if not host or not port or not os.path.exists(token):
        return None
    ca, namespace = (os.path.join(directory, name) for name in ("ca.crt", "namespace"))
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        source=f"service account {directory}",
        namespace=_read(namespace).strip() if os.path.exists(namespace) else "",
        ca=_read(ca) if os.path.exists(ca) else "",
        token=_token_of_file(token),
    )


def _wrong(path: str, what: str, reason: str = "") -> CniError:
    return invalid(line(f"kubeconfig {path}: {what}"), line(reason))


def _read(path: str) -> str:
    try:
        with open(path, "rb", opener=_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise invalid(line(f"{path} is not a regular file"))
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise invalid(line(f"{path} is larger than {_MAX_FILE} bytes"))
        return data.decode()
    except OSError as error:
        failure = describe(error)
        raise CniError(failure.code, line(failure.msg), failure.details) from None
    except UnicodeDecodeError:
        raise invalid(line(f"{path} is not UTF-8")) from None
    except ValueError:
        raise invalid(line(f"{path!r} cannot be the name of a file")) from None


def _at_once(path: str, flags: int) -> int:
    """A FIFO would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _parse(text: str, path: str) -> Json:
    """JSON is YAML too, and what our installer writes: the YAML library costs 20 ms."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        document = _parse_yaml(text, path)
    if not isinstance(document, dict):
        raise _wrong(path, "not an object")
    return document


def _parse_yaml(text: str, path: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        # in its own words it would quote the line, and a token may stand there
        at = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _wrong(path, "not YAML", f"{at}{error.problem}") from None
    except yaml.YAMLError as error:
        raise _wrong(path, "not YAML", str(error)) from None
    except (ValueError, RecursionError):  # no such date, for one
        raise _wrong(path, "not YAML") from None


def _current_context(document: Json, path: str) -> str:
    """The one that is current; with a single context, that."""
    name = _text(document, "current-context", path)
    contexts = document.get("contexts")
    if not name and isinstance(contexts, list) and len(contexts) == 1:
        only = contexts[0]
        name = _text(only, "name", path) if isinstance(only, dict) else ""
    if not name:
        raise _wrong(path, 'no "current-context"')
    return name


def _named(document: Json, kind: str, name: str, path: str) -> Json:
    """The context, cluster or user of a name."""
    entries = document.get(f"{kind}s")
    if not isinstance(entries, list | None):
        raise _wrong(path, f'"{kind}s" must be a list')
    for each in entries or ():
        if isinstance(each, dict) and each.get("name") == name:
            found = each.get(kind)
            if not isinstance(found, dict | None):
                raise _wrong(path, f'"{kind}" of "{name}" must be an object')
            for key in _UNSUPPORTED.get(kind, ()):
                if (found or {}).get(key):
                    raise _wrong(path, f'"{key}" of {kind} "{name}" is not supported')
            return found or {}
    raise _wrong(path, f'no {kind} is called "{name}"')


def _text(entry: Json, key: str, path: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str | None):
        raise _wrong(path, f'"{key}" must be a string')
    return value or ""


def _data_or_file(entry: Json, key: str, path: str) -> str:
    """A PEM text: inline in base64, or in a file beside the kubeconfig."""
    if data := _text(entry, f"{key}-data", path):
        try:
            return binascii.a2b_base64("".join(data.split()), strict_mode=True).decode()
        except ValueError:
            raise _wrong(path, f'"{key}-data" is not a PEM in base64') from None
    if file := _text(entry, key, path):
        return _read(_beside(path, file))
    return ""


def _beside(path: str, file: str) -> str:
    return os.path.join(os.path.dirname(path), file)


def _token(user: Json, path: str) -> str:
    """Of the two ways the file counts: it is the one that changes (client-go)."""
    if file := _text(user, "tokenFile", path):
        return _token_of_file(_beside(path, file))
    return _header(_text(user, "token", path).strip(), f'"token" of kubeconfig {path}')


def _token_of_file(path: str) -> str:
    """Without a token we would be nobody, and be told no more than that."""
    token = _header(_read(path).strip(), path)
    if not token:
        raise invalid(line(f"{path}: no token in it"))
    return token


def _header(token: str, where: str) -> str:
    """The token; raises CniError 7 for one that would break out of the HTTP header."""
    if not all("!" <= c <= "~" for c in token):
        raise invalid(line(f"{where}: a token holds no spaces and no control characters"))
    return token
