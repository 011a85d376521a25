"""Changing what is written of a container: its name, its restart policy."""

from __future__ import annotations

from lamina import events
from lamina.container import names
from lamina.container.names import InvalidName, NameInUse
from lamina.container.parts import Parts
from lamina.container.restarting import NO, RestartPolicy
from lamina.errors import Conflict, InvalidArgument


def rename(parts: Parts, container_id: str, name: str) -> None:
    """Give it another name.

    :raises InvalidName: :raises NameInUse: with Docker's words.
    """
    parts.root.require_writable()
    with parts.store.naming(), parts.store.lock(container_id):
        container = parts.store.load(container_id)
        if f"/{name.removeprefix('/')}" == f"/{container.name}":
            raise InvalidArgument("Renaming a container with the same name as its current name")
        try:
            checked = names.check(name)
            parts.store.require_free(checked)
        except InvalidName:
            raise InvalidArgument(f"Error when allocating new name: {InvalidName(f'/{name}')}") from None
        except NameInUse as error:
            raise Conflict(f"Error when allocating new name: {error}") from None
        old = container.name
        container.document["Name"] = f"/{checked}"
        parts.store.save(container)
    events.note(parts.root, container, "rename", {"oldName": f"/{old}"})


def set_restart_policy(parts: Parts, container_id: str, policy: RestartPolicy) -> None:
    """``update --restart``: counts from the next end on. Raises :class:`~lamina.container.restarting.InvalidPolicy`."""
    policy.check()
    with parts.store.lock(container_id):
        container = parts.store.load(container_id)
        if container.auto_remove and policy.name != NO:
            raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
        container.host_config["RestartPolicy"] = {"Name": policy.name, "MaximumRetryCount": policy.limit}
        parts.store.save_host_config(container)
