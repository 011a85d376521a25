"""The same command lines to Debian's docker and to lamina: equal output, equal complaints, equal exit codes.

Two ways: commands that only look run on one root, dockerd's own, which lamina reads while the dockerd is running;
commands that change something run on two roots that got the same archives.
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import images, programs
from support.command import Lamina
from support.dockerd import Dockerd
from support.images import LayerTar, TestImage, small_image
from support.pair import Answer, Pair, answer_of
from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.dockerd]

DOCKERFILE = """FROM scratch
LABEL purpose=test one="two words"
COPY busybox /bin/busybox
ENV A=1 B="x y"
RUN ["/bin/busybox", "touch", "/x"]
EXPOSE 80/tcp 53/udp
VOLUME /data
HEALTHCHECK --interval=5s --retries=2 CMD /bin/busybox true
STOPSIGNAL SIGQUIT
WORKDIR /data
USER nobody
ENTRYPOINT ["/bin/busybox"]
CMD ["sh", "-c", "echo <&> 'quoted' \\"twice\\""]
"""


# Looking, on dockerd's own root


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A dockerd with built, tagged, untagged and imported images, and a lamina on the same root."""
    programs.need_root()
    programs.need("dockerd")
    busybox = images.busybox_path()
    if busybox is None:
        pytest.skip("needs busybox-static (scripts/packages.txt)")
    place = tmp_path_factory.mktemp("looking")
    context = place / "context"
    context.mkdir()
    (context / "busybox").write_bytes(Path(busybox).read_bytes())
    (context / "busybox").chmod(0o755)
    (context / "Dockerfile").write_text(DOCKERFILE)
    daemon = Dockerd(str(place / "root"))
    daemon.start()
    try:
        daemon.docker("build", "-q", "--network", "none", "-t", "built:1", str(context), timeout=300)
        layered = images.layered_image()
        daemon.docker("load", "-i", layered.docker_archive(str(place / "layered.tar"), "localhost:5000/x/layered:a"))
        plain = small_image("2021-05-06T07:08:09.120000000Z", "plain")
        daemon.docker("load", "-i", plain.docker_archive(str(place / "plain.tar"), "plain:1"))
        daemon.docker("tag", "plain:1", "plain:2")
        nameless = small_image("2019-01-01T00:00:00+02:00", "nameless")
        daemon.docker("load", "-i", nameless.docker_archive(str(place / "nameless.tar")))
        empty = TestImage([], config={"Cmd": ["x"]}, history=[])
        daemon.docker("load", "-i", empty.docker_archive(str(place / "empty.tar"), "empty:1"))
        daemon.docker("import", "-m", "by hand", _write(place / "root.tar", LayerTar().file("a", "b")), "imported:1")
        yield Pair(daemon, Lamina(daemon.root, str(place / "config")))
    finally:
        daemon.close()


def _write(path: Path, tar: LayerTar) -> str:
    path.write_bytes(tar.bytes())
    return str(path)


def _images_are(answer: Answer) -> list[str]:
    return sorted(answer.out.splitlines())


@pytest.mark.parametrize(
    "words",
    [
        "images",
        "image ls",
        "image list",
        "images -a",
        "images -q",
        "images -q --no-trunc",
        "images --no-trunc",
        "images --digests",
        "images --digests --no-trunc",
        "images plain",
        "images plain:2",
        "images localhost:5000/x/layered",
        "images p*",
        "images */*",
        "images localhost:5000/*/*:a",
        "images nothing",
        "images -f dangling=true",
        "images -f dangling=false",
        "images -f dangling=true -q",
        "images -f label=purpose",
        "images -f label=purpose=test",
        "images -f label=purpose=other",
        "images -f label=purpose -f label=one",
        "images -f reference=plain -f reference=b*",
        "images -f before=plain:1",
        "images -f since=plain:1",
        "images -f since=plain:1 -f before=built:1",
        "images --format {{.ID}}",
        "images --format {{.Repository}}:{{.Tag}}|{{.Digest}}|{{.Size}}|{{.VirtualSize}}|{{.SharedSize}}",
        "images --format {{.CreatedAt}}|{{.CreatedSince}}|{{.Containers}}|{{.UniqueSize}}",
        r"images --format table\x20{{.ID}}\t{{upper\x20.Repository}}\t{{json\x20.Tag}}",
        "images --format {{json}} nothing",
        "images --format table",
        "images --format raw",
        "images --format raw -q",
        "images --format raw --digests",
    ],
)
def test_lists_of_images_are_equal(looking: Pair, words: str) -> None:
    """Docker puts images of one second, and the names of one image, in any order: lines are compared as a set."""
    docker, lamina = looking.ask(*(word.replace("\\x20", " ") for word in words.split(" ")))
    assert _images_are(lamina) == _images_are(docker)
    assert (lamina.code, lamina.err) == (docker.code, docker.err)


def test_images_come_newest_first(looking: Pair) -> None:
    times = looking.lamina("images", "--format", "{{.CreatedAt}}").splitlines()
    assert times == sorted(times, reverse=True)


def _json_lines(answer: Answer) -> list[dict[str, str]]:
    return sorted((json.loads(line) for line in answer.out.splitlines()), key=str)


def test_every_column_has_its_value(looking: Pair) -> None:
    docker, lamina = looking.ask("images", "--format", "{{json .}}")
    assert _json_lines(lamina) == _json_lines(docker)


NAMES = ("built:1", "plain:1", "localhost:5000/x/layered:a", "empty:1", "imported:1")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "flags", ["", "--no-trunc", "-q", "-q --no-trunc", "-H=false", "--format {{.CreatedBy}}|{{.Comment}}|{{.Size}}"]
)
def test_histories_are_equal(looking: Pair, name: str, flags: str) -> None:
    looking.same("history", *flags.split(), name)


def test_a_history_has_json(looking: Pair) -> None:
    docker, lamina = looking.ask("history", "--format", "{{json .}}", "--no-trunc", "built:1")
    assert [json.loads(line) for line in lamina.out.splitlines()] == [
        json.loads(line) for line in docker.out.splitlines()
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verb", ["image inspect", "inspect", "inspect --type image"])
def test_documents_are_equal_to_the_last_byte(looking: Pair, name: str, verb: str) -> None:
    looking.same(*verb.split(), name)


def test_several_documents_are_one_list(looking: Pair) -> None:
    looking.same("image", "inspect", *NAMES)


def test_intermediate_images_have_their_parents(looking: Pair) -> None:
    for image_id in looking.daemon.docker("images", "-aq", "--no-trunc").split():
        looking.same("image", "inspect", image_id)
        looking.same("history", "--no-trunc", image_id)


def test_an_image_can_be_named_by_a_prefix_of_its_id(looking: Pair) -> None:
    image_id = looking.daemon.docker("images", "-q", "--no-trunc", "plain:1").strip()
    for name in (image_id, image_id[7:], image_id[7:19], image_id[7:11], image_id[:19]):
        assert looking.same("image", "inspect", "--format", "{{.Id}}", name).out.strip() == image_id


TEMPLATES = (
    "{{.Id}} {{.RepoTags}} {{.Os}}/{{.Architecture}} {{.Size}}",
    "{{.ID}}",
    "{{.Config.Env}} {{.Config.ExposedPorts}} {{.Config.Volumes}} {{.Config.Cmd}}",
    "{{.Config.Entrypoint}} {{.Config.OnBuild}} {{.Config.Labels}}",
    "{{json .Config}}",
    "{{json .RootFS}} {{json .RepoDigests}} {{json .Config.OnBuild}}",
    "{{json .}}",
    "{{.Metadata.LastTagTime}} {{json .Metadata}}",
    '{{index .Config.Labels "purpose"}}|{{index .Config.Labels "nothing"}}|',
    "{{range .RepoTags}}{{.}} {{end}}",
    "{{range $i, $t := .RepoTags}}{{if $i}}, {{end}}{{$t}}{{end}}",
    "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}",
    "{{range .Config.OnBuild}}x{{else}}nothing{{end}}",
    "{{len .RepoTags}} {{.RepoTags | len}} {{len .Config.OnBuild}}",
    '{{join .RepoTags ","}} {{split .Os "i"}} {{lower "AB"}} {{upper .Os}} {{title .Os}}',
    "{{pad .Os 1 2}}|{{truncate .Os 3}}",
    "{{println .Os}}",
    '{{printf "%s-%d %v %q %5s|%-7s|%05d %x %t" .Os .Size .RepoTags .Os .Os .Os 42 255 true}}',
    '{{eq .Os "linux"}} {{ne .Os "x"}} {{and .Os 1}} {{or "" .Os}} {{not .Os}} {{lt 1 2}} {{gt (len .Os) 9}}',
    '{{slice .Os 1 2}} {{index .RepoTags 0}} {{(index .RepoTags 0) | printf "%s!"}}',
    "{{with .Os}}{{.}}{{end}}{{with $x := .Os}}{{$x}}{{end}}{{$y := 1}}{{$y}}{{$y = 2}}{{$y}}",
    "a {{- /* comment */ -}} b {{- .Os -}} c",
    "{{true}} {{1.5}} {{1e3}} {{0x10}} {{'a'}} {{`raw`}} {{\"\\ttab\"}}",
    '{{html "<a>&\'"}} {{urlquery "a b&c"}} {{json "<a>&"}}',
    "{{if .Config.OnBuild}}y{{else if .Os}}z{{else}}n{{end}}",
    "{{range .RepoTags}}{{.}}{{break}}{{end}}",
    "no action",
    # What is wrong
    "{{.Foo}}",
    "{{.Config.Foo}}",
    "{{.Foo",
    "{{foo}}",
    "{{end}}",
    "{{else}}",
    "{{if}}{{end}}",
    "{{if .Id}}",
    "{{$y}}",
    "{{index .RepoTags 9}}",
    "{{split .Os}}",
    "{{1 2}}",
    "{{nil}}",
    '{{eq 1 "a"}}',
    '{{"a" | .Os}}',
    "{{break}}",
    "{{range .Nope}}{{end}}",
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_give_what_go_gives(looking: Pair, template: str) -> None:
    looking.same("image", "inspect", "-f", template, "plain:1")
    looking.same("inspect", "-f", template, "built:1")


@pytest.mark.parametrize(
    "words",
    [
        "images --format {{.Foo}}",
        "images --format {{.ID",
        "images -f dangling=maybe",
        "images -f foo=bar",
        "images -f before=nope",
        "images -f since=nope:1",
        "images -f reference=[",
        "images [",
        "images UPPER",
        "history nope",
        "history BAD",
        "history a:b:c",
        "history --format {{.Foo}} plain:1",
        "image inspect nope",
        "image inspect plain:1 nope -f {{.Id}}",
        "image inspect BAD",
        "image inspect 4268d27ea7443fbf2577ff6c843d5d073c1d8b9783e227772e9245f7847f8794",
        "inspect nope",
        "inspect nope plain:1 also-not -f {{.Id}}",
        "inspect --type foo x",
        "inspect --type image nope",
        "inspect --type container nope",
        "inspect --type volume nope",
        "inspect BAD",
        "save -o /nonexistent/x plain:1",
        "save -o /dev/null plain:1",
        "load -i /nonexistent",
        "import /nonexistent",
        "import /dev/null BAD",
        "pull BAD",
        "pull -a plain:1",
        "pull --platform a/b/c/d plain:1",
        "push BAD",
        "push -a plain:1",
        "push nope",
        "tag plain:1 BAD",
        "tag plain:1 a:b:c",
        "tag BAD x",
        "login --password-stdin",
        "login -u me",
        "login -p a --password-stdin",
    ],
)
def test_complaints_are_equal(looking: Pair, words: str) -> None:
    assert looking.same(*words.split()).code in (0, 1)


def test_an_image_without_a_name_is_none(looking: Pair) -> None:
    assert looking.same("rmi", "").code == 1


GRAMMAR = (
    "images --bad",
    "images -z",
    "images -aqz",
    "images -qf",
    "images --filter",
    "images -f foo",
    "images --quiet=foo",
    "images --quiet=",
    "images ---x",
    "images --=x",
    "images a b",
    "images a b --bad",
    "images --help --bad",
    "image ls a b",
    "tag",
    "tag a",
    "image tag a",
    "rmi",
    "image rm",
    "pull",
    "pull a b",
    "push",
    "save",
    "load x",
    "import",
    "import a b c",
    "history",
    "history --human=maybe x",
    "inspect",
    "image inspect",
    "info x",
    "login a b",
    "logout a b",
    "system df x",
    "system prune x",
    "image prune x",
    "foo",
    "help foo",
    "volume create a b",
    "volume rm",
)


@pytest.mark.parametrize("words", GRAMMAR)
def test_a_wrong_command_line_is_refused_alike(looking: Pair, words: str) -> None:
    looking.same(*words.split())


@pytest.mark.parametrize(
    "verb",
    [
        "images",
        "image ls",
        "tag",
        "rmi",
        "image rm",
        "pull",
        "push",
        "load",
        "import",
        "history",
        "image history",
        "image inspect",
        "image prune",
        "inspect",
        "info",
        "login",
        "logout",
        "system df",
        "volume",
        "volume create",
        "volume ls",
        "volume inspect",
        "volume prune",
    ],
)
def test_help_is_equal(looking: Pair, verb: str) -> None:
    assert looking.same(*verb.split(), "--help").code == 0


def test_disk_usage_is_equal(looking: Pair) -> None:
    looking.same("system", "df")
    looking.same("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}")
    docker, lamina = looking.ask("system", "df", "-v")
    assert sorted(lamina.out.splitlines()) == sorted(docker.out.splitlines())


def test_info_has_the_same_members(looking: Pair) -> None:
    docker, lamina = (json.loads(answer.out) for answer in looking.ask("info", "-f", "{{json .}}"))
    assert list(lamina) == list(docker)
    for member in (
        "Images",
        "Containers",
        "Driver",
        "DockerRootDir",
        "NCPU",
        "MemTotal",
        "OSType",
        "CgroupVersion",
        "SecurityOptions",
    ):
        assert lamina[member] == docker[member], member


# Changing, on two roots


def test_load_says_what_came(changing: Pair, archive: Callable[..., str]) -> None:
    changing.same("load", "-i", archive("one:1", "two:2"))
    changing.same("load", "-i", archive("one:1", "two:2"))
    changing.same("load", "-q", "-i", archive(content="nameless"))
    changing.same("load", input=Path(archive("three:3", content="other")).read_bytes())
    changing.same("load", "-i", archive("one:1", content="replaced"))
    changing.same("images", "-f", "dangling=true", "--no-trunc")
    changing.same("images", "one")


def test_tag_and_untag(changing: Pair, archive: Callable[..., str]) -> None:
    changing.same("load", "-i", archive("one:1"))
    for words in (
        "tag one:1 two",
        "tag one two",
        "tag nope x",
        "tag one:1 localhost:5000/a/b:c",
        f"tag one:1 x@sha256:{'1' * 64}",
        f"tag one:1 {'a' * 64}",
        "images two",
        "image inspect -f {{.RepoTags}} one:1",
        "rmi two",
        "rmi two",
        "rmi nope BAD",
        "rmi -f nope",
        "rmi -f nope BAD",
        "rmi one:1 localhost:5000/a/b:c",
        "images -a",
    ):
        changing.same(*words.split())


def test_a_saved_image_is_the_same_archive(changing: Pair, archive: Callable[..., str], tmp_path: Path) -> None:
    changing.same("load", "-i", archive("one:1"))
    for program in (changing.daemon.docker, changing.lamina):
        saved = tmp_path / "saved.tar"
        program("save", "-o", str(saved), "one:1")
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600
        saved.unlink()
    docker = changing.daemon.run("save", "one:1").stdout
    assert subprocess.run(changing.lamina.command("save", "one:1"), capture_output=True, check=True).stdout == docker


def test_import_makes_an_image(changing: Pair, tmp_path: Path) -> None:
    path = _write(tmp_path / "root.tar", LayerTar().file("a", "b"))
    for program in (changing.daemon.docker, changing.lamina):
        assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", program("import", "-c", "CMD x", "-m", "by hand", path, "in:1"))
    changing.same("image", "inspect", "-f", "{{json .Config}} {{.Comment}} {{.RepoTags}} {{.Size}}", "in:1")
    changing.same("import", "-c", "FOO bar", path)


def test_nobody_answers(changing: Pair) -> None:
    changing.same("import", "http://127.0.0.1:1/x")
    changing.same("pull", "127.0.0.1:1/x")


def _progress(answer: Answer) -> Answer:
    """Lines of a pull or push: layers report in any order, and not each state is seen every time."""
    passing = ("Verifying Checksum", "Waiting", "Preparing", "Download complete")
    lines = sorted(line for line in answer.out.splitlines() if not line.endswith(passing))
    return answer._replace(out="\n".join(lines))


class Sides(NamedTuple):
    """A pair whose sides have a registry each, so that what one sends the other does not find."""

    pair: Pair
    docker_registry: str
    lamina_registry: str

    def same(self, words: str, input: bytes | None = None) -> None:
        """Ask both, with the own registry's address for ``REGISTRY``; they must say the same."""
        docker = answer_of(self.pair.daemon.run(*self._for(words, self.docker_registry), input=input), "docker")
        lamina = self.pair.ask_lamina(*self._for(words, self.lamina_registry), input=input)
        assert self._masked(lamina, self.lamina_registry) == self._masked(docker, self.docker_registry), words

    def _for(self, words: str, address: str) -> list[str]:
        return words.replace("REGISTRY", address).split()

    def _masked(self, answer: Answer, address: str) -> Answer:
        config = f"{self.pair.daemon.run_directory}/client"
        texts = (
            text.replace(address, "REGISTRY").replace(config, self.pair.lamina.docker_config)
            for text in (answer.out, answer.err)
        )
        return _progress(Answer(answer.code, *(_BLOB.sub("BLOB", _MANIFEST.sub("MANIFEST", text)) for text in texts)))


#: A layer's digest at the start of a line, and a manifest's with its size: each side compresses in its own way.
_BLOB = re.compile(r"^[0-9a-f]{12}(?=: Pull)", re.MULTILINE)
_MANIFEST = re.compile(r"sha256:[0-9a-f]{64}( size: \d+)?(?=[\n@|\]]|  |$)")


def test_push_and_pull_say_the_same(changing: Pair, registry: Callable[..., Registry], tmp_path: Path) -> None:
    sides = Sides(changing, registry().address, registry().address)
    image = TestImage([LayerTar().file("a", "a" * 5000).bytes(), LayerTar().file("b", "b").bytes()])
    path = image.docker_archive(str(tmp_path / "app.tar"), "app:1")
    for words in (
        f"load -i {path}",
        "tag app:1 REGISTRY/some/app:1",
        "tag app:1 REGISTRY/some/app:2",
        "push REGISTRY/some/app",
        "push REGISTRY/some/app:1",
        "push REGISTRY/some/app:1",
        "push -q REGISTRY/some/app:2",
        "push -a REGISTRY/some/app",
        "pull REGISTRY/some/app:1",
        "pull -q REGISTRY/some/app:1",
        "images --digests --format {{.Digest}}|{{.ID}} REGISTRY/some/app",
        "rmi REGISTRY/some/app:1 REGISTRY/some/app:2 app:1",
        "pull REGISTRY/some/app:1",
        "pull REGISTRY/some/app:1",
        "pull -a REGISTRY/some/app",
        "pull REGISTRY/some/app:nope",
        "pull REGISTRY/nope",
        "image inspect -f {{.RepoTags}}{{.RepoDigests}}{{.Id}} REGISTRY/some/app:1",
    ):
        sides.same(words)


def test_an_image_comes_by_its_digest(changing: Pair, registry: Callable[..., Registry], tmp_path: Path) -> None:
    name = f"{registry().address}/app"
    image = TestImage([LayerTar().file("a", "a").bytes()])
    changing.lamina("load", "-i", image.docker_archive(str(tmp_path / "app.tar"), f"{name}:1"))
    changing.lamina("push", f"{name}:1")
    changing.lamina("rmi", f"{name}:1")
    changing.same("pull", "-q", f"{name}:1")
    digest = changing.lamina("images", "--digests", "--format", "{{.Digest}}", name).strip()
    for words in (
        "rmi NAME:1",
        "pull -q NAME@DIGEST",
        "pull NAME@DIGEST",
        "pull NAME:1@DIGEST",
        "images",
        "images --digests",
        "images -q",
        "rmi NAME@DIGEST",
    ):
        changing.same(*words.replace("NAME", name).replace("DIGEST", digest).split())


def test_login_and_logout_say_the_same(changing: Pair, registry: Callable[..., Registry]) -> None:
    sides = Sides(changing, *(registry(users={"me": "secret"}).address for _ in range(2)))
    for words, typed in (
        ("login -u me -p secret REGISTRY", None),
        ("login -u me --password-stdin REGISTRY", b"secret\n"),
        ("login REGISTRY", None),
        ("logout REGISTRY", None),
        ("logout REGISTRY", None),
        ("logout http://REGISTRY", None),
        ("login REGISTRY", None),
    ):
        sides.same(words, input=typed)


def test_a_wrong_password_is_refused_by_both(changing: Pair, registry: Callable[..., Registry]) -> None:
    address = registry(users={"me": "secret"}).address
    for answer in changing.ask("login", "-u", "me", "-p", "wrong", address):
        assert (answer.code, answer.out) == (1, "")
        warning, complaint = answer.err.splitlines()
        assert warning == "WARNING! Using --password via the CLI is insecure. Use --password-stdin."
        assert complaint.startswith("Error response from daemon: ")
        assert "401" in complaint


def test_volumes_are_managed_alike(changing: Pair) -> None:
    for words in (
        "volume create compat-a",
        "volume create --label a=b compat-b",
        "volume ls",
        "volume ls -q",
        "volume ls -f name=t-a",
        "volume ls -f label=a=b",
        "volume ls -f driver=x",
        "volume ls -f foo=1",
        "volume inspect -f {{.Name}}{{.Driver}}{{.Scope}}{{.Labels}} compat-b",
        "volume inspect -f {{.Status}}{{.UsageData}}{{.Options}}{{len_.CreatedAt}} compat-b",
        "volume inspect nope",
        "volume rm compat-a nope",
        "volume rm -f nope",
        "volume prune -f --filter x=y",
        "volume prune -f",
        "volume ls",
    ):
        changing.same(*(word.replace("len_", "len ") for word in words.split()))
