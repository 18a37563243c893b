"""Debian packages, downloaded and unpacked: nothing is installed, and root is not needed.

apt works below a directory of its own, from the archive that the host's apt uses, with the suites
that the host may not have; its signatures are checked as ever.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "bookworm"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Archive:
    """Debian's archive; what is downloaded stays in `directory` until it is unpacked."""

    def __init__(self, directory: Path) -> None:
        self.debs = directory / "archives"
        sources = directory / "sources.list"
        for name in ("lists/partial", "archives/partial", "empty"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        main, security = own_archives()
        signed = f"deb [signed-by={KEYRING}]"
        suites = ((main, ""), (main, "-updates"), (main, "-backports"), (security, "-security"))
        sources.write_text("".join(f"{signed} {url} {RELEASE}{end} main\n" for url, end in suites))
        options = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": directory / "empty",
            "Dir::Etc::preferencesparts": directory / "empty",
            "Dir::State::lists": directory / "lists",
            "Dir::Cache": directory,
            "Debug::NoLocking": 1,  # it is ours alone
            "APT::Sandbox::User": "root",  # nobody else may be able to read the cache
            "Acquire::Languages": "none",
            "Acquire::Retries": 3,
        }
        self._options = [
            word for key, value in options.items() for word in ("-o", f"{key}={value}")
        ]
        run("apt-get", *self._options, "-qq", "update")

    def download(self, *names: str) -> None:
        """These packages alone."""
        run("apt-get", *self._options, "-qq", "download", *names, cwd=self.debs)

    def download_missing(self, *names: str) -> None:
        """These packages and what they depend on, except for what the host has installed."""
        how = ("--yes", "--download-only", "--no-install-recommends")
        run("apt-get", *self._options, "-qq", *how, "install", *names)

    def depends(self, name: str) -> list[str]:
        """The packages that `name` needs, by name, in the order that it names them."""
        return re.findall(r"(?:^|, )([^ ,]+)", self._field(name, "Depends"))

    def version(self, name: str) -> str:
        return self._field(name, "Version")

    def take(self, name: str) -> Path:
        """The file of a package, which is not for `unpack`."""
        (found,) = self.debs.glob(f"{name}_*.deb")
        return found.rename(self.debs.parent / found.name)

    def unpack(self, root: Path) -> None:
        """All that was downloaded, as it would be installed on a system with a merged /usr."""
        for deb in sorted(self.debs.glob("*.deb")):
            run("dpkg-deb", "--extract", deb, root)
            deb.unlink()
        merge_usr(root)

    def _field(self, name: str, field: str) -> str:
        shown = run("apt-cache", *self._options, "show", "--no-all-versions", name)
        found = re.search(rf"^{field}: *(.*)$", shown, re.MULTILINE)
        assert found, f"{name} has no {field}"
        return found[1]


def own_archives() -> tuple[str, str]:
    """Where the host's apt gets Debian from, and its security updates."""
    listed = run("apt-get", "--print-uris", "update")
    main = re.search(rf"'(\S+/debian)/dists/{RELEASE}/", listed)
    security = re.search(rf"'(\S+/debian-security)/dists/{RELEASE}-security/", listed)
    if not main:
        raise SystemExit(f"vm: apt's sources name no archive of Debian {RELEASE}")
    return main[1], security[1] if security else f"{main[1]}-security"


def merge_usr(root: Path) -> None:
    """Packages older than the merge have files in /bin, /sbin and /lib: they move below /usr."""
    for old in (root / name for name in ("bin", "sbin", "lib", "lib64")):
        if old.is_dir() and not old.is_symlink():
            # hard links, and so the copy of a link is the link itself
            shutil.copytree(
                old, root / "usr" / old.name,
                symlinks=True, copy_function=_link, dirs_exist_ok=True,
            )  # fmt: skip
            shutil.rmtree(old)
            old.symlink_to(f"usr/{old.name}")


def _link(source: str, target: str) -> None:
    os.link(source, target, follow_symlinks=False)


def run(*argv: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Its output; a failure ends us, with what it said."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"vm: {' '.join(map(str, argv))}:\n{done.stdout}{done.stderr}")
    return done.stdout
