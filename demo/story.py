"""The story, chapter by chapter."""

from __future__ import annotations

import json
import os
import stat
import urllib.error
import urllib.request

from demo import material
from demo.stage import Stage
from support.leaks import LeakCheck
from support.mounts import mounts_below
from support.processes import accepts, free_port, wait_until
from support.registry import Registry

PAGE = "var/www/html/index.html"
WELCOME = "var/www/html/index.nginx-debian.html"
ADDED = "<p>Changed in the container</p>\n"


class Story:
    """State that chapters hand on.

    :ivar context: the build context.
    :ivar first: reference of the image's first version, ``edited`` of the one built after a change to the context,
        ``second`` of the one committed later.
    :ivar port: where the demo's nginx listens on the loopback interface.
    """

    def __init__(self, stage: Stage, registry: Registry, directory: str, cache: str) -> None:
        self.stage = stage
        self.registry = registry
        self.directory = directory
        self.cache = cache
        self.port = free_port()
        self.packages = ""
        self.context = os.path.join(directory, "nginx")
        self.first = f"{registry.address}/demo/nginx:1"
        self.edited = f"{registry.address}/demo/nginx:edited"
        self.second = f"{registry.address}/demo/nginx:2"

    def tell(self) -> None:
        """All of it. Raises ``CheckError`` at the first claim that does not hold."""
        leaks = LeakCheck(self.directory)
        self.build()
        self.push()
        self.build_again()
        self.remove_and_pull()
        self.look_at_the_image()
        self.look_at_the_disk()
        self.serve()
        self.change_and_delete()
        self.commit_and_push()
        self.go_back()
        self.remove_everything(leaks)

    def build(self) -> None:
        stage = self.stage
        stage.chapter("Build an nginx image from Debian packages")
        if not os.path.exists(material.base_of(self.cache)):
            stage.tell("Fetching a Debian root file system and nginx's packages (half a minute, the first time only).")
        base, packages = material.base_and_packages(self.cache)
        material.write_context(self.context, packages, self.port)

        stage.tell("The base is an imported root file system. Packages come from a folder: RUN needs no network.")
        stage.lamina("import", "--message", "Debian", "--change", 'CMD ["bash"]', base, "debian:demo")
        self.packages = f"packages={packages}"
        with open(os.path.join(self.context, "Dockerfile")) as file:
            stage.show("Dockerfile", [line for line in file.read().splitlines() if line], lines=40)
        self._build(self.first)
        stage.lamina("images")
        history = stage.lamina("history", self.first, lines=20)
        rows = history.splitlines()[1:]
        stage.check("history has an entry for each of the 14 instructions, and the base's", len(rows) == 15, rows)
        empty = [row for row in rows if " 0B " in row]
        stage.check("nine of them are of 0 bytes: settings, no files", len(empty) == 9, empty)
        layers = self._layers(self.first)
        stage.check("the image has six layers: the base, RUN, four COPYs", len(layers) == 6, layers)

    def _build(self, name: str) -> str:
        options = ["--progress", "plain", "--network", "none", "--build-context", self.packages]
        return self.stage.lamina("build", *options, "--tag", name, self.context, lines=20, both=True)

    def push(self) -> None:
        stage = self.stage
        stage.chapter(f"Push it to Debian's docker-registry on {self.registry.address}")
        since = len(self.registry.requests())
        stage.lamina("push", self.first)
        sent = self.registry.blobs_sent(since)
        stage.check("six layers and one configuration travelled", len(sent) == 7, sent)

    def build_again(self) -> None:
        stage = self.stage
        stage.chapter("Change the page, build again, push: one layer travels")
        with open(os.path.join(self.context, "index.html"), "a") as page:
            page.write("<p>Changed in the build context</p>\n")
        said = self._build(self.edited)
        stage.check("RUN and three COPYs come from the cache", said.count("CACHED") == 4, said)
        first, edited = self._layers(self.first), self._layers(self.edited)
        stage.check("only the last layer is another", edited[:-1] == first[:-1] and edited != first)
        since = len(self.registry.requests())
        stage.lamina("push", self.edited)
        sent = self.registry.blobs_sent(since)
        stage.check("one layer and one configuration travelled", len(sent) == 2, sent)

    def remove_and_pull(self) -> None:
        stage = self.stage
        stage.chapter("Remove it, pull it back: only missing layers travel")
        before = json.loads(stage.run("image", "inspect", self.first).stdout)[0]
        stage.lamina("rmi", self.first, self.edited)
        stage.lamina("builder", "prune", "--all", "--force")
        stage.tell("The base layer stays, because debian:demo still needs it.")
        since = len(self.registry.requests())
        said = stage.lamina("pull", self.first)
        fetched = self.registry.blobs_fetched(since)
        stage.check("the base layer was there already", said.count("Already exists") == 1, said)
        stage.check("five layers and one configuration travelled", len(fetched) == 6, fetched)
        after = json.loads(stage.run("image", "inspect", self.first).stdout)[0]
        stage.check("the image ID is the same as before", after["Id"] == before["Id"], after["Id"])
        stage.check("so is the digest in the registry", after["RepoDigests"] == before["RepoDigests"])

    def look_at_the_image(self) -> None:
        stage = self.stage
        stage.chapter("Look at the image")
        stage.lamina("history", "--format", "{{.Size}}\t{{.CreatedBy}}", self.first, lines=16)
        document = json.loads(stage.lamina("image", "inspect", self.first, lines=24))[0]
        stage.check("the command is nginx", document["Config"]["Cmd"] == ["nginx", "-g", "daemon off;"])
        stage.lamina(
            "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}, {{len .RootFS.Layers}} layers", self.first
        )

    def look_at_the_disk(self) -> None:
        stage = self.stage
        stage.chapter("Look at the overlay2 folder")
        data = self._graph_driver("image", self.first)
        top = os.path.dirname(data["UpperDir"])
        home = os.path.dirname(top)
        stage.show(f"ls {home}", [_shortened(name) for name in sorted(os.listdir(home))])
        link, lower = _read(f"{top}/link"), _read(f"{top}/lower")
        stage.show("the top layer", [f"link   {link}", *(f"lower  {name}" for name in lower.split(":"))])
        target = os.readlink(f"{home}/l/{link}")
        stage.show(f"readlink l/{link}", [target])
        stage.check(
            "link names the short symbolic link to the layer", target == f"../{os.path.basename(top)}/diff", target
        )
        below = [os.path.realpath(os.path.join(home, name)) for name in lower.split(":")]
        stage.check("lower lists the five layers below, nearest first", below == data["LowerDir"].split(":"), below)
        stage.check("the page is in the top layer", os.path.exists(f"{data['UpperDir']}/{PAGE}"))
        stage.check("nginx is four layers down", os.path.exists(f"{below[3]}/usr/sbin/nginx"))

    def serve(self) -> None:
        stage = self.stage
        stage.chapter("Run it and fetch its page")
        self._start("web", self.first)
        stage.lamina("ps")
        page = self._fetch()
        stage.show(f"GET http://127.0.0.1:{self.port}/", page.splitlines())
        stage.check("nginx serves the page of the top layer", page == "<h1>Served from a stack of layers</h1>\n", page)
        stage.check("logs show the request", '"GET / HTTP/1.1" 200' in stage.lamina("logs", "web"))

    def change_and_delete(self) -> None:
        stage = self.stage
        stage.chapter("Change a file of a lower layer, delete another")
        data = self._graph_driver("container", "web")
        merged, upper = data["MergedDir"], data["UpperDir"]
        lower = data["LowerDir"].split(":")[1]  # the first is the -init layer
        stage.check("the merged directory is mounted", merged in mounts_below(self.directory))
        stage.check("the container's own layer does not have the page", not os.path.exists(f"{upper}/{PAGE}"))
        original = _read(f"{lower}/{PAGE}")
        with open(f"{merged}/{PAGE}", "a") as page:
            page.write(ADDED)
        os.unlink(f"{merged}/{WELCOME}")
        stage.show(f"ls -l UpperDir/{os.path.dirname(PAGE)}", _listing(os.path.join(upper, os.path.dirname(PAGE))))
        stage.check("copy-up: the upper directory has the page, changed", _read(f"{upper}/{PAGE}") == original + ADDED)
        stage.check("the lower one is unchanged", _read(f"{lower}/{PAGE}") == original)
        mark = os.lstat(f"{upper}/{WELCOME}")
        stage.check("the deleted file is a character device 0:0", stat.S_ISCHR(mark.st_mode) and mark.st_rdev == 0)
        stage.check("nginx serves the changed page", self._fetch() == original + ADDED)
        differences = stage.lamina("diff", "web").splitlines()
        stage.check("diff lists the change", f"C /{PAGE}" in differences)
        stage.check("diff lists the deletion", f"D /{WELCOME}" in differences)

    def commit_and_push(self) -> None:
        stage = self.stage
        stage.chapter("Commit it as version 2, push: one layer travels")
        stage.lamina("commit", "--message", "a better page", "web", self.second)
        first, second = self._layers(self.first), self._layers(self.second)
        stage.check("version 2 is version 1 and one layer", second[:-1] == first and len(second) == 7)
        since = len(self.registry.requests())
        stage.lamina("push", self.second)
        sent = self.registry.blobs_sent(since)
        stage.check("one layer and one configuration travelled", len(sent) == 2, sent)
        stage.lamina("history", self.second)

    def go_back(self) -> None:
        stage = self.stage
        stage.chapter("Run version 2, go back to version 1")
        merged = self._graph_driver("container", "web")["MergedDir"]
        self._stop("web")
        stage.check("the merged directory is gone", not os.path.exists(merged))
        self._start("newer", self.second)
        stage.check("version 2 serves the changed page", ADDED in self._fetch())
        stage.check("and not the deleted one", self._status(os.path.basename(WELCOME)) == 404)
        self._stop("newer")
        self._start("older", self.first)
        stage.check("version 1 serves the first page", ADDED not in self._fetch())
        stage.check("and the one that version 2 deleted", self._status(os.path.basename(WELCOME)) == 200)
        self._stop("older")

    def remove_everything(self, leaks: LeakCheck) -> None:
        stage = self.stage
        stage.chapter("Remove everything: nothing is left")
        stage.lamina("rmi", self.second, self.first, "debian:demo", lines=6)
        root = stage.root
        stage.check("no image is listed", stage.lamina("images", "--all", "--quiet") == "")
        stage.check("no container is listed", stage.lamina("ps", "--all", "--quiet") == "")
        stage.check("overlay2 holds nothing", _files_below(f"{root}/overlay2") == [], _files_below(f"{root}/overlay2"))
        for store in ("layerdb/sha256", "layerdb/mounts", "imagedb/content/sha256", "imagedb/metadata/sha256"):
            path = f"{root}/image/overlay2/{store}"
            left = os.listdir(path) if os.path.isdir(path) else []
            stage.check(f"{store} is empty", left == [], left)
        stage.lamina("system", "fsck")
        stage.check("fsck finds nothing unaccounted for", True)
        stage.check("nothing is mounted below the root", mounts_below(root) == [])
        left_over = leaks.leftovers()
        stage.check("no process is left", left_over == [], left_over)

    # Containers

    def _start(self, name: str, image: str) -> None:
        self.stage.lamina("run", "--detach", "--name", name, "--network", "host", image)
        wait_until(lambda: accepts(self.port), seconds=20, what="nginx listens")

    def _stop(self, name: str) -> None:
        self.stage.lamina("rm", "--force", name)
        wait_until(lambda: not accepts(self.port), seconds=20, what="nginx has ended")

    def _fetch(self) -> str:
        with self._open("") as answer:
            return str(answer.read().decode())

    def _status(self, name: str) -> int:
        try:
            with self._open(name) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def _open(self, name: str):  # type: ignore[no-untyped-def]  # the library's own annotation is private
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return direct.open(f"http://127.0.0.1:{self.port}/{name}", timeout=10)

    # Images

    def _layers(self, image: str) -> list[str]:
        document = json.loads(self.stage.run("image", "inspect", image).stdout)
        return list(document[0]["RootFS"]["Layers"])

    def _graph_driver(self, kind: str, name: str) -> dict[str, str]:
        done = self.stage.run(kind, "inspect", "--format", "{{json .GraphDriver.Data}}", name)
        data: dict[str, str] = json.loads(done.stdout)
        return data


def _shortened(name: str) -> str:
    return name if len(name) < 20 else f"{name[:8]}...{name[-8:]}"


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _listing(directory: str) -> list[str]:
    rows = []
    for name in sorted(os.listdir(directory)):
        status = os.lstat(os.path.join(directory, name))
        device = stat.S_ISCHR(status.st_mode)
        size = f"{os.major(status.st_rdev)}, {os.minor(status.st_rdev)}" if device else str(status.st_size)
        rows.append(f"{stat.filemode(status.st_mode)} {size:>6} {name}")
    return rows


def _files_below(directory: str) -> list[str]:
    return [name for name in os.listdir(directory) if name != "l"] + os.listdir(os.path.join(directory, "l"))
