"""Text for the terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text on one line, without what a terminal would obey: names come from others' files."""
    return "".join(each if each.isprintable() else "?" for each in text)
