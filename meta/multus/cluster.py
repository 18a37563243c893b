"""The API server as multus asks it: pods, network-attachment-definitions, status, events."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import CniError, Code
from cni.kube import access
from cni.kube.paths import object_path
from meta.multus import nad, pod

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cni.core.types import Json, Request
    from cni.kube.client import Client, Limits
    from meta.conf import Multus
    from meta.multus.nad import Found, Key
    from meta.multus.pod import Name, Pod

_CORE = "api/v1"
_STATUS = "k8s.v1.cni.cncf.io/network-status"
_PUTS = 5  #: how often a status is written in full while others write the pod
_EVENT_PATIENCE = 2.0  #: seconds: a pod does not wait longer for what is only told


def connect(conf: Multus, req: Request) -> Cluster | None:
    """The cluster that the configuration names, or the one that we run in; None for none.

    Raises CniError 5 or 7 for a kubeconfig that cannot be used.
    """
    if conf.kubeconfig:
        load = partial(access.from_kubeconfig, conf.kubeconfig)
    elif access.in_cluster(req.environ) is None:
        return None
    else:
        load = partial(_in_cluster, req)
    from cni.kube.client import Client  # 25 ms, for those only who have a cluster

    return Cluster(Client(load, _limits(conf)))


def connect_leniently(conf: Multus, req: Request) -> Cluster | None:
    """The same for DEL and GC, which need no cluster: None when it cannot be had, and one try."""
    try:
        cluster = connect(conf, req)
    except CniError as error:
        log.warning("the API server is not asked", reason=error)
        return None
    if cluster is not None:
        cluster.hurry()
    return cluster


class Cluster:
    """`missing` names the networks that a pod asks for and that do not exist."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.missing: list[Key] = []

    def hurry(self) -> None:
        self._client.limit(total=2.0, attempts=1)

    def pod(self, name: Name) -> Pod | None:
        """The pod; None when there is none.

        Raises CniError 11 when it is not the runtime's, or when nobody answers.
        """
        try:
            document = self._client.get(_path(name))
        except CniError as error:
            if _is_absent(error):
                return None
            raise error.within("error waiting for pod") from None
        if wrong := _not_what_was_asked(document, "Pod", name.namespace, name.name):
            raise wrong.within("error waiting for pod")
        return pod.read(document, name)

    def nads(self, keys: Sequence[Key]) -> dict[Key, Found]:
        """Fetch objects side by side."""
        from cni.kube.client import Call

        found: dict[Key, Found] = {}
        calls: dict[Key, Call] = {}
        for key in keys:
            try:
                calls[key] = Call("GET", object_path(nad.API, key.namespace, nad.PLURAL, key.name))
            except CniError as error:  # a name that no object can have
                found[key] = nad.missing(key, error.msg)
        answers = self._client.side_by_side(list(calls.values()))
        for key, answer in zip(calls, answers, strict=True):
            if isinstance(answer, CniError):
                found[key] = None if _is_absent(answer) else _unread(key, answer)
            else:
                wrong = _not_what_was_asked(answer, nad.KIND, key.namespace, key.name)
                found[key] = _unread(key, wrong) if wrong else answer
        return found

    def write_status(self, of: Pod, text: str) -> None:
        """Say in the pod's annotation what it is attached to; a pod that is gone needs none.

        By a patch, which does not conflict with other writers; where that is forbidden, as the
        original does it, in full. Raises CniError 7 or 11.
        """
        self._client.refresh()  # what is attached by now costs more than to wait
        path = f"{_path(of)}/status"
        # the UID keeps it from the next pod of that name
        change = {"metadata": {"uid": of.uid, "annotations": {_STATUS: text}}}
        try:
            try:
                self._client.merge_patch(path, change)
            except CniError as error:
                # forbidden, unknown, or of another pod: PUT looks first
                if _status(error) not in (403, 405, 409, 415, 422):
                    raise
                self._put_status(of, path, text)
        except CniError as error:
            if _is_absent(error):
                log.warning("the pod is gone: no status written", pod=f"{of.namespace}/{of.name}")
                return
            raise error.within(f"status update failed for pod {of.namespace}/{of.name}") from None

    def tell(self, events: Iterable[Json]) -> None:
        """Post events of pods; what cannot be told is logged."""
        from cni.kube.client import Call

        calls = [
            Call("POST", object_path(_CORE, each["metadata"]["namespace"], "events"), each)
            for each in events
        ]
        for answer in self._client.once(calls, _EVENT_PATIENCE):
            if isinstance(answer, CniError):
                log.warning("an event was not posted", reason=answer)

    def _put_status(self, of: Pod, path: str, text: str) -> None:
        for attempt in range(_PUTS):
            document = self._client.get(_path(of)) if attempt else of.document
            meta = document.get("metadata")
            if not isinstance(meta, dict) or meta.get("uid") != of.uid:
                log.warning("another pod has the name by now", pod=f"{of.namespace}/{of.name}")
                return
            annotations = meta.get("annotations")
            annotations = annotations if isinstance(annotations, dict) else {}
            meta = {**meta, "annotations": {**annotations, _STATUS: text}}
            try:
                self._client.put(path, {**document, "metadata": meta})
                return
            except CniError as error:
                if _status(error) != 409 or attempt == _PUTS - 1:
                    raise


def _not_what_was_asked(document: Json, kind: str, namespace: str, name: str) -> CniError | None:
    """The error of an answer that is another object: of a proxy, say, that asks for a password.

    Taken for a pod without annotations, it would be attached without its networks.
    """
    meta = document.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    answered = (document.get("kind"), meta.get("namespace"), meta.get("name"))
    if answered == (kind, namespace, name):
        return None
    text = json.dumps(document)[:200]
    return CniError(
        Code.TRY_AGAIN_LATER,
        f"the API server's answer is not {kind} {namespace}/{name}",
        text,
    )


def _path(of: Name | Pod) -> str:
    return object_path(_CORE, of.namespace, "pods", of.name)


def _is_absent(error: CniError) -> bool:
    """Whether the API server itself says that there is no such object."""
    return getattr(error, "is_absent", False)


def _status(error: CniError) -> int:
    """The HTTP status of a refusal; 0 when nobody answered."""
    return getattr(error, "status", 0)


def _unread(key: Key, error: CniError) -> CniError:
    if _status(error) == 404:
        hint = "is the CustomResourceDefinition installed?"
        error = CniError(error.code, error.msg, f"{error.details}; {hint}")
    return error.within(
        "GetNetworkDelegates: failed getting the delegate: getKubernetesDelegate: cannot get"
        f" network-attachment-definition ({key.name}) in namespace ({key.namespace})"
    )


def _limits(conf: Multus) -> Limits:
    from cni.kube.client import Limits

    asked = conf.api_server
    given = (
        {}
        if asked is None
        else {key: getattr(asked, key) for key in Limits._fields if getattr(asked, key)}
    )
    return Limits(**given)


def _in_cluster(req: Request) -> access.Access:
    found = access.in_cluster(req.environ)
    if found is None:
        raise CniError(Code.TRY_AGAIN_LATER, "the service account's token has disappeared")
    return found
