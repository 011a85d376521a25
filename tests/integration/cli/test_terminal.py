"""What a person at a terminal sees: questions, and progress that changes in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.command import Lamina
from support.images import LayerTar, TestImage
from support.registry import Registry
from support.terminal import Session

pytestmark = pytest.mark.root


@pytest.fixture
def session(lamina: Lamina) -> Iterator[Callable[..., Session]]:
    """``session(WORDS...)``: a command on a terminal."""
    started: list[Session] = []

    def start(*words: str) -> Session:
        started.append(Session(lamina.command(*words), lamina.environment))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.mark.registry
def test_login_asks_and_does_not_show_the_password(
    session: Callable[..., Session], registry: Callable[..., Registry], lamina: Lamina
) -> None:
    address = registry(users={"me": "secret"}).address
    talk = session("login", address)
    talk.expect("Username: ")
    talk.type("me")
    talk.expect("Password: ")
    talk.type("secret")
    assert talk.finish() == 0
    assert "Login Succeeded" in talk.seen
    assert "secret" not in talk.seen
    assert lamina("login", address).startswith("Authenticating with existing credentials...\n")


def test_login_wants_a_name_and_a_password(session: Callable[..., Session]) -> None:
    nobody = session("login", "localhost:1")
    nobody.expect("Username: ")
    nobody.type("")
    assert nobody.finish() == 1
    assert "Error: Non-null Username Required" in nobody.seen
    silent = session("login", "-u", "me", "localhost:1")
    silent.expect("Password: ")
    silent.type("")
    assert silent.finish() == 1
    assert "Error: Password Required" in silent.seen


def test_prune_asks_first(session: Callable[..., Session]) -> None:
    talk = session("image", "prune")
    talk.expect("[y/N] ")
    talk.type("n")
    assert talk.finish() == 0
    assert "Total reclaimed space: 0B" in talk.seen


def test_a_terminal_is_no_place_for_an_archive(session: Callable[..., Session]) -> None:
    talk = session("save", "anything")
    assert talk.finish() == 1
    assert "cowardly refusing to save to a terminal. Use the -o flag or redirect" in talk.seen


def test_a_terminal_is_no_archive(session: Callable[..., Session]) -> None:
    talk = session("load")
    assert talk.finish() == 1
    assert "requested load from stdin, but stdin is empty" in talk.seen


@pytest.mark.registry
def test_pull_draws_each_layer_on_a_line_of_its_own(
    session: Callable[..., Session], registry: Callable[..., Registry], lamina: Lamina, tmp_path: Path
) -> None:
    server = registry()
    image = TestImage([LayerTar().file("a", os.urandom(300_000)).bytes(), LayerTar().file("b", "b").bytes()])
    server.upload(image, "app", "1")
    talk = session("pull", f"{server.address}/app:1")
    assert talk.finish() == 0
    for blob in image.layer_blobs:
        short = blob.digest.removeprefix("sha256:")[:12]
        assert f"\x1b[2K\r{short}: Pull complete" in talk.seen
    assert f"Status: Downloaded newer image for {server.address}/app:1" in talk.seen
    assert lamina("images", "-q", "--no-trunc").strip() == image.image_id
