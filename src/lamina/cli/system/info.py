"""``lamina info`` and ``lamina system info``."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import text
from lamina.cli.listing import print_document
from lamina.cli.units import binary_size
from lamina.typing import Any
from lamina.view.system import ContainerCounts, info

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Display system-wide information",
    arguments=NO_ARGUMENTS,
    flags=(text("format", "Format the output using the given Go template", short="f"),),
)


def run(context: Context, options: Options) -> int:
    from lamina.cli.system.runtimes import default_runtime, runtimes

    engine = context.engine()
    states = [container.status for container in engine.container_service.listed()]
    configuration = engine.configuration
    document = info(engine, ContainerCounts(states), runtimes(configuration), default_runtime(configuration))
    document["ClientInfo"] = {"Debug": context.debug, "Context": "default", "Plugins": [], "Warnings": None}
    if options.text("format"):
        print_document(context.stdout, document, options.text("format"))
        return 0
    for line in _lines(document):
        context.print(line)
    for warning in document["Warnings"] or ():
        context.warn(warning)
    return 0


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield "Client:"
    yield f" Context:    {document['ClientInfo']['Context']}"
    yield f" Debug Mode: {_word(document['ClientInfo']['Debug'])}"
    yield ""
    yield "Server:"
    yield f" Containers: {document['Containers']}"
    yield f"  Running: {document['ContainersRunning']}"
    yield f"  Paused: {document['ContainersPaused']}"
    yield f"  Stopped: {document['ContainersStopped']}"
    yield f" Images: {document['Images']}"
    yield f" Server Version: {document['ServerVersion']}"
    yield f" Storage Driver: {document['Driver']}"
    for name, value in document["DriverStatus"]:
        yield f"  {name}: {value}"
    yield f" Logging Driver: {document['LoggingDriver']}"
    yield f" Cgroup Driver: {document['CgroupDriver']}"
    yield f" Cgroup Version: {document['CgroupVersion']}"
    yield " Plugins:"
    for kind in ("Volume", "Network", "Log"):
        yield f"  {kind}: {' '.join(document['Plugins'][kind])}"
    yield f" Swarm: {document['Swarm']['LocalNodeState']}"
    yield f" Runtimes: {' '.join(document['Runtimes'])}"
    yield f" Default Runtime: {document['DefaultRuntime']}"
    yield " Security Options:"
    for option in document["SecurityOptions"]:
        yield from _security(option)
    yield f" Kernel Version: {document['KernelVersion']}"
    yield f" Operating System: {document['OperatingSystem']}"
    yield f" OSType: {document['OSType']}"
    yield f" Architecture: {document['Architecture']}"
    yield f" CPUs: {document['NCPU']}"
    yield f" Total Memory: {binary_size(document['MemTotal'])}"
    yield f" Name: {document['Name']}"
    yield f" Docker Root Dir: {document['DockerRootDir']}"
    yield f" Debug Mode: {_word(document['Debug'])}"
    for title, key in (("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")):
        if document[key]:
            yield f" {title}: {document[key]}"
    yield f" Registry: {document['IndexServerAddress']}"
    yield " Labels:"
    for label in document["Labels"]:
        yield f"  {label}"
    yield f" Experimental: {_word(document['ExperimentalBuild'])}"
    yield from _registry_lines(document["RegistryConfig"])
    yield f" Live Restore Enabled: {_word(document['LiveRestoreEnabled'])}"
    yield ""


def _security(option: str) -> Iterator[str]:
    """``name=seccomp,profile=default`` in two lines."""
    for number, pair in enumerate(option.split(",")):
        key, _, value = pair.partition("=")
        yield f"  {value}" if number == 0 else f"   {key.capitalize()}: {value}"


def _registry_lines(registries: dict[str, Any]) -> Iterator[str]:
    yield " Insecure Registries:"
    for name, index in registries["IndexConfigs"].items():
        if not index["Secure"]:
            yield f"  {name}"
    for network in registries["InsecureRegistryCIDRs"]:
        yield f"  {network}"
    if registries["Mirrors"]:
        yield " Registry Mirrors:"
        for mirror in registries["Mirrors"]:
            yield f"  {mirror}"


def _word(value: bool) -> str:
    return "true" if value else "false"
