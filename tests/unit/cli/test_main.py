"""The command line as a whole: dispatch, help, complaints, exit codes."""

import os
import subprocess
import sys
from importlib import import_module

import pytest

from lamina.cli.command import Command
from lamina.cli.main import main
from lamina.cli.verbs import GROUPS, VERBS

Captured = pytest.CaptureFixture[str]

HELP_TAIL = "for more information on a command.\n"


def run(capsys: Captured, *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("words", [["--help"], ["help"], ["unknown", "--help"]])
def test_help_goes_to_standard_output(capsys: Captured, words: list[str]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    assert out.startswith("\nUsage:  lamina [OPTIONS] COMMAND\n")
    assert out.endswith(HELP_TAIL)
    assert "  images      List images\n" in out
    assert "  image       Manage images\n" in out


@pytest.mark.parametrize(("words", "code"), [([], 0), (["image"], 0), (["image", "nope"], 1)])
def test_help_that_nobody_asked_for_goes_to_standard_error(capsys: Captured, words: list[str], code: int) -> None:
    assert run(capsys, *words)[:2] == (code, "")


def test_a_verbs_help_has_dockers_layout(capsys: Captured) -> None:
    code, out, err = run(capsys, "image", "list", "--help")
    assert (code, err) == (0, "")
    assert out == (
        "\nUsage:  lamina image ls [OPTIONS] [REPOSITORY[:TAG]]\n\nList images\n\nAliases:\n  ls, list\n\nOptions:\n"
        "  -a, --all             Show all images (default hides intermediate images)\n"
        "      --digests         Show digests\n"
        "  -f, --filter filter   Filter output based on conditions provided\n"
        "      --format string   Pretty-print images using a Go template\n"
        "      --no-trunc        Don't truncate output\n"
        "  -q, --quiet           Only show image IDs\n"
    )
    assert run(capsys, "help", "image", "ls")[1] == out


def test_long_help_is_wrapped(capsys: Captured) -> None:
    out = run(capsys, "pull", "--help")[1]
    assert (
        "      --platform string         Set platform if server is multi-platform\n" + " " * 32 + "capable\n"
    ) in out
    assert "      --disable-content-trust   Skip image verification (default true)\n" in out


def test_h_is_deprecated(capsys: Captured) -> None:
    code, out, err = run(capsys, "images", "-h")
    assert (code, err) == (0, "Flag shorthand -h has been deprecated, please use --help\n")
    assert out.startswith("\nUsage:  lamina images")


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_the_version_is_one_line(capsys: Captured, flag: str) -> None:
    import lamina

    assert run(capsys, flag) == (0, f"lamina version {lamina.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["nope"], 1, "lamina: 'nope' is not a lamina command.\nSee 'lamina --help'\n"),
        (["help", "nope"], 1, "unknown help topic: nope\n"),
        (["images", "--bad"], 125, "unknown flag: --bad\nSee 'lamina images --help'.\n"),
        (["image", "ls", "--bad"], 125, "unknown flag: --bad\nSee 'lamina image ls --help'.\n"),
        (["images", "--help", "--bad"], 125, "unknown flag: --bad\nSee 'lamina images --help'.\n"),
        (
            ["tag", "a"],
            1,
            "\"lamina tag\" requires exactly 2 arguments.\nSee 'lamina tag --help'.\n\n"
            "Usage:  lamina tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]\n\n"
            "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE\n",
        ),
        (
            ["images", "a", "b"],
            1,
            "\"lamina images\" requires at most 1 argument.\nSee 'lamina images --help'.\n\n"
            "Usage:  lamina images [OPTIONS] [REPOSITORY[:TAG]]\n\nList images\n",
        ),
        (
            ["image", "rm"],
            1,
            "\"lamina image rm\" requires at least 1 argument.\nSee 'lamina image rm --help'.\n\n"
            "Usage:  lamina image rm [OPTIONS] IMAGE [IMAGE...]\n\nRemove one or more images\n",
        ),
        (
            ["info", "x"],
            1,
            "\"lamina info\" accepts no arguments.\nSee 'lamina info --help'.\n\n"
            "Usage:  lamina info [OPTIONS]\n\nDisplay system-wide information\n",
        ),
    ],
)
def test_a_wrong_command_line_is_answered_as_docker_does(
    capsys: Captured, words: list[str], code: int, complaint: str
) -> None:
    assert run(capsys, *words) == (code, "", complaint)


def test_a_wrong_global_flag_is_answered_with_help(capsys: Captured) -> None:
    code, out, err = run(capsys, "--bad", "images")
    assert (code, out) == (125, "")
    assert err.startswith("unknown flag: --bad\nSee 'lamina --help'.\n\nUsage:  lamina [OPTIONS] COMMAND\n")


def modules() -> list[str]:
    names = set(VERBS.values())
    for group in GROUPS.values():
        names.update(group.verbs.values())
    return sorted(names)


@pytest.mark.parametrize("module", modules())
def test_every_verb_of_the_table_exists(module: str) -> None:
    verb = import_module(f"lamina.cli.{module}")
    assert isinstance(verb.COMMAND, Command)
    assert callable(verb.run)


def lamina(*words: str, **options: object) -> list[str]:
    return [sys.executable, "-c", "from lamina.cli.main import program; program()", *words]


def test_a_reader_that_went_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(lamina("--help"), stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(lamina("--help"), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"write /dev/stdout: no space left on device\n"


def test_a_disk_that_fails_is_not_taken_for_standard_output() -> None:
    script = """
from lamina.cli import main
from lamina.cli.system import version
def run(context, options):
    raise OSError(28, "No space left on device")
version.run = run
main.program()
"""
    done = subprocess.run([sys.executable, "-c", script, "version"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"Error response from daemon: no space left on device\n"


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_a_closed_standard_stream_is_the_null_device(descriptor: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CLOSED, str(descriptor), *lamina("help", "images")], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"" if descriptor == 1 else b"\nUsage:  lamina images")


_CLOSED = """
import os, sys
os.close(int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_output_is_utf8_in_every_locale() -> None:
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(lamina("é"), capture_output=True, env=environment, check=False)
    assert done.stderr == "lamina: 'é' is not a lamina command.\nSee 'lamina --help'\n".encode()
