"""``login`` and ``logout``: try credentials at a registry, and keep or forget them."""

from __future__ import annotations

from http import HTTPStatus

from lamina.errors import Unauthorized
from lamina.reference import DEFAULT_DOMAIN
from lamina.registry.authentication import Authenticator
from lamina.registry.credentials import Credential, DockerConfig, GivenCredentials
from lamina.registry.endpoint import Endpoint, endpoints
from lamina.registry.errors import AuthenticationRequired, ConnectionFailed
from lamina.registry.settings import Settings
from lamina.registry.transport import Request, Transport


class LoginRefused(Unauthorized):
    """The registry, or its token server, does not accept the credentials."""


class LoginFailed(LoginRefused):
    """The registry answers to credentials as it should not."""

    def __init__(self, url: str, status: int) -> None:
        words = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
        super().__init__(f"login attempt to {url} failed with status: {words}")


def registry_of(server: str) -> str:
    """The registry that an argument of ``login`` means: a host, a URL, or ``""`` for Docker Hub."""
    host = server.partition("://")[2] if "://" in server else server
    host = host.partition("/")[0]
    return DEFAULT_DOMAIN if host in ("", "index.docker.io", "registry-1.docker.io") else host


def login(config: DockerConfig, server: str, username: str, password: str, settings: Settings) -> str:
    """Check the credentials and keep them; the credential helper that keeps them, ``""`` for the file itself.

    :raises Unauthorized: the registry does not accept them.
    :raises ConnectionFailed: it does not answer.
    """
    host = registry_of(server)
    token = check(host, Credential(username, password), settings)
    return config.store(host, Credential(username, identity_token=token) if token else Credential(username, password))


def logout(config: DockerConfig, server: str) -> bool:
    """Forget the credentials; whether there were any."""
    return config.erase(registry_of(server))


def check(host: str, credential: Credential, settings: Settings) -> str:
    """Try ``credential`` at a registry; the identity token that it gives in return, ``""`` for none."""
    transport = Transport(settings)
    try:
        places = endpoints(host, settings, writing=True)
        for place in places[:-1]:
            try:
                return _check_at(place, credential, transport, attempts=1)
            except ConnectionFailed:
                continue
        return _check_at(places[-1], credential, transport, attempts=0)
    finally:
        transport.close()


def _check_at(endpoint: Endpoint, credential: Credential, transport: Transport, *, attempts: int) -> str:
    authenticator = Authenticator(transport, GivenCredentials(endpoint.host, credential))
    request = Request("GET", f"{endpoint.url}/v2/", attempts=attempts)
    with transport.send(request) as answer:
        if answer.status == 200:
            return ""
        if answer.status != 401:
            raise LoginFailed(request.url, answer.status)
        try:
            token = authenticator.login(endpoint, answer)
        except AuthenticationRequired as error:
            raise LoginRefused(f"{answer.what}: {error}") from error
    with transport.send(request._replace(authorization=authenticator.cached(endpoint, []))) as answer:
        if answer.status != 200:
            raise LoginFailed(request.url, answer.status)
    return token
