"""Dockerfiles with their contexts, for builds that are compared with Docker's."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """A file of a context; a link when ``target`` is given, a directory when ``data`` is ``None``."""

    data: bytes | None = b""
    mode: int = 0o644
    target: str = ""


class Case(NamedTuple):
    """One build.

    :ivar options: of ``build``.
    """

    name: str
    dockerfile: str
    files: Mapping[str, File] = {}
    options: tuple[str, ...] = ()


def write(case: Case, directory: Path) -> Path:
    """Make the context."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text(case.dockerfile)
    for name, file in case.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.target:
            path.symlink_to(file.target)
        elif file.data is None:
            path.mkdir(exist_ok=True)
            path.chmod(file.mode)
        else:
            path.write_bytes(file.data)
            path.chmod(file.mode)
    return directory


def archive(names: Mapping[str, bytes], *, mode: str = "w", uid: int = 1000) -> bytes:
    """A tar of the caller's files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in names.items():
            member = tarfile.TarInfo(name)
            member.uid = member.gid = uid
            member.mtime = 1_600_000_000
            if name.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o750
                tar.addfile(member)
            else:
                member.size, member.mode = len(data), 0o640
                tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _global_header() -> bytes:
    """What ``git archive`` begins with: an entry that has a name and is no file."""
    record = b"24 comment=a git commit\n"
    member = tarfile.TarInfo("pax_global/header")
    member.type, member.size = tarfile.XGLTYPE, len(record)
    return member.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")


#: Makes the user ``me``.
_USER = "RUN echo me:x:700:701::/:/bin/sh >> /etc/passwd && echo me:x:702: >> /etc/group\n"

_TREE = {
    "dir/one": File(b"1"),
    "dir/two": File(b"22", 0o755),
    "dir/sub/three": File(b"333", 0o600),
    "dir/link": File(target="one"),
    "dir/dangling": File(target="nowhere"),
    "dir/empty": File(None, 0o700),
    "a.txt": File(b"a"),
    "b.txt": File(b"bb"),
    "c.md": File(b"ccc"),
    "tolink": File(target="a.txt"),
    "todir": File(target="dir"),
}

CASES = (
    Case(
        "metadata",
        'FROM busybox\nMAINTAINER somebody <some@body>\nLABEL a=b c="d e" f=\'g\'\nENV one=1 two="2 2"\nENV three 3 3\n'
        'EXPOSE 80 53/udp 8000-8002\nVOLUME /data\nVOLUME ["/v one", "/v2"]\nUSER nobody\nSTOPSIGNAL SIGUSR1\n'
        'SHELL ["/bin/sh", "-xc"]\nCMD echo hi\nENTRYPOINT ["/bin/echo", "a\\tb"]\n'
        "ONBUILD RUN echo later\nARG x=1\nARG y\n",
    ),
    Case("cmd forms", 'FROM busybox\nCMD ["sh", "-c", "echo \\"q\\""]\nENTRYPOINT echo $HOME\nCMD []\n'),
    Case("entrypoint resets cmd", 'FROM busybox\nENTRYPOINT ["sh"]\nENTRYPOINT []\n'),
    Case(
        "healthcheck",
        "FROM busybox\nHEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1h --retries=3 CMD wget -q x\n"
        'HEALTHCHECK CMD ["true"]\nHEALTHCHECK NONE\n',
    ),
    Case("workdir", "FROM busybox\nWORKDIR /one/two\nWORKDIR three\nWORKDIR ../x\nRUN pwd > /pwd\nWORKDIR /bin\n"),
    Case(
        "run",
        "FROM busybox\nENV A=1\nRUN echo $A > /a && mkdir -p /d/e && chmod 700 /d && touch /d/f && chown 5:6 /d/f\n"
        'RUN rm -r /d/e && ln -s f /d/l && ln /d/f /d/h\nRUN ["touch", "/exec form"]\nRUN true\nRUN rm /bin/wget\n'
        "RUN rm -rf /tmp && mkdir /tmp\n",
    ),
    Case(
        "arguments",
        "ARG base=busybox\nFROM $base\nARG one=1\nARG two\nARG base\nENV two=env\nRUN echo $one $two $base > /args\n"
        "LABEL l=$one-$two-${three:-x}\n",
        options=("--build-arg", "one=I", "--build-arg", "two=II", "--build-arg", "HTTP_PROXY=p"),
    ),
    Case(
        "copy file", "FROM busybox\nCOPY a.txt /x\nCOPY a.txt b.txt /y/\nCOPY a.txt /new/dir/\nCOPY a.txt /bin\n", _TREE
    ),
    Case(
        "copy relative", "FROM busybox\nWORKDIR /w\nCOPY a.txt .\nCOPY b.txt ./\nCOPY c.md sub/\nCOPY a.txt x\n", _TREE
    ),
    Case(
        "copy directory",
        "FROM busybox\nCOPY dir /d\nCOPY dir /e/\nRUN mkdir -m 711 /f\nCOPY dir /f\nCOPY dir /f/g\n",
        _TREE,
    ),
    Case("copy all", "FROM busybox\nCOPY . /all\nCOPY . /all2/\n", _TREE),
    Case(
        "copy wildcard", "FROM busybox\nCOPY *.txt /w/\nCOPY d?r/o* /o/\nCOPY [ab].txt /s/\nCOPY dir/*/* /t/\n", _TREE
    ),
    Case(
        "copy links", "FROM busybox\nCOPY tolink /l\nCOPY todir /d\nCOPY dir/link /e/\nCOPY tolink todir /f/\n", _TREE
    ),
    Case(
        "copy over",
        "FROM busybox\nRUN mkdir -p /x/one && ln -s /tmp /y\nCOPY dir /x\nCOPY a.txt /y/\nCOPY dir /y\n",
        _TREE,
    ),
    Case(
        "copy chown",
        "FROM busybox\n" + _USER + "COPY --chown=me dir /a\nCOPY --chown=5:6 a.txt /n/b\nCOPY --chown=me:root . /c/\n",
        _TREE,
    ),
    Case(
        "ignore",
        "FROM busybox\nCOPY . /all\n",
        {**_TREE, ".dockerignore": File(b"# comment\n*.txt\n!b.txt\ndir/sub\n**/two\nDockerfile\n")},
    ),
    Case(
        "add archives",
        "FROM busybox\nADD a.tar /a\nADD a.tgz /a/\nADD a.tar.xz /new/\nADD a.txt /plain\n"
        "ADD dir /dir\nCOPY a.tar /kept\n"
        "ADD a.tar a.txt /many/\n",
        {
            **_TREE,
            "a.tar": File(archive({"top": b"t", "d/": b"", "d/inner": b"i"})),
            "a.tgz": File(archive({"zipped": b"z", "deep/er/file": b"x"}, mode="w:gz")),
            "a.tar.xz": File(archive({"xz": b"z"}, mode="w:xz")),
        },
    ),
    Case(
        "stages",
        "FROM busybox AS first\nWORKDIR /src\nRUN echo made > made && chown 7:8 made && mkdir d && echo x > d/x\n"
        "FROM first AS second\nRUN echo more > more\nFROM busybox\nCOPY --from=first /src/made /m\n"
        "COPY --from=1 /src /all\nCOPY --from=busybox /bin/busybox /bb\nCOPY --from=first --chown=1:2 /src/d /d/\n",
    ),
    Case(
        "target", "FROM busybox AS one\nRUN echo 1 > /1\nFROM busybox\nRUN echo 2 > /2\n", options=("--target", "one")
    ),
    Case("scratch", 'FROM scratch\nCOPY dir /\nENV a=b\nCMD ["/one"]\n', _TREE),
    Case("label option", "FROM busybox\nLABEL x=1\n", options=("--label", "z=26", "--label", "b=2")),
    Case(
        "user",
        "FROM busybox\n" + _USER + "USER me\nWORKDIR /home/me/w\nRUN id > /tmp/id\nCOPY a.txt .\n",
        _TREE,
    ),
    Case(
        "expansion",
        'FROM busybox\nENV d=/data e="a b"\nWORKDIR $d/${e}\nCOPY a.txt ${d}/x\nLABEL v="${e}" w=$none\n'
        "EXPOSE ${none:-81}\n"
        "USER ${u:-nobody}\nVOLUME ${d}\nSTOPSIGNAL ${s:-9}\n",
        _TREE,
    ),
    Case(
        "modes of directories",
        "FROM busybox\nCOPY private /new\nCOPY private /deep/er/\nCOPY --chown=3:4 private /owned\n"
        "COPY . /all\nADD private/inner /inner\n",
        {"private": File(None, 0o700), "private/inner": File(None, 0o711), "private/inner/file": File(b"p", 0o640)},
    ),
    Case(
        "excepted from what is ignored",
        "FROM busybox\nCOPY . /all\nCOPY kept /kept\nCOPY k*t /some/\nADD kept/deep /deep/\n",
        {
            "kept/deep/wanted": File(b"w"),
            "kept/deep/unwanted": File(b"u"),
            "kept/other": File(b"o"),
            "gone/file": File(b"g"),
            ".dockerignore": File(b"*\n!kept/deep/wanted\n"),
        },
    ),
    Case(
        "trailing slash", "FROM busybox\nUSER nobody\nWORKDIR /opt/\nWORKDIR sub/\nWORKDIR /a//b/\nRUN pwd > /tmp/p\n"
    ),
    Case(
        "dots behind a link", "FROM busybox\nRUN ln -s /no/where /link\nCOPY a.txt /link/../\nADD dir /link/..\n", _TREE
    ),
    Case(
        "global header",
        "FROM busybox\nADD g.tar /into/\n",
        {"g.tar": File(_global_header() + archive({"file": b"f"}))},
    ),
    Case(
        "quoting",
        """FROM busybox\nENV a='x"y' b="p'q r" c=v\\ w d="s\\"t" e='u\\"v' f=""\nLABEL "k 1"='$a' k2="$a" k3=$b\n"""
        'RUN echo "$a|$b|$c|$d|$e|$f" > /shown\n',
    ),
    Case(
        "arguments of stages",
        "ARG base=busybox\nFROM $base AS one\nARG a=1 b=2\nARG a=3\nRUN echo $a $b > /one\n"
        'ARG q="two words" r=$a-x\nARG s=\'$q\'\nRUN echo "$q $r $s" >> /one\n'
        'FROM $base\nARG b\nRUN echo "$a" "$b" $base > /two\nCOPY --from=one /one /\n',
        options=("--build-arg", "b=9"),
    ),
    Case(
        "owner of another stage",
        "FROM busybox AS one\nRUN touch /f && chown 65:66 /f\nFROM scratch\nCOPY --from=one /f /\n",
    ),
)
