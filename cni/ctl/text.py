"""Text for the terminal."""

from __future__ import annotations

import typer


def printable(text: str) -> str:
    """The text on one line, without what a terminal would obey: names come from others' files."""
    return "".join(each if each.isprintable() else "?" for each in text)


def say(line: str) -> None:
    """A line of what a command tells."""
    typer.echo(printable(line))
