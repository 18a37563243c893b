"""`plait install` and `plait uninstall`.

Help is given as strings and not as docstrings, which the frozen executable does not have.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cni.core import log
from cni.core.errors import CniError, Interrupted
from cni.ctl.install import conflist, executables, kubeconfig, removal
from cni.ctl.install.installer import Installer, Wish
from cni.ctl.install.place import BIN_DIR, CONF_DIR, KEPT, Place
from cni.ctl.install.watch import PATIENCE, watch

node = typer.Typer(rich_markup_mode=None)


def _absolute(path: str) -> str:
    if path and not path.startswith("/"):
        raise typer.BadParameter(f'"{path}" is no absolute path')
    return path


_Root = Annotated[
    str,
    typer.Option(
        metavar="DIR",
        callback=_absolute,
        help="Where the node's directories are mounted: /host in the DaemonSet.",
    ),
]
_BinDir = Annotated[
    str,
    typer.Option(metavar="DIR", callback=_absolute, help="The node's directory of CNI plugins."),
]
_ConfDir = Annotated[
    str,
    typer.Option(
        metavar="DIR", callback=_absolute, help="The node's directory of network configurations."
    ),
]
_Source = Annotated[
    str,
    typer.Option(
        metavar="DIR", help="What make build made.", show_default="that of this executable"
    ),
]


def _source(given: str) -> str:
    return os.path.realpath(given) if given else executables.own_source()


@node.command(
    "install",
    short_help="Make this node of a cluster use multus.",
    help="Make this node of a cluster use multus: put the executables into the runtime's "
    "directory, and a kubeconfig and 00-multus.conflist beside the node's default network, which "
    "is the first file there that is not multus's own. Changes only what differs. "
    "What it took the place of is kept as NAME" + KEPT + ".",
)
def install(
    watches: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Stay, and do it again whenever something differs: a new token, another default "
            "network, a file that was removed. SIGTERM ends it and removes nothing.",
        ),
    ] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.05, max=3600, help="How often --watch looks.")
    ] = 1.0,
    ready_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            callback=_absolute,
            help="With --watch: a file that is there while everything is installed.",
        ),
    ] = "",
    default_network: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The network or file to take as the node's default.",
            show_default="the first file",
        ),
    ] = "",
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A key of multus for the conflist, its value in JSON or plain text; repeatable. "
            "namespaceIsolation=true, logLevel=debug.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace executables that something else installed.")
    ] = False,
    keep_others: Annotated[
        bool,
        typer.Option("--keep-others", help="Leave them, and install what is missing beside them."),
    ] = False,
    replace_multus: Annotated[
        bool,
        typer.Option("--replace-multus", help="Replace the configuration of another multus."),
    ] = False,
    root: _Root = "/",
    bin_dir: _BinDir = BIN_DIR,
    conf_dir: _ConfDir = CONF_DIR,
    service_account: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="Has the token and ca.crt that the kubeconfig is made from."
        ),
    ] = kubeconfig.ACCOUNT,
    server: Annotated[
        str,
        typer.Option(
            metavar="URL", help="The API server.", show_default="from KUBERNETES_SERVICE_HOST"
        ),
    ] = "",
    given_kubeconfig: Annotated[
        str,
        typer.Option(
            "--kubeconfig",
            metavar="FILE",
            callback=_absolute,
            help="One that is on the node already; none is made.",
        ),
    ] = "",
    source: _Source = "",
) -> None:
    try:
        options = conflist.parse_options(option or [])
    except CniError as error:
        raise typer.BadParameter(str(error), param_hint="--option") from None
    wish = Wish(
        place=Place(root, bin_dir, conf_dir),
        source=_source(source),
        others=_others(force=force, keep=keep_others),
        replaces_multus=replace_multus,
        default_network=default_network,
        options=options,
        given_kubeconfig=given_kubeconfig,
        account=service_account,
        server=kubeconfig.checked_server(server) if server else "",
    )
    log.configure(level="info")
    if not watches:
        installer = Installer(wish, os.environ)
        try:
            installer.run()
        finally:
            for warning in installer.warnings:
                log.warning(warning)
        return
    try:
        watch(Installer(wish, os.environ, patience=PATIENCE), interval, ready_file)
    except Interrupted as end:
        log.info("ended; what is installed stays", signal=end.signal_name)


@node.command(
    "uninstall",
    short_help="Take multus away from this node again.",
    help="Take away what install made, and put back what it kept. Records of containers that are "
    "attached stay. A DaemonSet that installs must be deleted first.",
)
def uninstall(
    root: _Root = "/",
    bin_dir: _BinDir = BIN_DIR,
    conf_dir: _ConfDir = CONF_DIR,
    source: _Source = "",
) -> None:
    log.configure(level="info")
    removal.uninstall(Place(root, bin_dir, conf_dir), _source(source))


def _others(*, force: bool, keep: bool) -> str:
    if force and keep:
        raise typer.BadParameter("--force and --keep-others exclude each other")
    if force:
        return executables.REPLACE_OTHERS
    return executables.KEEP_OTHERS if keep else executables.REFUSE_OTHERS
