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
#: how the URI of Debian's archive ends, or the file with its mirrors; of its security updates too,
#: with another name
DEBIAN = re.compile(r"debian(?=(\.list)?$)")


class Archive:
    """Debian's archive; what is downloaded stays in `directory`, and is not downloaded again."""

    def __init__(self, directory: Path) -> None:
        self._debs = directory / "archives"
        self._none = directory / "none"
        self._downloaded: set[Path] = set()  # and not yet unpacked
        sources = directory / "sources.list"
        for name in ("lists/partial", "archives/partial", "none/partial", "empty"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        signed = f"deb [signed-by={KEYRING}]"
        found = archives(run("apt-get", "--print-uris", "update"))
        sources.write_text(
            "".join(f"{signed} {uri} {suite} main\n" for suite, uri in found.items())
        )
        options = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": directory / "empty",
            "Dir::Etc::preferencesparts": directory / "empty",
            "Dir::State::lists": directory / "lists",
            "Dir::Cache": directory,
            "Debug::NoLocking": 1,  # it is ours alone
            "APT::Sandbox::User": "root",  # nobody else may be able to read the cache
            "APT::Update::Error-Mode": "any",  # else it is content without an index
            "Acquire::Languages": "none",
            "Acquire::Retries": 3,
        }
        self._conf = directory / "apt.conf"
        self._conf.write_text("".join(f'{key} "{value}";\n' for key, value in options.items()))
        run("apt-get", "-c", self._conf, "-qq", "update")

    def download(self, *names: str) -> None:
        """These packages alone."""
        self._download("download", *names)

    def download_missing(self, *names: str) -> None:
        """These packages and what they depend on, except for what the host has installed."""
        self._download("--yes", "--download-only", "--no-install-recommends", "install", *names)

    def _download(self, *what: str) -> None:
        """Remembers what `what` names: the directory may have more, of an earlier attempt."""
        apt = ("apt-get", "-c", self._conf, "-qq")
        elsewhere = ("--print-uris", "-o", f"Dir::Cache::archives={self._none}")
        listed = run(*apt, *elsewhere, *what, cwd=self._none)  # also what is here already
        run(*apt, *what, cwd=self._debs)
        found = re.findall(r"^'\S+' (\S+\.deb) ", listed, re.MULTILINE)
        self._downloaded |= {self._debs / name for name in found}

    def depends(self, name: str) -> list[str]:
        """The packages that `name` needs, by name, in the order that it names them."""
        return re.findall(r"(?:^|, )([^ ,]+)", self._field(name, "Depends"))

    def version(self, name: str) -> str:
        return self._field(name, "Version")

    def take(self, name: str) -> Path:
        """The file of a package, which is not for `unpack`."""
        (found,) = (deb for deb in self._downloaded if deb.name.startswith(f"{name}_"))
        self._downloaded.remove(found)
        return found

    def unpack(self, root: Path) -> None:
        """All that was downloaded, as it would be installed on a system with a merged /usr."""
        for deb in sorted(self._downloaded):
            run("dpkg-deb", "--extract", deb, root)
        self._downloaded.clear()
        merge_usr(root)

    def _field(self, name: str, field: str) -> str:
        shown = run("apt-cache", "-c", self._conf, "show", "--no-all-versions", name)
        found = re.search(rf"^{field}: *(.*)$", shown, re.MULTILINE)
        assert found, f"{name} has no {field}"
        return found[1]


def archives(listed: str) -> dict[str, str]:
    """Suite -> where the host's apt gets it from; `listed` is what its update would download.

    A suite that the host does not use is taken to be where Debian's archive usually has it.
    """
    pattern = rf"^'(\S+?)/dists/({RELEASE}(?:-updates|-backports|-security)?)/main/"
    has: dict[str, set[str]] = {}
    for uri, suite in re.findall(pattern, listed, re.MULTILINE):
        if not uri.startswith("cdrom:"):
            has.setdefault(uri, set()).add(suite)
    # others too name a suite after Debian's, but have no updates of it
    main = max(
        (uri for uri, suites in has.items() if RELEASE in suites),
        key=lambda uri: (len(has[uri]), bool(DEBIAN.search(uri))),
        default="",
    )
    usual = {
        RELEASE: main,
        f"{RELEASE}-updates": main,
        f"{RELEASE}-backports": main,
        f"{RELEASE}-security": DEBIAN.sub("debian-security", main) if DEBIAN.search(main) else "",
    }
    for suite, uri in usual.items():
        if suite not in has.get(uri, ()):
            usual[suite] = next((each for each in has if suite in has[each]), uri)
        if not usual[suite]:
            raise SystemExit(
                f"vm: apt's sources do not name Debian's {suite}: add a line such as\n"
                f"  deb URI {suite} main\nto a file /etc/apt/sources.list.d/NAME.list, "
                "with the URI of a mirror of Debian"
            )
    return usual


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
