"""What libcni's cache says of attachments: files `<state>/results/<network>-<container>-<ifname>`.

It knows what the lease files of host-local do not: the pod, and the network namespace.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cni.core import log
from cni.core.errors import CniError
from cni.core.request import decode
from cni.store import files
from ipam.stores import Owner

if TYPE_CHECKING:
    from cni.core.types import Attachment


def owner(state_dir: str, attachment: Attachment, node: str = "") -> Owner:
    """The owner of a lease, as far as the cache knows it."""
    bare = Owner(attachment, node=node)
    path = os.path.join(state_dir, "results", "-".join(attachment))
    try:
        data = files.read(path)
        document = decode(data, path) if data else {}
    except (OSError, CniError, ValueError) as error:
        log.warning("cached result not read", file=path, reason=error)
        return bare
    pairs = document.get("cniArgs")
    args = dict(filter(_is_pair, pairs)) if isinstance(pairs, list) else {}
    netns = document.get("netns")
    return bare._replace(
        pod_namespace=args.get("K8S_POD_NAMESPACE", ""),
        pod_name=args.get("K8S_POD_NAME", ""),
        pod_uid=args.get("K8S_POD_UID", ""),
        netns=netns if isinstance(netns, str) else "",
    )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)
    )
