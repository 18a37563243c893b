"""The disk: atomic files and locks."""
