"""What takes the place of a module of Python's in the executables (packaging/slim)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parents[1] / "packaging" / "slim"


def load(name: str) -> Any:
    """That module, beside Python's own."""
    spec = importlib.util.spec_from_file_location(f"slim_{name}", DIRECTORY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
