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
    "attach": "attach",
    "build": "build",
    "commit": "commit",
    "cp": "cp",
    "create": "create",
    "diff": "diff",
    "doctor": "doctor",
    "events": "events",
    "exec": "exec_",
    "export": "export",
    "history": "history",
    "images": "images",
    "import": "import_",
    "info": "info",
    "inspect": "inspect",
    "kill": "kill",
    "load": "load",
    "login": "login",
    "logout": "logout",
    "logs": "logs",
    "pause": "pause",
    "port": "port",
    "ps": "ps",
    "pull": "pull",
    "push": "push",
    "rename": "rename",
    "restart": "restart",
    "rm": "rm",
    "rmi": "rmi",
    "run": "run",
    "save": "save",
    "search": "search",
    "start": "start",
    "stats": "stats",
    "stop": "stop",
    "tag": "tag",
    "top": "top",
    "unpause": "unpause",
    "update": "update",
    "version": "version",
    "wait": "wait",
}

GROUPS: dict[str, Group] = {
    "builder": Group("Manage builds", {"build": "build", "prune": "builder_prune"}),
    "container": Group(
        "Manage containers",
        {
            "attach": "attach",
            "commit": "commit",
            "cp": "cp",
            "create": "create",
            "diff": "diff",
            "exec": "exec_",
            "export": "export",
            "inspect": "container_inspect",
            "kill": "kill",
            "logs": "logs",
            "ls": "ps",
            "pause": "pause",
            "port": "port",
            "prune": "container_prune",
            "rename": "rename",
            "restart": "restart",
            "rm": "rm",
            "run": "run",
            "start": "start",
            "stats": "stats",
            "stop": "stop",
            "top": "top",
            "unpause": "unpause",
            "update": "update",
            "wait": "wait",
        },
        {"list": "ls", "ps": "ls"},
    ),
    "image": Group(
        "Manage images",
        {
            "build": "build",
            "history": "history",
            "import": "import_",
            "inspect": "image_inspect",
            "load": "load",
            "ls": "images",
            "prune": "image_prune",
            "pull": "pull",
            "push": "push",
            "rm": "rmi",
            "save": "save",
            "tag": "tag",
        },
        {"list": "ls", "rmi": "rm", "remove": "rm"},
    ),
    "network": Group(
        "Manage networks",
        {
            "connect": "network_connect",
            "create": "network_create",
            "disconnect": "network_disconnect",
            "inspect": "network_inspect",
            "ls": "network_ls",
            "prune": "network_prune",
            "rm": "network_rm",
        },
        {"list": "ls", "remove": "rm"},
    ),
    "system": Group(
        "Manage the data root",
        {
            "df": "system_df",
            "events": "events",
            "fsck": "system_fsck",
            "info": "info",
            "prune": "system_prune",
            "restore": "system_restore",
        },
    ),
    "union": Group(
        "Show directories as one tree",
        {
            "check": "union_check",
            "convert": "union_convert",
            "diff": "union_diff",
            "flatten": "union_flatten",
            "ls": "union_ls",
            "mount": "union_mount",
            "repair": "union_repair",
            "umount": "union_umount",
            "which": "union_which",
        },
        {"list": "ls", "unmount": "umount"},
    ),
    "volume": Group(
        "Manage volumes",
        {
            "create": "volume_create",
            "inspect": "volume_inspect",
            "ls": "volume_ls",
            "prune": "volume_prune",
            "rm": "volume_rm",
        },
        {"list": "ls", "remove": "rm"},
    ),
}
