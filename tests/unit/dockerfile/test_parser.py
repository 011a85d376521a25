"""What a Dockerfile says, instruction by instruction."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.dockerfile.failure import DockerfileError, InvalidInstruction
from lamina.dockerfile.instructions import (
    Add,
    Arg,
    Argument,
    Cmd,
    CommandLine,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Heredoc,
    InlineFile,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Pair,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from lamina.dockerfile.parser import parse, parse_instruction, parse_instructions


def _one(text: str) -> Instruction:
    (instruction,) = parse(b"FROM scratch\n" + text.encode()).stages[0].instructions
    return instruction


def _fields(instruction: Instruction) -> dict[str, Any]:
    """Everything but the origin."""
    return {name: value for name, value in instruction._asdict().items() if name != "origin"}


def _refused(text: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        parse(text.encode())
    return caught.value


SHELL_FORM = CommandLine(("echo hi",), shell=True)
EXEC_FORM = CommandLine(("echo", "hi"), shell=False)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("RUN echo hi", Run, {"command": SHELL_FORM}),
        ('RUN [ "echo","hi" ]', Run, {"command": EXEC_FORM}),
        ('RUN ["echo", "hi"] # not JSON, but docker looks no further', Run, {"command": EXEC_FORM}),
        ("RUN ['echo', 'hi']", Run, {"command": CommandLine(("['echo', 'hi']",), shell=True)}),
        (
            "RUN --mount=type=cache,target=/a --mount=type=tmpfs,target=/b --network=none --security=insecure echo hi",
            Run,
            {
                "command": SHELL_FORM,
                "mounts": ("type=cache,target=/a", "type=tmpfs,target=/b"),
                "network": "none",
                "security": "insecure",
            },
        ),
        ("RUN --mount=type=bind,source='a b',target=/x echo hi", Run, {"mounts": ("type=bind,source=a b,target=/x",)}),
        ("CMD echo hi", Cmd, {"command": SHELL_FORM}),
        ("CMD []", Cmd, {"command": CommandLine((), shell=False)}),
        ('ENTRYPOINT ["echo", "hi"]', Entrypoint, {"command": EXEC_FORM}),
        ('SHELL ["/bin/bash", "-c"]', Shell, {"words": ("/bin/bash", "-c")}),
        ("ENV A=1 B='x y' C=\\ d", Env, {"pairs": (Pair("A", "1"), Pair("B", "'x y'"), Pair("C", "\\ d"))}),
        ("ENV A  1 2=3", Env, {"pairs": (Pair("A", "1 2=3", legacy=True),)}),
        ('LABEL "a b"="c"', Label, {"pairs": (Pair('"a b"', '"c"'),)}),
        ("ARG A B= C=d", Arg, {"arguments": (Argument("A", None), Argument("B", ""), Argument("C", "d"))}),
        ("# A says it\nARG A=1", Arg, {"arguments": (Argument("A", "1", "says it"),)}),
        ("EXPOSE 90 80/udp 100-101", Expose, {"ports": ("100-101", "80/udp", "90")}),
        ('VOLUME ["/a b", "/c"]', Volume, {"paths": ("/a b", "/c")}),
        ("VOLUME /a\t/b", Volume, {"paths": ("/a", "/b")}),
        ("USER a:b", User, {"user": "a:b"}),
        ("WORKDIR /a b", Workdir, {"path": "/a b"}),
        ("STOPSIGNAL 9", StopSignal, {"signal": "9"}),
        ("MAINTAINER A <a@b>", Maintainer, {"author": "A <a@b>"}),
        ("ONBUILD  RUN  x  y", OnBuild, {"expression": "RUN  x  y"}),
        ("onbuild RUN <<EOF\nx\nEOF", OnBuild, {"expression": "RUN <<EOF\nx\nEOF"}),
        ("HEALTHCHECK none", Healthcheck, {"check": {"Test": ["NONE"]}}),
        (
            'HEALTHCHECK --interval=1m30s --retries=3 --timeout=0s CMD ["a", "b"]',
            Healthcheck,
            {"check": {"Test": ["CMD", "a", "b"], "Interval": 90 * 10**9, "Retries": 3}},
        ),
        (
            "COPY --from=base --chown=1:2 --chmod=644 --link --parents --exclude=*.a --exclude=b a b /c/",
            Copy,
            {
                "sources": ("a", "b"),
                "destination": "/c/",
                "stage": "base",
                "chown": "1:2",
                "chmod": "644",
                "link": True,
                "parents": True,
                "exclude": ("*.a", "b"),
            },
        ),
        ('COPY --link=false ["a b", "/c d"]', Copy, {"sources": ("a b",), "destination": "/c d", "link": False}),
        (
            "ADD --checksum=sha256:00 --keep-git-dir --unpack=false https://example.com/a /",
            Add,
            {"checksum": "sha256:00", "keep_git_dir": True, "unpack": False, "destination": "/"},
        ),
        ("ADD a /", Add, {"keep_git_dir": None, "unpack": None}),
    ],
)
def test_an_instruction_is_read_with_all_that_belongs_to_it(text: str, kind: type, expected: dict[str, Any]) -> None:
    instruction = _one(text)
    assert type(instruction) is kind
    fields = _fields(instruction)
    assert {name: fields[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN <<EOF\na\n\tb\nEOF", (Heredoc("EOF", "a\n\tb\n"),)),
        ("RUN <<-EOF cat\n\ta\n\tEOF", (Heredoc("EOF", "\ta\n", chomp=True),)),
        ("RUN <<'EOF'\n$a\nEOF", (Heredoc("EOF", "$a\n", expand=False),)),
        ('RUN <<E"O"F\n$a\nEOF', (Heredoc("EOF", "$a\n", expand=False),)),
        ("RUN 3<<A <<B\n1\nA\n2\nB", (Heredoc("A", "1\n", descriptor=3), Heredoc("B", "2\n"))),
        ("RUN << EOF\na\nEOF", (Heredoc("EOF", "a\n"),)),
        ("RUN <<EOF\n# a\n\\\nEOF\r\n", (Heredoc("EOF", "# a\n\\\n"),)),
        ('RUN echo "<<EOF"', ()),
        ("RUN cat <<< EOF", ()),
        ("RUN echo ' <<EOF", ()),
        ('RUN ["<<EOF"]', ()),
    ],
)
def test_heredocs_of_a_run_are_read_up_to_their_names(text: str, expected: tuple[Heredoc, ...]) -> None:
    instruction = _one(text)
    assert isinstance(instruction, Run)
    assert instruction.command.heredocs == expected


def test_heredocs_of_a_copy_become_files() -> None:
    instruction = _one("COPY <<a.txt <<-'b' c /to/\n1 $x\na.txt\n\t\t2\n\tb")
    assert isinstance(instruction, Copy)
    assert instruction.contents == (InlineFile("a.txt", "1 $x\n", True), InlineFile("b", "2\n", False))
    assert instruction.sources == ("c",)
    assert instruction.origin.location.end_line == 6


def test_undecodable_bytes_of_a_heredoc_survive() -> None:
    (instruction,) = parse(b"FROM a\nCOPY <<E /x\n\xff\xfe\nE\n").stages[0].instructions
    assert isinstance(instruction, Copy)
    assert instruction.contents[0].content.encode("utf-8", "surrogateescape") == b"\xff\xfe\n"


def test_stages_have_names_bases_and_platforms() -> None:
    found = parse(
        b"ARG V=1\nFROM --platform=$BUILDPLATFORM a:$V as Build\nRUN x\nFROM scratch\nCOPY --from=build / /\n"
    )
    first, second = found.stages
    assert [arg.arguments for arg in found.arguments] == [(Argument("V", "1"),)]
    assert (first.number, first.name, first.source.base, first.source.platform) == (
        0,
        "build",
        "a:$V",
        "$BUILDPLATFORM",
    )
    assert (second.number, second.name, len(second.instructions)) == (1, "", 1)


def test_continued_lines_are_joined_and_comments_inside_left_out() -> None:
    instruction = _one("RUN a \\\n  # comment\n\\\n  b && \\  \n c\n")
    assert instruction.origin.text == "RUN a   b &&  c"
    assert (instruction.origin.location.line, instruction.origin.location.end_line) == (2, 6)


def test_an_escaped_escape_character_continues_nothing() -> None:
    assert [type(one) for one in parse(b"FROM a\nRUN a \\\\\nRUN b\n").stages[0].instructions] == [Run, Run]


def test_windows_line_ends_and_a_byte_order_mark_do_not_count() -> None:
    unix = parse(b"# escape=`\nFROM a\nRUN a `\n b\n")
    windows = parse(b"\xef\xbb\xbf# escape=`\r\nFROM a\r\nRUN a `\r\n b\r\n")
    assert windows == unix
    assert windows.escape == "`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# syntax=docker/dockerfile:1 more\n# check = skip=all\nFROM a", ("docker/dockerfile:1", "skip=all", "\\")),
        ("#ESCAPE=`\nFROM a", ("", "", "`")),
        ("# hello\n# escape=`\nFROM a", ("", "", "\\")),
        ("\n# escape=`\nFROM a", ("", "", "\\")),
        ("#!/usr/bin/env -S docker build\n# syntax=x\nFROM a", ("x", "", "\\")),
    ],
)
def test_directives_count_before_everything_else(text: str, expected: tuple[str, str, str]) -> None:
    found = parse(text.encode())
    assert (found.syntax, found.check, found.escape) == expected


def test_comments_right_above_belong_to_an_instruction() -> None:
    found = parse(b"# one\n# two\nFROM a\n# three\n#\n# four\nRUN x\nRUN y\n")
    stage = found.stages[0]
    assert stage.source.origin.comments == ("one", "two")
    assert [one.origin.comments for one in stage.instructions] == [("four",), ()]


def test_empty_lines_in_a_continued_line_are_reported() -> None:
    (warning,) = parse(b"FROM a\nRUN a \\\n\n  b\n").warnings
    assert warning.message == "Empty continuation line found in: RUN a   b"
    assert warning.location.line == 4


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("FROM a\nRNU x", 2, 1, "unknown instruction: RNU (did you mean RUN?)"),
        ("FROM a\n  wrkdir x", 2, 3, "unknown instruction: wrkdir (did you mean workdir?)"),
        ("FROM a\nBOGUS x", 2, 1, "unknown instruction: BOGUS"),
        ("FROM a\nCOPY --chwon=1 a b", 2, 6, "unknown flag: --chwon (did you mean chown?)"),
        ("FROM a\nCOPY --link \\\n  --chown a b", 3, 3, "missing a value on flag: --chown"),
        ("FROM a\nCOPY --chown=1 --chown=2 a b", 2, 6, "duplicate flag specified: --chown"),
        ("FROM a\nCOPY --link=x a b", 2, 6, "expecting boolean value for flag --link, not: x"),
        ("FROM a\nCMD --x", 2, 5, "unknown flag: --x"),
        (
            "FROM a\nCOPY a",
            2,
            1,
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("FROM a\nCOPY a <<E\nE", 2, 8, "COPY cannot accept a heredoc as a destination"),
        ("FROM a\nRUN <<E\nx", 2, 5, "unterminated heredoc"),
        ("FROM a\nRUN --network=x y", 2, 5, 'invalid network mode "x"'),
        ("FROM a\nRUN --security=x y", 2, 5, 'security "x" is not valid'),
        (
            "FROM a\nRUN --mount=from=$x,target=/a y",
            2,
            13,
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        ("FROM a\nENV A", 2, 5, "ENV must have two arguments"),
        ("FROM a\nENV A=1 \\\n B", 3, 2, 'Syntax error - can\'t find = in "B". Must be of the form: name=value'),
        ("FROM a\nENV =1", 2, 4, "ENV names can not be blank"),
        ("FROM a\nARG =1", 2, 5, "ARG names can not be blank"),
        ('FROM a\nRUN ["a", 1]', 2, 5, "when using JSON array syntax, arrays must be comprised of strings only"),
        ("FROM a\nSHELL a", 2, 7, "SHELL requires the arguments to be in JSON form"),
        ("FROM a\nUSER", 2, 1, "USER requires exactly one argument"),
        ("FROM a\nEXPOSE", 2, 1, "EXPOSE requires at least one argument"),
        ("FROM a b", 1, 1, "FROM requires either one or three arguments"),
        (
            "FROM a AS 1b",
            1,
            11,
            'invalid name for build stage: "1b", name can\'t start with a number or contain symbols',
        ),
        ("RUN x", 1, 1, "no build stage in current context"),
        ("ARG x", 1, 1, "dockerfile contains no stages to build"),
        ("", 1, 1, "file with no instructions"),
        ("# escape=x\nFROM a", 1, 10, "invalid escape token 'x' does not match ` or \\"),
        ("# syntax=a\n# syntax=b\nFROM a", 2, 1, "only one syntax parser directive can be used"),
        ("FROM a\nHEALTHCHECK --interval=1us CMD x", 2, 13, 'Interval "interval" cannot be less than 1ms'),
        ("FROM a\nHEALTHCHECK FOO x", 2, 13, 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
        ("FROM a\nONBUILD FROM x", 2, 1, "FROM isn't allowed as an ONBUILD trigger"),
    ],
)
def test_an_error_says_what_is_wrong_and_where(text: str, line: int, column: int, reason: str) -> None:
    error = _refused(text)
    assert (error.line, error.column, error.reason) == (line, column, reason)


def test_an_errors_message_shows_the_line_and_marks_the_place() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(b"FROM a\nRUN x \\\n  y\nCOPY --frm=a b c\n", name="web/Dockerfile")
    assert str(caught.value) == (
        "dockerfile parse error on line 4: unknown flag: --frm (did you mean from?)\n"
        "web/Dockerfile:4:6\n"
        "    4 | COPY --frm=a b c\n"
        "      |      ^"
    )


def test_the_shown_line_has_no_control_characters_and_a_bounded_length() -> None:
    error = _refused("FROM a\nENV \x1b[31m" + "x" * 5000 + "=1 é " + "y" * 5000)
    shown = str(error).split("\n")[2:]
    assert all(len(line) < 200 and line.isprintable() for line in shown)
    assert shown[0][shown[1].index("^")] == "é"


def test_one_instruction_can_be_parsed_alone() -> None:
    assert parse_instruction("RUN <<EOF\nx\nEOF").origin.text == "RUN <<EOF"
    assert isinstance(parse_instruction("ENV a=b` c", escape="`"), Env)
    with pytest.raises(InvalidInstruction, match="FROM isn't allowed here"):
        parse_instructions("FROM a")
