"""``lamina login``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_most
from lamina.cli.flags import switch, text
from lamina.registry.credentials import DOCKER_HUB_KEY, Credential, DockerConfig

COMMAND = Command(
    usage="[OPTIONS] [SERVER]",
    summary="Log in to a Docker registry",
    description="Log in to a Docker registry.\nIf no server is specified, the default is defined by the daemon.",
    arguments=at_most(1),
    flags=(
        text("password", "Password", short="p"),
        switch("password-stdin", "Take the password from stdin"),
        text("username", "Username", short="u"),
    ),
)

_HUB_GREETING = (
    "Login with your Docker ID to push and pull images from Docker Hub. "
    "If you don't have a Docker ID, head over to https://hub.docker.com to create one."
)
_UNENCRYPTED = """WARNING! Your password will be stored unencrypted in {path}.
Configure a credential helper to remove this warning. See
https://docs.docker.com/engine/reference/commandline/login/#credentials-store
"""


def run(context: Context, options: Options) -> int:
    from lamina.cli.opening import load_configuration
    from lamina.registry.login import login, registry_of
    from lamina.registry.settings import from_configuration

    server = options.arguments[0] if options.arguments else ""
    config = DockerConfig(context.docker_config_dir)
    settings = from_configuration(load_configuration(context.environment))
    username, password = _given(context, options)
    if not username and not password:
        kept = config.get(registry_of(server))
        if kept is not None and kept.password:
            context.print("Authenticating with existing credentials...")
            _succeed(context, config, login(config, server, kept.username, kept.password, settings))
            return 0
    credential = _asked(context, server, username, password)
    _succeed(context, config, login(config, server, credential.username, credential.password, settings))
    return 0


def _given(context: Context, options: Options) -> tuple[str, str]:
    """What the flags say."""
    username, password = options.text("username"), options.text("password")
    if password:
        context.warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
        if options.on("password-stdin"):
            raise CommandError("--password and --password-stdin are mutually exclusive")
    if options.on("password-stdin"):
        if not username:
            raise CommandError("Must provide --username with --password-stdin")
        password = context.stdin.read().removesuffix("\n").removesuffix("\r")
    return username, password


def _asked(context: Context, server: str, username: str, password: str) -> Credential:
    """The rest from the terminal."""
    from lamina.cli.prompt import ask, need_terminal

    if not username:
        need_terminal(context)
        if server in ("", DOCKER_HUB_KEY):
            context.print(_HUB_GREETING)
        username = ask(context, "Username: ").strip()
        if not username:
            raise CommandError("Error: Non-null Username Required")
    if not password:
        need_terminal(context)
        password = ask(context, "Password: ", secret=True)
        if not password:
            raise CommandError("Error: Password Required")
    return Credential(username, password)


def _succeed(context: Context, config: DockerConfig, helper: str) -> None:
    if not helper:
        context.warn(_UNENCRYPTED.format(path=config.path))
    context.print("Login Succeeded")
