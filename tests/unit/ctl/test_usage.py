"""How the tool is called: help, exit status, one line for an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cni import __version__
from cni.core.errors import CniError, Code
from cni.ctl import app
from cni.ctl.vf import commands, inventory
from cni.ctl.vf.plan import Wish

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["vf", "--help"], 0),
        (["vf", "list", "--help"], 0),
        (["vf", "provision", "--help"], 0),
        (["vf", "release", "--help"], 0),
        ([], 2),
        (["vf"], 2),
        (["nothing"], 2),
        (["vf", "nothing"], 2),
        (["vf", "list", "more"], 2),
        (["vf", "provision", "pf0"], 2),
        (["vf", "provision", "--num", "4"], 2),
        (["vf", "provision", "pf0", "--num", "four"], 2),
        (["vf", "provision", "pf0", "--num", "-1"], 2),
        (["vf", "provision", "pf0", "--num", "4", "--driver", "igb_uio"], 2),
        (["vf", "provision", "pf0", "--num", "4", "--vfs", "2-4"], 2),
        (["vf", "provision", "pf0", "--num", "4", "--vfs", "x"], 2),
        (["vf", "provision", "pf0", "--num", "4", "--mtu", "70000"], 2),
        (["vf", "release"], 2),
    ],
)
def test_exit_status(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int) -> None:
    assert app.main(arguments) == status
    shown = capsys.readouterr()
    text = shown.err if status and arguments not in ([], ["vf"]) else shown.out + shown.err
    assert "Usage: plait" in text and "Traceback" not in text


def test_help_says_what_the_commands_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["vf", "--help"]) == 0
    text = capsys.readouterr().out
    for command in ("list", "provision", "release"):
        assert f"\n  {command} " in text
    assert "..." not in text.partition("Commands:")[2]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out == f"plait {__version__}\n"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (CniError(Code.INVALID_CONFIG, "no", "because"), "plait: no; because\n"),
        (OSError(16, "Device or resource busy"), "plait: cannot use file; EBUSY: "),
        (CniError(Code.INVALID_CONFIG, "no\x1b[31m", "a\nb"), "plait: no?[31m; a?b\n"),
        (KeyError("x"), "plait: internal error: KeyError: 'x'\n"),
    ],
)
def test_one_line_for_an_error(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    said: str,
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(inventory, "read_all", fail)
    assert app.main(["vf", "list"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(said) and shown.err.count("\n") == 1


def card(*_: object) -> str:
    return "0000:21:00.0"


@pytest.mark.parametrize("dry", [True, False])
def test_options_become_a_wish(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, dry: bool
) -> None:
    seen: list[object] = []

    def record(_: object, *arguments: object, force: bool) -> int:
        seen.extend((*arguments, force))
        return 0

    monkeypatch.setattr(inventory, "find", card)
    monkeypatch.setattr(commands, "rehearse" if dry else "provision", record)
    options = ["--num", "4", "--driver", "vfio-pci", "--vfs", "1-2", "--mtu", "9000", "--force"]
    assert app.main(["vf", "provision", "pf0", *options, *["--dry-run"][: int(dry)]]) == 0
    assert seen == [card(), Wish(4, "vfio-pci", frozenset({1, 2}), 9000), True]
    assert capsys.readouterr().out == "nothing to do: pf0 is so already\n"


def test_a_machine_without_such_cards(capsys: pytest.CaptureFixture[str]) -> None:
    empty: Callable[..., list[object]] = lambda *_: []  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inventory, "read_all", empty)
        assert app.main(["vf", "list"]) == 0
        assert capsys.readouterr().out == "no SR-IOV network card\n"
        assert app.main(["vf", "list", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"pfs": []}
