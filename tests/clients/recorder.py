"""A plugin directory that passes every call on and keeps what went in and what came out.

What a client sends is half of what these tests are about (three DELs per sandbox, the last ones
without a namespace), and no client tells.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Stands in for each plugin, by symbolic link.  The plugin's standard error is left alone.
SCRIPT = """\
#!/bin/sh
plugin=${{0##*/}}
call=$(mktemp -d "{calls}/$(date +%s%N).$plugin.XXXXXX")
env -0 >"$call/environment"
cat >"$call/input"
"$(cat "{targets}/$plugin")" <"$call/input" >"$call/output"
code=$?
echo "$code" >"$call/code.new"
mv "$call/code.new" "$call/code"
cat "$call/output"
exit "$code"
"""


@dataclass(frozen=True)
class Call:
    """One execution of one plugin, from beginning to end."""

    plugin: str
    environment: dict[str, str]
    config: dict[str, Any]
    code: int
    output: str

    @property
    def verb(self) -> str:
        return self.environment["CNI_COMMAND"]

    @property
    def container(self) -> str:
        return self.environment["CNI_CONTAINERID"]

    @property
    def netns(self) -> str:
        return self.environment["CNI_NETNS"]

    @property
    def ifname(self) -> str:
        return self.environment["CNI_IFNAME"]

    @property
    def args(self) -> dict[str, str]:
        pairs = self.environment.get("CNI_ARGS", "").split(";")
        return dict(pair.split("=", 1) for pair in pairs if pair)

    @property
    def result(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.output)
        return answer


class Recorder:
    """The directory `bin`, and the calls that its plugins have had."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self._calls = directory / "calls"
        self._targets = directory / "targets"
        for place in (self.bin, self._calls, self._targets):
            place.mkdir()
        # Not in `bin`: whatever is there is a plugin to the clients.
        self._script = directory / "record"
        self._script.write_text(SCRIPT.format(calls=self._calls, targets=self._targets))
        self._script.chmod(0o755)

    def add(self, plugin: Path) -> None:
        """Offers `plugin` under its own name, which is how it knows what to be."""
        (self._targets / plugin.name).write_text(os.fspath(plugin))
        (self.bin / plugin.name).symlink_to(self._script)

    def calls(self, plugin: str = "", verb: str = "") -> list[Call]:
        """The ended calls in the order of their start, all or those of one plugin or verb."""
        return [
            call
            for call in self._read()
            if (not plugin or call.plugin == plugin) and (not verb or call.verb == verb)
        ]

    def _read(self) -> Iterator[Call]:
        # A directory is named NANOSECONDS.PLUGIN.RANDOM; its file `code` comes last, and at once.
        for code in sorted(self._calls.glob("*/code")):
            directory = code.parent
            variables = (directory / "environment").read_text().split("\0")
            text = (directory / "input").read_text()
            yield Call(
                plugin=directory.name.split(".")[1],
                environment=dict(line.split("=", 1) for line in variables if line),
                config=json.loads(text) if text.strip() else {},
                code=int(code.read_text()),
                output=(directory / "output").read_text(),
            )
