"""A container image that no registry is asked for: busybox, in the format of `docker save`."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

NAME = "localhost/busybox:plait"
BUSYBOX = Path("/bin/busybox")
#: Also the sandbox's own process: it does nothing until it is told to end.
PAUSE = b"""#!/bin/sh
trap "exit 0" TERM INT
while :; do sleep 3600 & wait $!; done
"""
DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var")
APPLETS = ("cat", "ip", "ping", "sh", "sleep")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(archive: Path) -> None:
    """Writes the image to `archive`; containerd and podman both import it."""
    layer = _layer()
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {"Cmd": ["/pause"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    layer_name = f"{digest}/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": [NAME], "Layers": [layer_name]}]
    with tarfile.open(archive, "w") as tar:
        _add(tar, config_name, config)
        _add(tar, layer_name, layer)
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in DIRECTORIES:
            directory = tarfile.TarInfo(name)
            directory.type = tarfile.DIRTYPE
            directory.mode = 0o755
            tar.addfile(directory)
        _add(tar, "bin/busybox", BUSYBOX.read_bytes(), mode=0o755)
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type = tarfile.SYMTYPE
            link.linkname = "busybox"
            tar.addfile(link)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        _add(tar, "pause", PAUSE, mode=0o755)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    tar.addfile(entry, io.BytesIO(content))
