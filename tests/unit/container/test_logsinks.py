"""The log drivers ``local``, ``syslog`` and ``journald``, and ``mode=non-blocking``."""

from __future__ import annotations

import gzip
import re
import socket
import threading
from pathlib import Path

import pytest

from lamina.container import journaldlog, locallog, logattributes, logdrivers, logs, ringlog, sysloglog
from lamina.container.jsonlog import Rotation
from lamina.container.logdrivers import Defaults, InvalidLogOption, NotReadable
from lamina.container.logs import LogRequest
from lamina.container.record import Container
from lamina.container.sysloglog import InvalidSyslogOption, Settings

ID = "0123456789ab" + "c" * 52


def container(driver: str, options: dict[str, str]) -> Container:
    document = {
        "ID": ID,
        "Name": "/web",
        "Image": "sha256:" + "d" * 64,
        "Path": "echo",
        "Args": ["a"],
        "Created": "2026-11-30T06:00:00.5Z",
        "Config": {"Image": "busybox", "Labels": {"com.x": "1", "other": "2"}, "Env": ["A_b=3", "C=4"]},
    }
    return Container(document, {"LogConfig": {"Type": driver, "Config": options}})


def entries(path: Path, request: LogRequest | None = None) -> list[tuple[str, str, int]]:
    found = logs.read(str(path), request or LogRequest(), lambda: False, locallog)
    return [(entry.log, entry.stream, entry.time) for entry in found]


def test_the_local_form_keeps_lines_and_pieces_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = locallog.Writer(str(path), Rotation())
    writer.write([b"one\n", b"\n"], "stdout", 10**18)
    writer.write([b"be"], "stderr", 10**18 + 1)
    writer.write([b"gun\n"], "stderr", 10**18 + 2)
    writer.write([b"no end"], "stdout", 10**18 + 3)
    writer.close()
    assert [entry[:2] for entry in entries(path)] == [
        ("one\n", "stdout"),
        ("\n", "stdout"),
        ("be", "stderr"),
        ("gun\n", "stderr"),
        ("no end", "stdout"),
    ]
    assert entries(path)[-1][2] == 10**18 + 3
    for count in (0, 1, 4, 5, 9):
        assert entries(path, LogRequest(tail=count)) == entries(path)[5 - min(count, 5) :]
    # length, source, time, line, length: as Docker 20.10 writes it
    assert path.read_bytes().startswith(
        b"\0\0\0\x17\x0a\x06stdout\x10\x80\x80\x90\xbb\xba\xd6\xad\xf0\x0d\x1a\x03one\0\0\0\x17"
    )


def test_the_local_form_is_rotated_and_compressed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = locallog.Writer(str(path), Rotation(200, 3, compress=True))
    for number in range(40):
        writer.write([f"{number}\n".encode()], "stdout", number + 1)
    writer.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "log.1.gz", "log.2.gz"]
    shown = [int(entry[0]) for entry in entries(path)]
    assert shown == list(range(shown[0], 40))
    assert shown[0] > 0
    assert entries(path, LogRequest(tail=9)) == entries(path)[-9:]
    assert gzip.decompress((tmp_path / "log.1.gz").read_bytes())[4:12] == b"\x0a\x06stdout"


@pytest.mark.parametrize("damage", [b"", b"\0\0", b"\xff\xff\xff\xff\0", b"\0\0\0\4\xff\xff\xff\xff\0\0\0\4"])
def test_a_damaged_end_costs_that_end(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "log"
    writer = locallog.Writer(str(path), Rotation())
    writer.write([b"one\n"], "stdout", 1)
    writer.close()
    with path.open("ab") as file:
        file.write(damage)
    assert entries(path) == [("one\n", "stdout", 1)]
    entries(path, LogRequest(tail=2))


def test_drivers_keep_their_files_where_docker_does(tmp_path: Path) -> None:
    json_path = str(tmp_path / "x-json.log")
    log = logdrivers.open_log(container("local", {}), json_path)
    log.write([b"x\n"], "stdout", 1)
    log.close()
    place = logdrivers.place_of(container("local", {}), json_path)
    assert place.path == str(tmp_path / "local-logs/container.log")
    assert logdrivers.shown_path(container("local", {}), json_path) == ""
    assert logdrivers.shown_path(container("json-file", {}), json_path) == json_path
    assert logdrivers.place_of(container("syslog", {}), json_path).path == str(tmp_path / "container-cached.log")
    with pytest.raises(NotReadable):
        logdrivers.place_of(container("syslog", {"cache-disabled": "true"}), json_path)


def test_syslog_hears_every_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(30)
        options = {"syslog-address": f"unixgram://{tmp_path}/log", "syslog-facility": "mail", "tag": "{{.Name}}"}
        log = logdrivers.open_log(container("syslog", options), str(tmp_path / "x"))
        log.write([b"one\n", b"\n", b"two\n"], "stdout", 10**18)
        log.write([b"bad\n"], "stderr", 10**18)
        log.close()
        said = [server.recv(999).decode() for _ in range(3)]
    assert [re.sub(r">.*\[\d+\]", ">", text) for text in said] == ["<22>: one\n", "<22>: two\n", "<19>: bad\n"]
    assert "web[" in said[0]
    kept = logdrivers.place_of(container("syslog", options), str(tmp_path / "x"))
    assert [entry[0] for entry in entries(Path(kept.path))] == ["one\n", "\n", "two\n", "bad\n"]


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_syslog_over_the_network(scheme: str) -> None:
    kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)
        if scheme == "tcp":
            server.listen()
        address = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
        writer = sysloglog.Writer(Settings.of({"syslog-address": address, "syslog-format": "rfc5424micro"}), "t")
        writer.write([b"text\n"], "stdout", 10**18 + 123456789)
        writer.close()
        if scheme == "tcp":
            connection = server.accept()[0]
            with connection:
                said = connection.recv(999).decode()
        else:
            said = server.recv(999).decode()
    assert re.fullmatch(r"<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.123456(Z|[+-]\d\d:\d\d) \S+ t \d+ t - text\n", said)


def test_a_server_that_is_not_there_fails_the_start() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))  # nobody listens
        options = {"syslog-address": f"tcp://127.0.0.1:{server.getsockname()[1]}"}
        with pytest.raises(InvalidLogOption, match="failed to initialize logging driver: "):
            logdrivers.check_values(container("syslog", options), "/log")


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_server_that_has_an_impossible_name_fails_the_start(host: str) -> None:
    with pytest.raises(InvalidLogOption, match=f"failed to initialize logging driver: lookup {host}: no such host"):
        logdrivers.check_values(container("syslog", {"syslog-address": f"udp://{host}"}), "/log")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"syslog-address": "x"}, "syslog-address should be in form proto://address, got x"),
        ({"syslog-address": "unix:///no/such"}, "stat /no/such: no such file or directory"),
        ({"syslog-facility": "24"}, "invalid syslog facility"),
        ({"syslog-facility": "-"}, "invalid syslog facility"),
        ({"syslog-format": "x"}, "Invalid syslog format"),
    ],
)
def test_settings_of_syslog_that_can_not_be(options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidSyslogOption, match=re.escape(message)):
        logdrivers.check({"Type": "syslog", "Config": options})


def test_addresses_of_syslog() -> None:
    found = [
        Settings.of({"syslog-address": text})[:2]
        for text in ("", "udp://a", "tcp://a:1", "tcp://[::1]", "tcp://[::1]:5")
    ]
    assert found == [("", ""), ("udp", "a:514"), ("tcp", "a:1"), ("tcp", "[::1]:514"), ("tcp", "[::1]:5")]


def test_the_journal_gets_fields(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(30)
        writer = journaldlog.Writer({"CONTAINER_NAME": "web", "TWO": "a\nb"}, path)
        writer.write([b"whole\n", b"part"], "stderr", 1)
        writer.close()
        whole, part = server.recv(999), server.recv(999)
    assert whole == b"MESSAGE=whole\nPRIORITY=3\nCONTAINER_NAME=web\nTWO\n\3\0\0\0\0\0\0\0a\nb\n"
    assert part.endswith(b"CONTAINER_PARTIAL_MESSAGE=true\n")
    assert journaldlog.field_name("__com.example-x") == "COM_EXAMPLE_X"


def test_without_a_journal_the_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journaldlog, "SOCKET", "/no/such/socket")
    expected = "failed to initialize logging driver: journald is not enabled on this host"
    with pytest.raises(InvalidLogOption, match=expected):
        logdrivers.check_values(container("journald", {}), "/log")


def test_attributes_and_tags() -> None:
    options = {"labels-regex": "^com", "env": "C", "env-regex": "^A"}
    box = container("json-file", options)
    assert logattributes.attributes(box, options) == {"com.x": "1", "A_b": "3", "C": "4"}
    named = logattributes.attributes(box, options, journaldlog.field_name)
    assert named == {"COM_X": "1", "A_B": "3", "C": "4"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ID[:12]),
        ("a/{{.Name}}/{{ .ImageName }}", "a/web/busybox"),
        ("{{.FullID}} {{.Command}} {{.DaemonName}}", f"{ID} echo a docker"),
        ("{{.ImageID}} {{.ImageFullID}}", f"sha256:ddddd sha256:{'d' * 64}"),  # Docker shortens it so
        ("{{.ContainerName}} {{.ContainerArgs}} {{.ContainerCreated}}", "/web [a] 2026-11-30 06:00:00.5 +0000 UTC"),
        ('{{index .ContainerLabels "com.x"}}{{.ContainerLabels.no}} {{.LogPath}}', "1<no value> /log"),
        ("{{range .ContainerEnv}}{{.}},{{end}}{{with .Name}}{{upper .}}{{end}}", "A_b=3,C=4,WEB"),
        ('{{printf "%.4s" .FullID}} {{truncate .FullID 3}} {{json .ContainerArgs}}', '0123 012 ["a"]'),
    ],
)
def test_a_tag_is_a_template(template: str, expected: str) -> None:
    box = container("json-file", {})
    assert logattributes.tag(box, {"tag": template}, "{{.ID}}", "/log") == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Nosuch}}", '1:2: executing "log-tag" at <.Nosuch>: can\'t evaluate field Nosuch in type *logger.Info'),
        ("{{", "1: unclosed action"),
        ("{{nosuch}}", '1: function "nosuch" not defined'),
        ("{{.Name 1}}", '1:2: executing "log-tag" at <.Name>: wrong number of args for Name: want 0 got 1'),
        ("{{.Name.Foo}}", '1:7: executing "log-tag" at <.Name.Foo>: can\'t evaluate field Foo in type string'),
        ("{{index .ContainerArgs 7}}", "error calling index: index out of range: 7"),
    ],
)
def test_a_tag_that_is_no_template_fails_the_start(template: str, message: str) -> None:
    with pytest.raises(InvalidLogOption, match="failed to initialize logging driver: template: log-tag:") as error:
        logdrivers.check_values(container("json-file", {"tag": template}), "/log")
    assert str(error.value).endswith(message)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("a(", "missing closing ): `a(`"),
        (")", "unexpected ): `)`"),
        ("x[a", "missing closing ]: `[a`"),
        ("*", "missing argument to repetition operator: `*`"),
    ],
)
def test_a_broken_expression_fails_the_start(expression: str, message: str) -> None:
    expected = f"failed to initialize logging driver: error parsing regexp: {message}"
    with pytest.raises(InvalidLogOption, match=re.escape(expected)):
        logdrivers.check_values(container("json-file", {"env-regex": expression}), "/log")


def test_attributes_are_escaped_as_go_does(tmp_path: Path) -> None:
    log = logdrivers.open_log(container("json-file", {"tag": "<{{.Name}}&"}), str(tmp_path / "log"))
    log.write([b"x\n"], "stdout", 1)
    log.close()
    assert '"attrs":{"tag":"\\u003cweb\\u0026"}' in (tmp_path / "log").read_text()


class Slow:
    """A log that takes nothing until it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.begun = threading.Event()
        self.taken: list[bytes] = []
        self.closed = False

    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None:
        self.begun.set()
        self.may.wait(60)
        self.taken += pieces

    def close(self) -> None:
        self.closed = True


def test_a_ring_never_waits_and_loses_what_has_no_room() -> None:
    slow = Slow()
    ring = ringlog.RingLog(slow, 10)
    ring.write([b"first"], "stdout", 1)
    assert slow.begun.wait(60)
    ring.write([b"second", b"lost.", b"last"], "stdout", 2)
    slow.may.set()
    ring.close()
    assert slow.taken == [b"first", b"second", b"last"]
    assert slow.closed


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ("local", {"max-size": "1m"})),
        ({"Type": "", "Config": {"max-file": "2"}}, ("local", {"max-size": "1m", "max-file": "2"})),
        ({"Type": "local", "Config": {"max-size": "2m"}}, ("local", {"max-size": "2m"})),
        ({"Type": "json-file", "Config": {}}, ("json-file", {})),
    ],
)
def test_the_configuration_gives_a_driver_and_its_options(
    given: dict[str, object] | None, expected: tuple[str, dict[str, str]]
) -> None:
    found = Defaults("local", (("max-size", "1m"),)).complete(given)
    assert (found["Type"], found["Config"]) == expected
