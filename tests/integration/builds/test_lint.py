"""The linter's findings in builds."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.building import build, refused
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_CASING = "FROM busybox as x\nLABEL a=b\n"
_MESSAGE = " - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"


def test_a_build_tells_what_the_linter_finds_unless_nothing_was_done(built: Lamina, context: Path) -> None:
    said = build(built, context, _CASING)
    assert "1 warning found (use --check to see more):\n" + _MESSAGE in said
    assert "FromAsCasing" not in build(built, context, _CASING)
    assert "FromAsCasing" not in build(built, context, _CASING, "--no-cache", "--quiet")


def test_a_directive_chooses_rules_and_makes_them_errors(built: Lamina, context: Path) -> None:
    assert "FromAsCasing" not in build(built, context, f"# check=skip=FromAsCasing\n{_CASING}", "--no-cache")
    said = refused(built, context, f"# check=error=true\n{_CASING}")
    assert said.splitlines()[-1] == "lint violation found for rules: FromAsCasing"
    assert "FROM busybox" not in said
    build(built, context, f"# check=error=true\n{_CASING}", "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=all")
    refused(built, context, _CASING, "--build-arg=BUILDKIT_DOCKERFILE_CHECK=error=true")


def test_a_base_image_for_another_platform_is_found(built: Lamina, context: Path) -> None:
    build(built, context, "FROM busybox\nLABEL x=y\n", "-t", "base")
    (context / "Dockerfile").write_text("FROM base\nLABEL a=b\n")
    other = "linux/s390x"
    done = built.run("build", "--check", f"--platform={other}", str(context))
    assert done.returncode == 1
    assert "WARNING: InvalidBaseImagePlatform\nBase image base was pulled with platform" in done.stdout
    assert f'expected "{other}" for current build' in done.stdout
    assert built.run("build", "--check", str(context)).returncode == 0


def test_arguments_for_the_builder_are_not_missed(built: Lamina, context: Path) -> None:
    options = ("--build-arg=BUILDKIT_SYNTAX=docker/dockerfile:1", "--build-arg=BUILDKIT_INLINE_CACHE=1")
    assert "not consumed" not in build(built, context, "# syntax=docker/dockerfile:1\nFROM busybox\n", *options)
    assert "[OTHER] were not consumed" in build(built, context, "FROM busybox\n", "--build-arg=OTHER=1")
