"""A node: network, mount and process namespaces of its own, in which clients and plugins run."""

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from .recorder import Recorder

NAMESPACES = Path(__file__).with_name("node-namespaces")
#: Seconds that no step should need.  It ends a hang; it measures nothing.
PATIENCE = 120.0

_numbers = itertools.count(1)


class Node:
    """The host as its clients see it.

    `directory` is the same path inside and outside: `net.d` is the node's /etc/cni/net.d,
    `plugins.bin` its /opt/cni/bin, `state` its /var/lib/cni.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.configs = directory / "net.d"
        self.state = directory / "state"
        for name in ("net.d", "state", "home", "tmp"):
            (directory / name).mkdir(parents=True)
        self.plugins = Recorder(directory)
        #: Where clients put their containers, so that nothing is left of them afterwards.
        self.cgroup = f"plait-{os.getpid()}-{next(_numbers)}"
        #: All that a client, and through it a plugin, finds in its environment.
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(directory / "home"),
            "TMPDIR": str(directory / "tmp"),
            # Also their default, since the node has it at /var/lib/cni.  PLAIT_RUN_DIR stays unset:
            # the node's /run is private, and a socket's path has to be short.
            "PLAIT_STATE_DIR": str(self.state),
        }

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(
            ("unshare", "--net", "--mount", NAMESPACES, self.directory, self.cgroup),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # An interrupt at the terminal is for pytest, which then ends the node in its own time.
            start_new_session=True,
        )
        line = _pipe(self._holder.stdout).readline()
        if not line:
            raise RuntimeError(f"no node: exit code {self._holder.wait(PATIENCE)}, see stderr")
        self._pid = int(line)
        return self

    def __exit__(self, *_: object) -> None:
        _pipe(self._holder.stdin).close()
        code = self._holder.wait(PATIENCE)
        _pipe(self._holder.stdout).close()
        assert code == 0, f"the node ended with {code}: something of {self.cgroup} is left"

    def path(self, inside: str) -> Path:
        """A path of the node, such as a socket in /run, as this process can open it."""
        return Path(f"/proc/{self._pid}/root{inside}")

    @contextmanager
    def running(self, *command: str | Path, log: Path) -> Iterator[None]:
        """Runs a daemon beside the test, and asks it to end afterwards."""
        number = f"/run/daemon-{next(_numbers)}.pid"
        # nsenter passes no signals on, so the daemon leaves word of its process ID in the node.
        shell = ("sh", "-c", 'echo $$ >"$0"; exec "$@"', number)
        with log.open("a") as output:
            entered = subprocess.Popen(
                self._inside([*shell, *command]),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield
        finally:
            if entered.poll() is None:
                self.attempt("kill", self.path(number).read_text().strip())
            entered.wait(PATIENCE)

    def attempt(
        self, *command: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, good or bad."""
        return subprocess.run(
            self._inside(command),
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def run(self, *command: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Runs a command that must succeed, and gives its standard output."""
        done = self.attempt(*command, env=env)
        shown = " ".join(os.fspath(word) for word in command)
        assert done.returncode == 0, f"{shown}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _inside(self, command: Sequence[str | Path]) -> list[str | Path]:
        namespaces = ["--net", "--mount", "--pid"]
        return ["nsenter", "--target", str(self._pid), *namespaces, "--", *command]

    # The network, as iproute2 tells it.

    def configure(self, network: Mapping[str, Any]) -> None:
        """Puts a network list where the clients look for it."""
        (self.configs / f"{network['name']}.conflist").write_text(json.dumps(network, indent=2))

    @contextmanager
    def netns(self, name: str) -> Iterator[str]:
        """A network namespace with nothing but a loopback that is down; gives its path."""
        self.run("ip", "netns", "add", name)
        try:
            yield f"/run/netns/{name}"
        finally:
            self.run("ip", "netns", "del", name)

    def namespaces(self) -> list[str]:
        """Names of the network namespaces under /run/netns."""
        return [line.split()[0] for line in self.run("ip", "netns", "list").splitlines()]

    def links(self, netns: str = "") -> dict[str, dict[str, Any]]:
        """Interfaces with their addresses, by name, of the node or of a namespace of it."""
        where = ["-netns", Path(netns).name] if netns else []
        found = json.loads(self.run("ip", *where, "-json", "address", "show"))
        return {link["ifname"]: link for link in found}

    def addresses(self, ifname: str, netns: str = "") -> list[str]:
        """IPv4 addresses of an interface, with their prefix lengths."""
        link = self.links(netns)[ifname]
        return [
            f"{address['local']}/{address['prefixlen']}"
            for address in link["addr_info"]
            if address["family"] == "inet"
        ]

    def veths(self) -> list[str]:
        """The host ends of what containers are attached by."""
        found = json.loads(self.run("ip", "-json", "link", "show", "type", "veth"))
        return [link["ifname"] for link in found]

    def wait_for_no_veths(self) -> None:
        """For a DEL without a namespace: the kernel ends that, and its veths, in its own time."""
        until(lambda: self.veths() == [], "the veths of dead namespaces to go")

    def ping(self, address: str, netns: str) -> None:
        """One echo from `netns` must come back: after an ADD the very first packet has to pass."""
        name = Path(netns).name
        self.run("ip", "netns", "exec", name, "busybox", "ping", "-c", "1", "-W", "20", address)


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for something that only polling can tell."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
