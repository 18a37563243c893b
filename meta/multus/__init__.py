"""multus: several networks for a container, each by a delegate.

The configuration keys and files are those of multus-cni; offline, a container's networks are the
inline `delegates`, or `clusterNetwork` and `defaultNetworks`, and what `attachments` selects.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import CniError, Code, invalid
from cni.core.load import load
from meta.multus import attach, chain, collect, delegates, detach, readiness, recover, results
from meta.multus.scratch import Home

if TYPE_CHECKING:
    from cni.core.types import Json, Request, Result
    from meta.conf import Multus

BIN_DIR = "/opt/cni/bin"

#: what finds a record and runs the plugins that it names
_RECORD_KEYS = ("cnidir", "bindir")


def add(req: Request) -> Result:
    """Attach the container to all its networks; on a failure to none."""
    req, conf, home = _load(req)
    delegates.check_args(req.args)
    _refuse_api(req, conf)
    readiness.wait(conf.readiness_indicator_file)
    wanted = delegates.assemble(delegates.choose(conf, req), req)
    results.refuse_long_names(wanted, req.container_id)
    delegates.warn_of_unheard(wanted[1:])
    return attach.add(req, wanted, home)


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
        _refuse_api(req, conf)
        choices = delegates.choose(conf, req)
    except CniError as error:
        raise CniError(Code.NOT_AVAILABLE, error.msg, error.details) from None
    for each in choices:
        chain.status(req, each.network)


def _load(req: Request, keys: Json | None = None) -> tuple[Request, Multus, Home]:
    """The request with the delegates' search path, the configuration, and where records are.

    The configuration is the request's, or only `keys` of it.
    """
    conf: Multus = load("meta.conf:Multus", req.config if keys is None else keys)
    log.configure(level=conf.log_level, file=conf.log_file, stderr=conf.log_to_stderr)
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


def _refuse_api(req: Request, conf: Multus) -> None:
    """A pod whose annotation cannot be read must not start without its networks.

    Raises CniError 7 when the configuration counts on an API server, 2 for a chain we lack.
    """
    if conf.kubeconfig:
        raise invalid(
            f'multus: "kubeconfig": {conf.kubeconfig}: this build has no client of the API server',
            'the networks of pod annotations cannot be read; "attachments" takes their place',
        )
    if conf.cluster_network and req.environ.get("KUBERNETES_SERVICE_HOST"):
        raise invalid(
            "multus: KUBERNETES_SERVICE_HOST is set: this build has no client of the API server",
            'with inline "delegates" it is not asked for',
        )
    if conf.auxiliary_cni_chain_name:
        raise CniError(
            Code.UNSUPPORTED_FIELD,
            f'"auxiliaryCNIChainName": "{conf.auxiliary_cni_chain_name}" is not supported',
        )
