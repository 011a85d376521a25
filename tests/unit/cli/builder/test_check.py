"""``build --check`` prints what docker's prints."""

from __future__ import annotations

import io
from pathlib import Path

from lamina.builder.request import BuildRequest
from lamina.cli.builder.check import check_only
from lamina.cli.command import Context
from lamina.dockerfile.ignore import PatternMatcher


def _check(tmp_path: Path, text: str, **more: object) -> tuple[int, str]:
    out = io.StringIO()
    context = Context(
        "build",
        root=str(tmp_path / "root"),
        storage_driver="vfs",
        docker_config_dir=str(tmp_path),
        debug=False,
        environment={},
        stdin=io.StringIO(),
        stdout=out,
        stderr=out,
    )
    status = check_only(context, BuildRequest(text.encode(), **more))  # type: ignore[arg-type]
    return status, out.getvalue()


def test_a_file_without_findings_is_praised(tmp_path: Path) -> None:
    assert _check(tmp_path, "FROM scratch\nCOPY a /\n") == (0, "Check complete, no warnings found.\n")


def test_a_finding_is_shown_with_its_lines(tmp_path: Path) -> None:
    text = "FROM scratch\r\nRUN a \\\r\n  --b\nCMD x\nUSER a\nUSER b\nUSER c\n"
    assert _check(tmp_path, text) == (
        1,
        """\
Check complete, 1 warning has been found!

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
Dockerfile:4
--------------------
   2 |     RUN a \\
   3 |       --b
   4 | >>> CMD x
   5 |     USER a
   6 |     USER b
--------------------
""",
    )


def test_a_finding_of_several_lines_marks_them_all(tmp_path: Path) -> None:
    status, out = _check(tmp_path, "FROM scratch AS a\nCOPY $x \\\n  $y /\nUSER a\nUSER b\n")
    assert status == 1
    assert out.startswith("Check complete, 2 warnings have been found!\n")
    assert "Dockerfile:2\n--------------------\n   1 |     FROM" in out
    assert "   2 | >>> COPY $x \\\n   3 | >>>   $y /\n   4 |     USER a\n---" in out


def test_the_ignore_file_and_build_arguments_count(tmp_path: Path) -> None:
    text = "ARG BASE\nFROM ${BASE:-scratch}\nARG X\nCOPY $X /\n"
    matcher = PatternMatcher(["a"])
    assert _check(tmp_path, text, ignored=matcher, arguments={"X": "b"})[0] == 0
    status, out = _check(tmp_path, text, ignored=matcher, arguments={"X": "a"})
    assert status == 1
    assert 'Attempting to Copy file "a" that is excluded by .dockerignore' in out
