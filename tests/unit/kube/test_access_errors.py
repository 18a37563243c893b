"""What is said of kubeconfigs that cannot be used: one error, which names file and key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError
from cni.kube import access
from tests.unit.kube.kubeconfig import DATA, SECRET, document, load

if TYPE_CHECKING:
    from pathlib import Path


def refuse(path: Path, content: Any) -> str:
    """The message of the one error that names the file."""
    with pytest.raises(CniError) as raised:
        load(path, content)
    error = raised.value
    assert error.code == 7
    assert str(path.parent) in error.msg
    assert str(error).isprintable()
    assert len(str(error)) < 2500
    assert SECRET not in str(error)
    return str(error)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not an object"),
        ("[]", "not an object"),
        ("just words", "not an object"),
        (document(**{"current-context": 5}), '"current-context" must be a string'),
        (document(**{"current-context": "", "contexts": []}), 'no "current-context"'),
        (document(**{"current-context": "", "contexts": ["x"]}), 'no "current-context"'),
        (document(**{"current-context": "y"}), 'no context is called "y"'),
        (document(**{"current-context": "a\nb" + "c" * 5000}), 'no context is called "a b'),
        (document(contexts="x"), '"contexts" must be a list'),
        (document(contexts={"x": {}}), '"contexts" must be a list'),
        (document(contexts=None), 'no context is called "x"'),
        (document(contexts=[None, 5, "x"]), 'no context is called "x"'),
        (document(context=[]), '"context" of "x" must be an object'),
        (document(context={"cluster": 5, "user": "u"}), '"cluster" must be a string'),
        (document(context={"cluster": "d", "user": "u"}), 'no cluster is called "d"'),
        (document(context={"user": "u"}), 'no cluster is called ""'),
        (document(context={"cluster": "c", "user": ["u"]}), '"user" must be a string'),
        (document(context={"cluster": "c", "user": "v"}), 'no user is called "v"'),
        (document(context={"cluster": "c", "namespace": {}}), '"namespace" must be a string'),
        (document(clusters=5), '"clusters" must be a list'),
        (document("https://api"), '"cluster" of "c" must be an object'),
        (document({}), 'the cluster has no "server"'),
        (document({"server": 5}), '"server" must be a string'),
        (
            document({"server": "s", "insecure-skip-tls-verify": "yes"}),
            '"insecure-skip-tls-verify" must be a boolean',
        ),
        (
            document({"server": "s", "insecure-skip-tls-verify": True}
                     | {"certificate-authority-data": DATA}),
            '"insecure-skip-tls-verify" together with a "certificate-authority"',
        ),
        (document({"server": "s", "tls-server-name": 1}), '"tls-server-name" must be a string'),
        (
            document({"server": "s", "certificate-authority-data": "%%%"}),
            '"certificate-authority-data" is not a PEM in base64',
        ),
        (
            document({"server": "s", "certificate-authority-data": "gICA"}),
            '"certificate-authority-data" is not a PEM in base64',
        ),
        (
            document({"server": "s", "certificate-authority": True}),
            '"certificate-authority" must be a string',
        ),
        (
            document({"server": "s", "proxy-url": "socks5://p"}),
            '"proxy-url" of cluster "c" is not supported',
        ),
        (document(user=SECRET), '"user" of "u" must be an object'),
        (document(user={"token": 12345}), '"token" must be a string'),
        (document(user={"tokenFile": 5}), '"tokenFile" must be a string'),
        (document(user={"token": f"{SECRET}\r\nX-Evil: 1"}), "a token holds no spaces"),
        (document(user={"token": f"{SECRET}ä"}), "a token holds no spaces"),
        (document(user={"exec": {"command": "c"}}), '"exec" of user "u" is not supported'),
        (document(user={"auth-provider": {"name": "gcp"}}), '"auth-provider" of user'),
        (document(user={"username": "a", "password": SECRET}), '"username" of user'),
        (document(user={"token": SECRET, "as": "admin"}), '"as" of user "u" is not supported'),
        (document(user={"client-certificate-data": DATA}), '"client-key" need each other'),
        (document(user={"client-key-data": DATA}), '"client-key" need each other'),
        (document(user={"client-key-data": SECRET}), '"client-key-data" is not a PEM'),
    ],
)  # fmt: skip
def test_wrong_shapes(file: Path, content: Any, said: str) -> None:
    assert said in refuse(file, content)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"users:\n- user:\n    token: {SECRET}: x\n", "line 3: mapping values are not allowed"),
        (f"a: {SECRET}\n  b: {SECRET}\n", "line 2"),
        (f'token: "{SECRET}', "line 1: found unexpected end of stream"),
        (f"token: !secret {SECRET}\n", "could not determine a constructor"),
        (f"token: @{SECRET}\n", "found character '@'"),
        (f"token: {SECRET}\x00", "not YAML"),
        ("a: 2020-13-45", "not YAML"),
        ("[" * 1000, "not YAML"),
        ("{a: " * 1000, "not YAML"),
        ("a: &a [*a, *a]\n<<: *a", "not YAML"),
        ("? [a]\n: b", "not YAML"),
    ],
)
def test_what_is_no_yaml_is_not_quoted(file: Path, text: str, said: str) -> None:
    got = refuse(file, text)
    assert f"kubeconfig {file}: not YAML" in got
    assert said in got


def test_aliases_do_not_grow(file: Path) -> None:
    """A billion laughs."""
    text = "a0: &a0 [x, x]\n" + "".join(
        f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(40)
    )
    assert 'no "current-context"' in refuse(file, text)


def test_files_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(CniError, match=f"cannot use {file}; ENOENT") as raised:
        access.from_kubeconfig(str(file))
    assert raised.value.code == 5
    with pytest.raises(CniError, match=f"cannot use {file.parent}; EISDIR"):
        access.from_kubeconfig(str(file.parent))
    os.mkfifo(file)
    with pytest.raises(CniError, match=f"{file} is not a regular file"):
        access.from_kubeconfig(str(file))
    with pytest.raises(CniError, match="/dev/zero is not a regular file"):
        access.from_kubeconfig("/dev/zero")
    file.unlink()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(CniError, match=f"{file} is not UTF-8"):
        access.from_kubeconfig(str(file))
    file.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(CniError, match=f"{file} is larger than 1048576 bytes"):
        access.from_kubeconfig(str(file))


@pytest.mark.parametrize(
    ("name", "said", "code"),
    [
        ("none", "cannot use HERE/none; ENOENT", 5),
        ("a\nb", "cannot use HERE/a b; ENOENT", 5),
        ("a\0b", "cannot be the name of a file", 7),
        ("\ud800", "cannot be the name of a file", 7),
        (".", "cannot use HERE/.; EISDIR", 5),
    ],
)
def test_files_that_the_kubeconfig_names(file: Path, name: str, said: str, code: int) -> None:
    for content in (
        document(user={"tokenFile": name}),
        document({"server": "s", "certificate-authority": name}),
        document(user={"client-certificate": name, "client-key": name}),
    ):
        with pytest.raises(CniError) as raised:
            load(file, content)
        assert said.replace("HERE", str(file.parent)) in str(raised.value)
        assert raised.value.code == code
        assert str(raised.value).isprintable()


@pytest.mark.parametrize("content", ["", " \n", f"{SECRET} {SECRET}", f"{SECRET}\r\nX: 1"])
def test_token_files_without_a_token(file: Path, content: str) -> None:
    (file.parent / "tok").write_text(content)
    said = refuse(file, document(user={"tokenFile": "tok"}))
    assert f"{file.parent}/tok: " in said
