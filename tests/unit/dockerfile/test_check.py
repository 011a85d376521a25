"""What ``build --check`` finds."""

from __future__ import annotations

import pytest

from lamina.dockerfile.check import Surroundings, base_platform_finding, check
from lamina.dockerfile.failure import InvalidInstruction
from lamina.dockerfile.ignore import PatternMatcher
from lamina.dockerfile.parser import parse
from lamina.dockerfile.rules import DESCRIPTIONS, Finding, Options, parse_options
from lamina.oci.platform import Platform

HERE = Surroundings(
    predefined={"TARGETPLATFORM": "linux/amd64", "BUILDPLATFORM": "linux/amd64", "TARGETARCH": "amd64"},
    environment=lambda name: {"PATH": "/bin"} if name in ("scratch", "known") else None,
)


def _found(text: str, surroundings: Surroundings = HERE) -> list[tuple[int, str, str]]:
    findings = check(parse(text.encode()), surroundings)
    return [(finding.location.line, finding.rule, finding.message) for finding in findings]


@pytest.mark.parametrize(
    ("text", "line", "rule", "message"),
    [
        ("FROM scratch AS Base", 1, "StageNameCasing", "Stage name 'Base' should be lowercase"),
        ("FROM scratch as b", 1, "FromAsCasing", "'as' and 'FROM' keywords' casing do not match"),
        ("FROM known\nRUN a \\\n\n  b", 4, "NoEmptyContinuation", "Empty continuation line"),
        (
            "FROM known\nrun x\nRUN y",
            2,
            "ConsistentInstructionCasing",
            "Command 'run' should match the case of the command majority (uppercase)",
        ),
        (
            "FROM known\nRun x",
            2,
            "ConsistentInstructionCasing",
            "Command 'Run' should match the case of the command majority (uppercase)",
        ),
        (
            "FROM scratch AS b\nFROM scratch AS b",
            2,
            "DuplicateStageName",
            'Duplicate stage name "b", stage names should be unique',
        ),
        (
            "FROM known AS scratch",
            1,
            "ReservedStageName",
            'Stage name should not use the same name as reserved stage "scratch"',
        ),
        (
            "FROM known\nCMD x",
            2,
            "JSONArgsRecommended",
            "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        ),
        (
            "FROM known\nMAINTAINER x",
            2,
            "MaintainerDeprecated",
            "Maintainer instruction is deprecated in favor of using label",
        ),
        (
            "ARG VERSION=1\nFROM known:${VERSIO:-2}",
            2,
            "UndefinedArgInFrom",
            "FROM argument 'VERSIO' is not declared (did you mean VERSION?)",
        ),
        ("FROM known\nCOPY a $PAHT", 2, "UndefinedVar", "Usage of undefined variable '$PAHT' (did you mean $PATH?)"),
        ("FROM known\nRUN --mount=target=$A x", 2, "UndefinedVar", "Usage of undefined variable '$A'"),
        (
            "FROM known\nWORKDIR a",
            2,
            "WorkdirRelativePath",
            'Relative workdir "a" can have unexpected results if the base image changes',
        ),
        (
            'FROM known\nCMD ["a"]\nCMD ["b"]',
            2,
            "MultipleInstructionsDisallowed",
            "Multiple CMD instructions should not be used in the same stage because only the last one will be used",
        ),
        (
            "FROM known\nENV a b",
            2,
            "LegacyKeyValueFormat",
            '"ENV key=value" should be used instead of legacy "ENV key value" format',
        ),
        (
            "FROM --platform=$TARGETPLATFORM known",
            1,
            "RedundantTargetPlatform",
            "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        ),
        (
            "FROM --platform=linux/arm64 known",
            1,
            "FromPlatformFlagConstDisallowed",
            'FROM --platform flag should not use constant value "linux/arm64"',
        ),
        (
            "FROM known\nENV API_TOKEN=x",
            2,
            "SecretsUsedInArgOrEnv",
            'Do not use ARG or ENV instructions for sensitive data (ENV "API_TOKEN")',
        ),
        (
            "ARG TAG\nFROM known:$TAG",
            2,
            "InvalidDefaultArgInFrom",
            "Default value for ARG known:$TAG results in empty or invalid base image name",
        ),
        (
            "FROM known\nEXPOSE 80/TCP",
            2,
            "ExposeProtoCasing",
            "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
        ),
        (
            "FROM known\nEXPOSE 127.0.0.1:80:80",
            2,
            "ExposeInvalidFormat",
            "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
        ),
        (
            "# check=experimental=all\n# other words\nARG a=1\nFROM known",
            3,
            "InvalidDefinitionDescription",
            "Comment for ARG should follow the format: `# a <description>`",
        ),
    ],
)  # fmt: skip
def test_a_rule_speaks_with_dockers_words(text: str, line: int, rule: str, message: str) -> None:
    assert _found(text) == [(line, rule, message)]


@pytest.mark.parametrize(
    "text",
    [
        "FROM scratch AS base\nFROM base\nENV a=b PUBLIC_KEY=x KEY_FILE=y\nCOPY $a $PATH",
        "from scratch as base\ncopy a b",
        "FROM unknown\nCOPY $ANYTHING /",
        "ARG a\nFROM known\nARG a\nCOPY ${a} /",
        "FROM known AS p\nARG x\nFROM p\nCOPY $x /\nWORKDIR /a\nWORKDIR b",
        'FROM known\nSHELL ["/bin/sh", "-c"]\nCMD x',
        "FROM --platform=$BUILDPLATFORM known\nARG TARGETARCH\nCOPY $TARGETARCH /",
        "FROM --platform=linux/amd64 known AS build-amd64",
        "# about something\nFROM known",
        "ARG V=1\nARG W=$V\nFROM known:$W",
    ],
)
def test_a_proper_file_is_left_alone(text: str) -> None:
    assert _found(text) == []


def test_a_copy_of_what_is_ignored_is_found() -> None:
    ignoring = HERE._replace(ignored=PatternMatcher(["a", "*.log"]))
    text = "FROM scratch\nCOPY ./a b /\nADD x.log https://example.com/y.log /\nCOPY --from=known a /\nCOPY . /"
    assert _found(text, ignoring) == [
        (2, "CopyIgnoredFile", 'Attempting to Copy file "a" that is excluded by .dockerignore'),
        (3, "CopyIgnoredFile", 'Attempting to Add file "x.log" that is excluded by .dockerignore'),
    ]
    everything = HERE._replace(ignored=PatternMatcher(["*"]))
    assert [rule for _, rule, _ in _found("FROM scratch\nCOPY . /", everything)] == ["CopyIgnoredFile"]
    assert _found("FROM scratch\nCOPY a /", HERE._replace(ignored=PatternMatcher(["*", "!b"]))) == []


def test_build_arguments_count_as_values() -> None:
    given = HERE._replace(arguments={"BASE": "known", "T": "linux/amd64"})
    assert _found("ARG BASE\nFROM ${BASE:-scratch}\nARG X\nCOPY $X$PATH /", given) == []


def test_rules_are_skipped_by_the_directive_and_by_a_comment_above() -> None:
    body = "FROM known\nMAINTAINER x\nCMD y\n"
    assert _found("# check=skip=all\n" + body) == []
    assert [rule for _, rule, _ in _found("# check=skip=MaintainerDeprecated\n" + body)] == ["JSONArgsRecommended"]
    assert _found("FROM known\n# check=skip=JSONArgsRecommended\nCMD y\n") == []


def test_options_are_read() -> None:
    assert parse_options("") == Options()
    assert parse_options("skip=A, B;experimental=all;error=true") == Options(
        frozenset({"A", "B"}), frozenset({"all"}), True
    )
    for text in ("skip", "foo=1", "error=maybe"):
        with pytest.raises(InvalidInstruction, match="check option"):
            parse_options(text)


def test_a_base_image_for_another_machine_is_found() -> None:
    source = parse(b"FROM known").stages[0].source
    here, there = Platform("linux", "amd64"), Platform("linux", "arm64")
    assert base_platform_finding(source, "known", here, here) is None
    finding = base_platform_finding(source, "known", there, here)
    assert finding is not None
    assert (
        finding.message
        == 'Base image known was pulled with platform "linux/arm64", expected "linux/amd64" for current build'
    )
    assert finding.url == ""


def test_every_rule_has_a_description_and_dockers_page() -> None:
    location = parse(b"FROM a").stages[0].source.origin.location
    urls = {rule: Finding(rule, "", location).url.rpartition("rule/")[2] for rule in DESCRIPTIONS}
    assert urls["JSONArgsRecommended"] == "json-args-recommended/"
    assert urls["FromAsCasing"] == "from-as-casing/"
    assert urls["SecretsUsedInArgOrEnv"] == "secrets-used-in-arg-or-env/"
    assert all(Finding(rule, "", location).description for rule in DESCRIPTIONS)
