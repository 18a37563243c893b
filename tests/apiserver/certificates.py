"""Certificates by the openssl command: an authority, what it has signed, and an unrelated one."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

AUTHORITY = "plait-test-authority"
#: of the client certificate, as a kubelet-like identity of multus would have it
CLIENT = "system:multus:node1"
NAMES = "IP:127.0.0.1,DNS:localhost"


class Certificates(NamedTuple):
    """PEM files; the client's are signed by the same authority as the server's."""

    authority: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path
    other_authority: Path
    other_certificate: Path  #: a client certificate of the other authority
    other_key: Path


def make(directory: Path, names: str = NAMES) -> Certificates:
    """Put certificates into a directory; they are made once per process and set of names.

    `names` are those of the server: "DNS:localhost,IP:127.0.0.1".
    """
    made = _made(names)
    directory.mkdir(parents=True, exist_ok=True)
    for file in made:
        shutil.copy(file, directory / file.name)
    return Certificates(*(directory / file.name for file in made))


@functools.cache
def _made(names: str) -> Certificates:
    directory = Path(tempfile.mkdtemp(prefix="plait-certificates."))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    _authority(directory, "ca", AUTHORITY)
    _authority(directory, "other-ca", "unrelated-authority")
    leaf = f"subjectAltName={names}", "extendedKeyUsage=serverAuth"
    _signed(directory, "server", "/CN=kube-apiserver", "ca", *leaf)
    client = f"/O=system:multus/CN={CLIENT}"
    _signed(directory, "client", client, "ca", "extendedKeyUsage=clientAuth")
    _signed(directory, "other", client, "other-ca", "extendedKeyUsage=clientAuth")
    stems = ("server", "client", "other")
    server, of_client, other = ((directory / f"{s}.crt", directory / f"{s}.key") for s in stems)
    authorities = directory / "ca.crt", directory / "other-ca.crt"
    return Certificates(authorities[0], *server, *of_client, authorities[1], *other)


def _authority(directory: Path, stem: str, name: str) -> None:
    _openssl(directory, stem, f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")


def _signed(directory: Path, stem: str, subject: str, authority: str, *extensions: str) -> None:
    by = ("-CA", directory / f"{authority}.crt", "-CAkey", directory / f"{authority}.key")
    extensions = ("basicConstraints=critical,CA:FALSE", *extensions)
    wanted = [word for extension in extensions for word in ("-addext", extension)]
    _openssl(directory, stem, subject, *by, *wanted)


def _openssl(directory: Path, stem: str, subject: str, *arguments: str | Path) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    files = ("-keyout", directory / f"{stem}.key", "-out", directory / f"{stem}.crt")
    command = ("openssl", "req", "-x509", *key, *files, "-subj", subject, "-days", "3650")
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl: {done.stderr}")
