"""Fixtures: the frozen plugins.

PLAIT_BIN   their directory, <repository>/build/bin when unset
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def plugins() -> Path:
    """The directory of the frozen plugins."""
    directory = Path(os.environ.get("PLAIT_BIN") or REPOSITORY / "build/bin").absolute()
    if not (directory / "plait").exists():
        pytest.fail(f"no plugins in {directory}: run make build, or set PLAIT_BIN")
    return directory


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slim modules, the whole ones beside them as modules.py packs them."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    directory = tmp_path_factory.mktemp("slim")
    for slim in (REPOSITORY / "packaging" / "slim").glob("*.py"):
        package = directory / slim.stem
        if (stdlib / slim.stem).is_dir():
            shutil.copytree(stdlib / slim.stem, package)
            (package / "__init__.py").rename(package / "whole.py")
        else:
            package.mkdir()
            shutil.copy(stdlib / slim.name, package / "whole.py")
        shutil.copy(slim, package / "__init__.py")
    return directory
