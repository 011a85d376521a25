"""A data root that a real dockerd filled, and how its answers are compared with lamina's."""

from __future__ import annotations

import io
import re
import tarfile

from support.dockerd import Dockerd
from support.images import TestImage
from support.registry import Registry

#: A Dockerfile with what leaves traces in an image: layers that hide and replace, empty layers, all kinds of settings.
DOCKERFILE = b"""\
FROM layered
LABEL maintainer="somebody <a&b@example.org>" quoted="say \\"hi\\" \\u00e9"
ENV WHERE=/srv GREETING="hello world"
ARG unused=default
WORKDIR /srv/work
COPY greeting /srv/greeting
RUN echo built > built && chmod 0600 built && mkdir -p /srv/many/levels && rm -rf /dir && rm /data/changed
RUN ["/bin/sh", "-c", "mkdir /dir; echo again > /dir/again; chown 7:8 /dir/again; mknod /dir/fifo p"]
EXPOSE 80 53/udp
VOLUME /var/volume
USER nobody
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5m --timeout=3s CMD test -e /srv/greeting
ONBUILD RUN echo child
ENTRYPOINT ["/bin/cat"]
CMD ["/srv/greeting"]
"""

_RELATIVE_TIME = re.compile(r"(?:Less than a second|About an? \w+|\d+ (?:second|minute|hour)s?) ago")


def build_context() -> bytes:
    """A tar with :data:`DOCKERFILE` and what it copies."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in (("Dockerfile", DOCKERFILE), ("greeting", b"hello from a build\n")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def fill(daemon: Dockerd, registry: Registry, layered: TestImage) -> None:
    """Give the root the images ``layered``, ``built:1``, ``committed``, ``flat`` and one without a name.

    ``layered`` is pulled, ``built`` made by the classic builder, ``committed`` from a container on it, ``flat`` is an
    import.
    """
    name = registry.upload(layered, "some/layered", "1")
    daemon.docker("pull", name)
    daemon.docker("tag", name, "layered")
    daemon.docker("build", "-t", "built:1", "-", input=b"FROM layered\nLABEL soon=nameless\n")
    options = ["--network", "none", "-t", "built:1", "--build-arg", "unused=2"]
    daemon.docker("build", *options, "-", input=build_context())
    daemon.docker("tag", "built:1", "example.org:5000/team/built:stable")
    change = "echo committed > /srv/committed; rm /srv/greeting; mv /bin/vi /bin/editor"
    options = ["--network", "none", "--name", "changer", "--entrypoint", "", "--user", "0"]
    daemon.docker("run", *options, "built:1", "sh", "-c", change)
    daemon.docker(
        "commit",
        "-a",
        "A. Author",
        "-m",
        "with a change",
        "-c",
        'CMD ["/bin/cat", "/srv/committed"]',
        "changer",
        "committed",
    )
    daemon.docker("rm", "-v", "changer")
    daemon.docker("import", "-m", "imported here", "-c", "CMD /bin/sh", "-", "flat", input=layered.layers[0])


def comparable(output: str) -> list[str]:
    """A table's lines in an order of their own, without what depends on the moment: ages, and the columns they widen.

    Docker leaves open how images of one second are ordered.
    """
    return sorted(re.sub(r" {2,}", "  ", _RELATIVE_TIME.sub("AGO", line)).rstrip() for line in output.splitlines())
