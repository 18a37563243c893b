"""Words of others in our errors: printable, on one line, not endless."""

from __future__ import annotations


def line(text: str, longest: int = 1000) -> str:
    """The text with every stretch of blanks and unprintable characters made one space."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * longest])
    return " ".join(printable.split())[:longest]
