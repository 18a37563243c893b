"""Device-info files (NPWG device-info 1.1.0): what a device plugin tells of a device.

It writes `dp/<resource>-<device ID>-device.json`. The delegate and the status have a copy of their
own, `cni/<network>-<container ID>_<ifname>`, which a CNI plugin may also write itself in its ADD.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import invalid
from cni.store import files
from meta.multus import disk

if TYPE_CHECKING:
    from cni.core.types import Json

_MAX_SIZE = 64 << 10  #: bytes; a real one has some hundred


def path(root: str, name: str, container_id: str, ifname: str) -> str:
    """Where the delegate's file is; raises CniError 7 when no file can have such a name."""
    return os.path.join(root, "cni", _file_name("{}-{}_{}", name, container_id, ifname))


def provide(root: str, resource: str, device_id: str, target: str) -> bool:
    """Copy the device plugin's file to `target` before the ADD; whether it is there now.

    What is there already is left from an earlier attempt at the same interface. It goes even when
    nothing takes its place: the device may be another one by now, and a plugin that writes the
    file itself refuses to replace one. Raises CniError 7 when no file can have such a name,
    OSError when the copy cannot be written.
    """
    source = os.path.join(root, "dp", _file_name("{}-{}-device.json", resource, device_id))
    remove(target)
    try:
        data = _content(source)
    except disk.DamagedError as error:
        log.warning("a device-info file cannot be used", file=source, reason=error)
        return False
    if data is None:
        log.debug("the device plugin wrote no device-info file", file=source)
        return False
    files.write(target, data, durable=False)  # it means nothing after a boot
    os.chmod(target, 0o444)
    return True


def read(target: str) -> Json | None:
    """The file as an object with a "type", to be trusted in nothing else; None without one."""
    try:
        data = _content(target)
        if data is None:
            return None
        info = json.loads(data.decode())
        # Go takes names in any case
        if not isinstance(info, dict) or not any(
            key.lower() == "type" and isinstance(value, str) for key, value in info.items()
        ):
            raise disk.DamagedError('not an object with a "type"')
    except (disk.DamagedError, ValueError, RecursionError) as error:
        log.warning("a device-info file cannot be used", file=target, reason=error)
        return None
    return info


def remove(target: str) -> None:
    """Remove the delegate's file; gone is fine, and so is a directory, which is not ours."""
    try:
        files.remove(target)
    except IsADirectoryError:
        log.warning("not a device-info file, left alone", file=target)


def _file_name(form: str, *parts: str) -> str:
    """The original's name: every slash a dash."""
    name = form.format(*(part.replace("/", "-") for part in parts))
    # names come from the pod and from device plugins; NUL and half a surrogate pair do not print
    if any(".." in part.split("/") or not part.isprintable() for part in parts):
        raise invalid("no device-info file can have such a name", ascii(name)[:300])
    if disk.is_too_long(name):
        raise invalid("the name of the device-info file is too long", name)
    return name


def _content(path: str) -> bytes | None:
    """The file; None when there is none. Raises DamagedError for all but a small regular file."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO would be waited for
    try:
        fd = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise disk.DamagedError(str(error)) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise disk.DamagedError("not a regular file")
        data = os.read(fd, _MAX_SIZE + 1)
    finally:
        os.close(fd)
    if len(data) > _MAX_SIZE:
        raise disk.DamagedError(f"larger than {_MAX_SIZE} bytes")
    return data
