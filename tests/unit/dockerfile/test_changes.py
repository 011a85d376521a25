"""What ``--change`` instructions do to a configuration. Expectations are Docker's."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.dockerfile import changes
from lamina.dockerfile.failure import InvalidInstruction


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        (["CMD echo $A"], {"Cmd": ["/bin/sh", "-c", "echo $A"]}),
        (['CMD ["a", "b"]'], {"Cmd": ["a", "b"]}),
        (["CMD ['a']"], {"Cmd": ["/bin/sh", "-c", "['a']"]}),
        (["CMD []"], {"Cmd": []}),
        (["CMD a\nCMD b"], {"Cmd": ["/bin/sh", "-c", "b"]}),
        (["ENTRYPOINT []"], {"Entrypoint": None, "Cmd": None}),
        (['CMD ["b"]', 'ENTRYPOINT ["a"]'], {"Cmd": ["b"], "Entrypoint": ["a"]}),
        (["ENV A=1", "ENV A=$A:2 B=$A", "ENV C ${B}x   y "], {"Env": ["A=1:2", "B=1", "C=1x   y"]}),
        (['ENV A="a b" B=c\\ d E=\'$x\' F="\\$q \\n"'], {"Env": ["A=a b", "B=c d", "E=$x", "F=$q \\n"]}),
        (["ENV A=${B:+x} C=${B:-y}"], {"Env": ["A=", "C=y"]}),
        (["ENV A=1\n# a comment\nENV B=2"], {"Env": ["A=1", "B=2"]}),
        (["ENV A=b\\\n C=d"], {"Env": ["A=b", "C=d"]}),
        (["EXPOSE 80 90-91/udp 99/SCTP"], {"ExposedPorts": {"80/tcp": {}, "90/udp": {}, "91/udp": {}, "99/sctp": {}}}),
        (["ENV P=80", "EXPOSE $P"], {"Env": ["P=80"], "ExposedPorts": {"80/tcp": {}}}),
        (['LABEL a=1 a=2 "b c"=d'], {"Labels": {"a": "2", "b c": "d"}}),
        (["LABEL x y z"], {"Labels": {"x": "y z"}}),
        (["VOLUME /a /b"], {"Volumes": {"/a": {}, "/b": {}}}),
        (['VOLUME ["/a b"]'], {"Volumes": {"/a b": {}}}),
        (["WORKDIR a", "WORKDIR b/../c"], {"WorkingDir": "/a/c"}),
        (["WORKDIR /a/../b/"], {"WorkingDir": "/a/../b/"}),
        (["USER a b"], {"User": "a b"}),
        (["STOPSIGNAL SIGRTMIN+3"], {"StopSignal": "SIGRTMIN+3"}),
        (["ONBUILD   RUN x  y", "ONBUILD COPY a b"], {"OnBuild": ["RUN x  y", "COPY a b"]}),
        (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
        (
            ["HEALTHCHECK --interval=5s --timeout=1m30s --retries=3 CMD true x"],
            {
                "Healthcheck": {
                    "Test": ["CMD-SHELL", "true x"],
                    "Interval": 5 * 10**9,
                    "Timeout": 90 * 10**9,
                    "Retries": 3,
                }
            },
        ),
        (['HEALTHCHECK CMD ["a","b"]'], {"Healthcheck": {"Test": ["CMD", "a", "b"]}}),
    ],
)
def test_an_instruction_changes_what_docker_changes(instructions: list[str], expected: dict[str, Any]) -> None:
    assert changes.apply({}, instructions) == expected


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("RUN x", "run is not a valid change command"),
        ("", "file with no instructions"),
        ("# x", "file with no instructions"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV =x", "ENV names can not be blank"),
        ("ENV A=b c", 'Syntax error - can\'t find = in "c". Must be of the form: name=value'),
        ('ENV A="x', 'failed to process "\\"x": unexpected end of statement while looking for matching double-quote'),
        ("ENV A=${x", "failed to process \"${x\": syntax error: missing '}'"),
        ("ENV A=${x:?err}", 'failed to process "${x:?err}": x: err'),
        ("EXPOSE 99999", "Invalid containerPort: 99999"),
        ("EXPOSE 20-10", "Invalid containerPort: 20-10"),
        ("EXPOSE 80/foo", "Invalid proto: foo"),
        ("STOPSIGNAL FOO", "Invalid signal: FOO"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ('WORKDIR ""', "cannot normalize nothing"),
        ("ONBUILD ONBUILD x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK FOO", 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK --interval=x CMD a", 'time: invalid duration "x"'),
        ("HEALTHCHECK --interval=1us CMD a", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --foo=x CMD a", "unknown flag: --foo"),
    ],
)
def test_a_malformed_instruction_is_refused_with_dockers_message(instruction: str, message: str) -> None:
    with pytest.raises(InvalidInstruction) as caught:
        changes.apply({}, [instruction])
    assert str(caught.value) == message


def test_the_configuration_that_was_given_stays_as_it_was() -> None:
    config = {"Env": ["A=1"], "Labels": {"x": "y"}}
    changed = changes.apply(config, ["ENV A=2", "LABEL x=z"])
    assert config == {"Env": ["A=1"], "Labels": {"x": "y"}}
    assert changed == {"Env": ["A=2"], "Labels": {"x": "z"}}


def test_an_entrypoint_alone_drops_the_command_of_the_image_below() -> None:
    assert changes.apply({"Cmd": ["old"]}, ['ENTRYPOINT ["new"]'])["Cmd"] is None
