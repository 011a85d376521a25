"""Which words are verbs, and which module of :mod:`lamina.cli` does each; imported only when chosen."""

from lamina.typing import NamedTuple


class Group(NamedTuple):
    """A word with verbs of its own: ``image``.

    :ivar verbs: verb to module.
    :ivar aliases: other spelling to verb.
    """

    summary: str
    verbs: dict[str, str]
    aliases: dict[str, str] = {}  # noqa: RUF012 - a default of a NamedTuple, never changed


#: Top-level verbs.
VERBS: dict[str, str] = {
    "attach": "container.attach",
    "build": "builder.build",
    "commit": "container.commit",
    "cp": "container.cp",
    "create": "container.create",
    "diff": "container.diff",
    "doctor": "system.doctor",
    "events": "system.events",
    "exec": "container.exec_",
    "export": "container.export",
    "history": "image.history",
    "images": "image.ls",
    "import": "image.import_",
    "info": "system.info",
    "inspect": "inspect",
    "kill": "container.kill",
    "load": "image.load",
    "login": "registry.login",
    "logout": "registry.logout",
    "logs": "container.logs",
    "pause": "container.pause",
    "port": "container.port",
    "ps": "container.ls",
    "pull": "image.pull",
    "push": "image.push",
    "rename": "container.rename",
    "restart": "container.restart",
    "rm": "container.rm",
    "rmi": "image.rm",
    "run": "container.run",
    "save": "image.save",
    "search": "registry.search",
    "start": "container.start",
    "stats": "container.stats",
    "stop": "container.stop",
    "tag": "image.tag",
    "top": "container.top",
    "unpause": "container.unpause",
    "update": "container.update",
    "version": "system.version",
    "wait": "container.wait",
}

GROUPS: dict[str, Group] = {
    "builder": Group("Manage builds", {"build": "builder.build", "prune": "builder.prune"}),
    "container": Group(
        "Manage containers",
        {
            "attach": "container.attach",
            "commit": "container.commit",
            "cp": "container.cp",
            "create": "container.create",
            "diff": "container.diff",
            "exec": "container.exec_",
            "export": "container.export",
            "inspect": "container.inspect",
            "kill": "container.kill",
            "logs": "container.logs",
            "ls": "container.ls",
            "pause": "container.pause",
            "port": "container.port",
            "prune": "container.prune",
            "rename": "container.rename",
            "restart": "container.restart",
            "rm": "container.rm",
            "run": "container.run",
            "start": "container.start",
            "stats": "container.stats",
            "stop": "container.stop",
            "top": "container.top",
            "unpause": "container.unpause",
            "update": "container.update",
            "wait": "container.wait",
        },
        {"list": "ls", "ps": "ls"},
    ),
    "image": Group(
        "Manage images",
        {
            "build": "builder.build",
            "history": "image.history",
            "import": "image.import_",
            "inspect": "image.inspect",
            "load": "image.load",
            "ls": "image.ls",
            "prune": "image.prune",
            "pull": "image.pull",
            "push": "image.push",
            "rm": "image.rm",
            "save": "image.save",
            "tag": "image.tag",
        },
        {"list": "ls", "rmi": "rm", "remove": "rm"},
    ),
    "network": Group(
        "Manage networks",
        {
            "connect": "network.connect",
            "create": "network.create",
            "disconnect": "network.disconnect",
            "inspect": "network.inspect",
            "ls": "network.ls",
            "prune": "network.prune",
            "rm": "network.rm",
        },
        {"list": "ls", "remove": "rm"},
    ),
    "system": Group(
        "Manage the data root",
        {
            "df": "system.df",
            "events": "system.events",
            "fsck": "system.fsck",
            "info": "system.info",
            "prune": "system.prune",
            "restore": "system.restore",
        },
    ),
    "union": Group(
        "Show directories as one tree",
        {
            "check": "union.check",
            "convert": "union.convert",
            "diff": "union.diff",
            "flatten": "union.flatten",
            "ls": "union.ls",
            "mount": "union.mount",
            "repair": "union.repair",
            "umount": "union.umount",
            "which": "union.which",
        },
        {"list": "ls", "unmount": "umount"},
    ),
    "volume": Group(
        "Manage volumes",
        {
            "create": "volume.create",
            "inspect": "volume.inspect",
            "ls": "volume.ls",
            "prune": "volume.prune",
            "rm": "volume.rm",
        },
        {"list": "ls", "remove": "rm"},
    ),
}
