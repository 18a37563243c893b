"""Where the laboratory's downloader finds Debian, in what the host's apt would download."""

from __future__ import annotations

import pytest

from tests.vm.archive import archives

LISTS = "mirror+file:/etc/apt/mirrors"


def listed(*sources: str) -> str:
    """As of `apt-get --print-uris update`, for sources of a URI and its suites."""
    return "".join(
        f"'{uri}/dists/{suite}/{file}' name 0 \n"
        for file in ("InRelease", "main/binary-amd64/Packages.xz")
        for uri, *suites in map(str.split, sources)
        for suite in suites
    )


@pytest.mark.parametrize(
    ("sources", "main", "backports", "security"),
    [
        pytest.param(
            [
                f"{LISTS}/debian.list bookworm bookworm-updates bookworm-backports",
                f"{LISTS}/debian-security.list bookworm-security",
            ],
            f"{LISTS}/debian.list", f"{LISTS}/debian.list", f"{LISTS}/debian-security.list",
            id="cloud image",
        ),
        pytest.param(
            [f"{LISTS}/debian.list bookworm"],
            f"{LISTS}/debian.list", f"{LISTS}/debian.list", f"{LISTS}/debian-security.list",
            id="cloud image without security",
        ),
        pytest.param(
            ["file:/a/deb12 bookworm", "file:/b bookworm-security", "file:/c bookworm-backports"],
            "file:/a/deb12", "file:/c", "file:/b",
            id="any path, each suite at its own",
        ),
        pytest.param(
            ["file:/pool bookworm bookworm-updates bookworm-security"],
            "file:/pool", "file:/pool", "file:/pool",
            id="all at one",
        ),
        pytest.param(
            ["file:/vendor bookworm", "file:/srv/debian bookworm"],
            "file:/srv/debian", "file:/srv/debian", "file:/srv/debian-security",
            id="a vendor's suite of the same name",
        ),
        pytest.param(
            ["file:/vendor/debian bookworm", "file:/d bookworm bookworm-updates bookworm-security"],
            "file:/d", "file:/d", "file:/d",
            id="a vendor's archive for Debian",
        ),
    ],
)  # fmt: skip
def test_archives(sources: list[str], main: str, backports: str, security: str) -> None:
    assert archives(listed(*sources)) == {
        "bookworm": main,
        "bookworm-updates": main,
        "bookworm-backports": backports,
        "bookworm-security": security,
    }


@pytest.mark.parametrize(
    ("sources", "missing"),
    [
        ([], "bookworm"),
        (["file:/srv/debian trixie"], "bookworm"),
        (["cdrom:[Debian]/debian bookworm"], "bookworm"),
        (["file:/deb12 bookworm"], "bookworm-security"),
    ],
)
def test_what_is_missing_is_named(sources: list[str], missing: str) -> None:
    with pytest.raises(SystemExit, match=f"deb URI {missing} main"):
        archives(listed(*sources))
