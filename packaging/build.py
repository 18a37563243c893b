"""Builds `build/bin`, a complete directory of CNI plugins.

    bin/.plait/     all code: the executable `plait`, its modules and libraries; `release` is its
                    version and a digest of its contents, SHA256SUMS the digests of its files;
                    `install`, which is packaging/install, puts it on a node
    bin/plait       -> .plait/plait
    bin/bridge ...  -> plait, one link per type

The links are relative, so that the directory can be copied anywhere; packaging/install does that
for a node. Run it in the project's virtual environment; it does nothing when nothing has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cni import __version__  # noqa: E402
from cni.core.registry import PLUGINS  # noqa: E402

BUILD = ROOT / "build"
BIN = BUILD / "bin"
PACKAGING = ROOT / "packaging"

#: Python packages of which the executables hold a part
BUNDLED = (
    *("annotated-doc", "annotated-types", "h2", "hpack", "hyperframe", "netaddr"),
    *("pydantic", "pydantic_core", "pyyaml"),
    *("rich", "shellingham", "typer", "typing-inspection", "typing_extensions"),
)

#: Two builds of the same files are the same bytes: sets iterate alike, no clock is asked, and the
#: locale and the caller's Python settings play no part.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "LC_ALL": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONNODEBUGRANGES": "1",  # code without column numbers: a tenth smaller
    "SOURCE_DATE_EPOCH": "315532800",  # 1980-01-01, the oldest that every archive format knows
    "PYINSTALLER_CONFIG_DIR": str(BUILD / "work"),
    "PYI_LOG_LEVEL": "ERROR",
}


def main() -> None:
    inputs, stamp = digest_of_inputs(), BUILD / "inputs"
    if stamp.exists() and stamp.read_text() == inputs and (BIN / ".plait/release").exists():
        print(f"build/bin is up to date ({(BIN / '.plait/release').read_text().strip()})")
        return
    stamp.unlink(missing_ok=True)
    release = assemble(freeze())
    stamp.write_text(inputs)
    size = sum(file.stat().st_size for file in (BIN / ".plait").rglob("*") if file.is_file())
    print(f"build/bin: {release}, {len(PLUGINS)} plugins, {size / 1e6:.1f} MB")


def digest_of_inputs() -> str:
    """A digest of everything that a build reads."""
    files = [
        *(file for package in ("cni", "ipam", "meta") for file in (ROOT / package).rglob("*.py")),
        *(file for file in PACKAGING.iterdir() if file.is_file()),
        *(PACKAGING / "slim").glob("*.py"),
        ROOT / "requirements.lock",
    ]
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(files):
        digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest() + "\n"


def freeze() -> Path:
    """Run PyInstaller; returns the folder that it made, every file checked."""
    shutil.rmtree(BUILD / "work", ignore_errors=True)
    paths = [f"--distpath={BUILD / 'work'}", f"--workpath={BUILD / 'work/analysis'}"]
    run("-m", "PyInstaller", PACKAGING / "plait.spec", *paths)
    folder = BUILD / "work/plait"
    run(PACKAGING / "glibc.py", "--lower", folder)
    run(PACKAGING / "glibc.py", folder, PACKAGING / "glibc-floor")
    add_licences(folder)
    shutil.copy(PACKAGING / "install", folder)
    return folder


def add_licences(folder: Path) -> None:
    """The texts that bundled works ask to be handed on with them, one file for each."""
    target = folder / "licences"
    target.mkdir()
    shutil.copy(ROOT / "LICENSE", target / "plait.txt")
    for name in BUNDLED:
        texts = [Path(str(each.locate())) for each in distribution(name).files or ()
                 if "licen" in each.name.lower()]  # fmt: skip
        (target / f"{name}.txt").write_text("\n".join(text.read_text() for text in sorted(texts)))
    for package in (
        *("libpython3.11-minimal", "libsqlite3-0", "libexpat1", "libffi8", "libssl3", "zlib1g"),
    ):
        shutil.copy(f"/usr/share/doc/{package}/copyright", target / f"{package}.txt")


def run(*arguments: str | Path) -> None:
    if failed := subprocess.run([sys.executable, *arguments], env=ENVIRONMENT).returncode:
        sys.exit(failed)  # it said why


def assemble(folder: Path) -> str:
    """Turn PyInstaller's folder into `build/bin`; returns the name of the release."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for file in files:
        file.chmod(0o755 if file.read_bytes()[:4] == b"\x7fELF" else 0o644)
    sums = "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder)}\n"
        for file in files
    )
    release = f"{__version__}-{hashlib.sha256(sums.encode()).hexdigest()[:12]}"
    (folder / "SHA256SUMS").write_text(sums)
    (folder / "release").write_text(release + "\n")

    made = BUILD / "work/bin"
    made.mkdir()
    folder.rename(made / ".plait")
    (made / "plait").symlink_to(".plait/plait")
    for plugin_type in PLUGINS:
        (made / plugin_type).symlink_to("plait")
    if BIN.exists():
        BIN.rename(BUILD / "work/replaced")
    made.rename(BIN)
    return release


if __name__ == "__main__":
    main()
