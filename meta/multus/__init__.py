"""multus: several networks for a container, each by a delegate.

Configuration keys, files and annotations are those of multus-cni. A container's networks are the
inline `delegates`, or `clusterNetwork` and `defaultNetworks`; with an API server, what the pod's
annotation selects; without one, what `attachments` does.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import CniError, Code, invalid
from cni.core.load import load
from cni.core.types import Interface, IPConfig, Result
from meta.multus import (
    attach,
    chain,
    choice,
    collect,
    delegates,
    detach,
    devices,
    events,
    lock,
    nad,
    network_status,
    readiness,
    recover,
    results,
    wishes,
)
from meta.multus import subject as subjects
from meta.multus.scratch import Home

if TYPE_CHECKING:
    from cni.core.types import Json, Request
    from meta.conf import Multus
    from meta.multus.cluster import Cluster
    from meta.multus.delegates import Delegate
    from meta.multus.network_status import Told
    from meta.multus.pod import Pod
    from meta.multus.subject import Subject

BIN_DIR = "/opt/cni/bin"
KUBELET_DIR = "/var/lib/kubelet"

#: what finds a record and runs the plugins that it names
_RECORD_KEYS = ("cnidir", "bindir")


def add(req: Request) -> Result:
    """Attach the container to all its networks; on a failure to none."""
    req, conf, home = _load(req)
    delegates.check_args(req.args)
    readiness.wait(conf.readiness_indicator_file)
    # from here on a DEL waits: one that came between would find nothing, and leave it all behind
    with lock.container(home.run_dir, req.container_id):
        subject = subjects.of(conf, req)
        if subject.is_pod_missing:
            return _nothing_for(req, conf)
        wanted, answers = _attach(subject, req, home)
    cluster, pod = subject.cluster, subject.pod
    if cluster and pod and conf.events:
        cluster.tell(events.added(pod, wanted, answers))
    return answers[0]


def _attach(subject: Subject, req: Request, home: Home) -> tuple[list[Delegate], list[Result]]:
    wanted = _wanted(subject, req)
    results.refuse_long_names(wanted, req.container_id)
    is_strict = subject.conf.unmet_requests == "fail"
    wishes.check_heard(wanted[1:], is_strict=is_strict)
    publish = None
    if subject.cluster and subject.pod:
        publish = partial(_publish, subject.cluster, subject.pod)
    return wanted, attach.add(req, wanted, home, publish, is_strict=is_strict)


def check(req: Request) -> None:
    """Every recorded delegate, with what it answered then; the first failure is the answer."""
    req, _, home = _load(req)
    record = recover.find(home, req.container_id, req.ifname)
    if record is None or not record.delegates:
        raise CniError(
            Code.CHECK_FAILED, f'container "{req.container_id}" has no record in {home.cni_dir}'
        )
    for index, recorded in enumerate(record.delegates):
        delegate = delegates.refreshed(recorded, req, is_master=index == 0)
        cached = results.result_of(home.cni_dir, delegate, req.container_id)
        try:
            chain.check(req, delegate, cached)
        except CniError as error:
            name = delegate.network.name
            raise error.within(f'error checking container on network "{name}"') from error


def delete(req: Request) -> None:
    """Detach the container from whatever it was attached to."""
    try:
        loaded = _load(req)
    except CniError as error:
        loaded = _load_for_record(req, error)
    detach.delete(*loaded)


def gc(req: Request) -> None:
    """Delete what containers that are gone have left."""
    req, conf, home = _load(req)
    collect.gc(req, conf, home)


def status(req: Request) -> None:
    """Whether a container could be attached now; raises CniError 50 or a delegate's own."""
    req, conf, _ = _load(req)
    readiness.check(conf.readiness_indicator_file)
    try:
        choices = choice.choose(subjects.without_pod(conf, req))
    except CniError as error:
        raise CniError(Code.NOT_AVAILABLE, error.msg, error.details) from None
    for each in choices:
        chain.status(req, each.network)


def _wanted(subject: Subject, req: Request) -> list[Delegate]:
    """The delegates of a pod, all resolved; a network that it misses becomes an event of it."""
    try:
        choices = choice.choose(subject)
        choices = devices.assign(choices, partial(_devices, subject, req))
        return delegates.assemble(choices, req)
    except CniError as error:
        cluster, pod = subject.cluster, subject.pod
        if cluster and pod and cluster.missing and subject.conf.events:
            cluster.tell(events.not_found(pod, [nad.absence(each) for each in cluster.missing]))
        if subject.pod is None:
            raise
        label = delegates.pod_label(req.args)
        raise error.within(f"[{label}]: error loading k8s delegates k8s args") from None


def _devices(subject: Subject, req: Request) -> dict[str, list[str]]:
    """What the kubelet gave to the pod; raises CniError 7 where there is no pod, 11 without it."""
    pod = subject.pod
    if pod is None:
        raise invalid("a device of a resource is for pods only")
    from cni.kube import kubelet

    directory = subject.conf.kubelet_dir or req.environ.get("PLAIT_KUBELET_DIR") or KUBELET_DIR
    uid = pod.uid
    if pod.is_static and subject.name and subject.name.uid:
        uid = subject.name.uid  # the kubelet's own, which the API server's copy has not
    return kubelet.of_pod(directory, pod.namespace, pod.name, uid)


def _publish(cluster: Cluster, pod: Pod, told: list[Told]) -> None:
    if text := network_status.text(told):
        cluster.write_status(pod, text)


def _nothing_for(req: Request, conf: Multus) -> Result:
    """A pod that was deleted while it started: the original attaches nothing, and says it did.

    The runtime then finds out by itself; with `missingPod: fail` it is told at once.
    """
    pod = delegates.pod_label(req.args)
    if conf.missing_pod == "fail":
        raise CniError(Code.TRY_AGAIN_LATER, f"[{pod}]: the API server knows no such pod")
    log.warning("nothing attached: the API server knows no such pod", pod=pod)
    nowhere = IPConfig("0.0.0.0/0", "0.0.0.0")  # noqa: S104 (nothing is bound)
    return Result((Interface(req.ifname, sandbox=req.netns),), (nowhere,))


def _load(req: Request, keys: Json | None = None) -> tuple[Request, Multus, Home]:
    """The request with the delegates' search path, the configuration, and where records are.

    The configuration is the request's, or only `keys` of it.
    """
    conf: Multus = load("meta.conf:Multus", req.config if keys is None else keys)
    log.configure(
        level=conf.log_level,
        file=conf.log_file,
        stderr=conf.log_to_stderr,
        max_size=conf.log_options.max_size << 20,
        backups=conf.log_options.max_backups,
    )
    home = Home(conf.cni_dir or os.path.join(req.state_dir, "multus"), req.run_dir)
    return req._replace(path=(conf.bin_dir or BIN_DIR, *req.path)), conf, home


def _load_for_record(req: Request, error: CniError) -> tuple[Request, Multus, Home]:
    """For the DEL of what a whole record names: all that it needs of a configuration with an error.

    Raises the error when there is no such record.
    """
    keys = {key: value for key, value in req.config.items() if key.lower() in _RECORD_KEYS}
    loaded = _load(req, keys)
    record = recover.find(loaded[2], req.container_id, req.ifname)
    if record is None or record.is_damaged:
        raise error
    log.warning("the record counts, not the configuration", reason=error)
    return loaded
