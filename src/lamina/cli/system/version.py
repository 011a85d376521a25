"""``lamina version``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import text
from lamina.cli.listing import print_document
from lamina.typing import Any
from lamina.view.system import version

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Show the Lamina version information",
    arguments=NO_ARGUMENTS,
    flags=(
        text("format", "Format the output using the given Go template", short="f"),
        # Docker asked the cluster for its version, where its stacks were Kubernetes's.
        text("kubeconfig", "Kubernetes config file"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.cli.system.runtimes import runtime_versions

    server = version(runtime_versions(context.engine().configuration))
    client = {
        "Platform": server["Platform"],
        "Version": server["Version"],
        "ApiVersion": server["ApiVersion"],
        "DefaultAPIVersion": server["ApiVersion"],
        "GitCommit": server["GitCommit"],
        "GoVersion": server["GoVersion"],
        "Os": server["Os"],
        "Arch": server["Arch"],
        "BuildTime": server["BuildTime"],
        "Context": "default",
        "Experimental": False,
    }
    if options.text("format"):
        print_document(context.stdout, {"Client": client, "Server": server}, options.text("format"))
        return 0
    _print_text(context, client, server)
    return 0


def _print_text(context: Context, client: dict[str, Any], server: dict[str, Any]) -> None:
    engine, *others = server["Components"]
    python = engine["Details"]["PythonVersion"]
    context.print("Client:")
    for title, value in (
        ("Version", client["Version"]),
        ("API version", client["ApiVersion"]),
        ("Python version", python),
        ("OS/Arch", f"{client['Os']}/{client['Arch']}"),
        ("Context", client["Context"]),
    ):
        context.print(f" {title + ':':<19}{value}")
    context.print("\nServer:\n Engine:")
    for title, value in (
        ("Version", server["Version"]),
        ("API version", f"{server['ApiVersion']} (minimum version {server['MinAPIVersion']})"),
        ("Python version", python),
        ("OS/Arch", f"{server['Os']}/{server['Arch']}"),
    ):
        context.print(f"  {title + ':':<18}{value}")
    for component in others:
        context.print(f" {component['Name']}:\n  {'Version:':<18}{component['Version']}")
