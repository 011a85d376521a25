"""Challenges, tokens, and where credentials must not go."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from lamina.errors import Unauthorized
from lamina.reference import Reference, parse_tagged
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Credential, DockerConfig, GivenCredentials
from lamina.registry.errors import AccessDenied, AuthenticationRequired, MissingCredentials, RefusedRealm
from lamina.registry.login import login, logout
from lamina.registry.settings import Settings
from support.fake_registry import Asked, FakeRegistry, Reply, error
from support.images import TestImage

_ME = "Basic bWU6c2VjcmV0"


class TokenServer:
    """Gives tokens that name their scopes, and remembers what it was asked."""

    def __init__(self, on: FakeRegistry, expires_in: object = 300, **members: object) -> None:
        self.asked: list[Asked] = []
        self._expires_in = expires_in
        self._members = members
        self.realm = f"{on.url}/token"
        on.on("GET", "/token", self.give)
        on.on("POST", "/token", self.give)

    def give(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        number = len(self.asked)
        document = {"token": f"token-{number}", "expires_in": self._expires_in, **self._members}
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


def protect(registry: FakeRegistry, realm: str, accepts: Callable[[str], bool] = lambda header: True) -> None:
    """Ask for a bearer token before everything but the token server's own path."""

    def answer(asked: Asked) -> Reply | None:
        header = asked.headers.get("authorization", "")
        if header.startswith("Bearer ") and accepts(header):
            return None
        challenge = f'Bearer realm="{realm}",service="the registry",scope="repository:x:pull"'
        return error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH"):
        registry.on(method, "/v2/", answer)


@pytest.fixture
def reference(fake_registry: FakeRegistry) -> Reference:
    return parse_tagged(fake_registry.add(TestImage([])))


@pytest.fixture
def as_me(fake_registry: FakeRegistry, client_with) -> RegistryClient:
    return client_with(GivenCredentials(fake_registry.address, Credential("me", "secret")))


# Tokens


def test_a_token_is_fetched_once_for_each_scope(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    tokens = TokenServer(fake_registry)
    protect(fake_registry, tokens.realm)
    client.manifest(reference)
    client.manifest(reference)
    assert [asked.query for asked in tokens.asked] == [{"service": "the registry", "scope": "repository:x:pull"}]
    client.put_manifest(reference, b"{}", "application/json")
    assert tokens.asked[1].query["scope"] == "repository:x:pull,push"
    assert "authorization" not in tokens.asked[0].headers


def test_a_mount_asks_for_both_repositories(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    tokens = TokenServer(fake_registry)
    protect(fake_registry, tokens.realm)
    client.mount_blob(reference, TestImage([]).manifest_digest, "from/there")
    query = fake_registry.asked[1]
    assert query.path == "/token"
    assert "scope" in query.query
    assert client._authenticator.cached(
        _endpoint(client, reference), ["repository:from/there:pull", "repository:x:pull,push"]
    )


def _endpoint(client: RegistryClient, reference: Reference):
    return client._session._preferred[(reference.domain, True)]


def test_the_token_server_gets_the_credentials(
    fake_registry: FakeRegistry, as_me: RegistryClient, reference: Reference
) -> None:
    tokens = TokenServer(fake_registry)
    protect(fake_registry, tokens.realm)
    as_me.manifest(reference)
    assert tokens.asked[0].headers["authorization"] == _ME
    assert tokens.asked[0].query["account"] == "me"


def test_a_token_that_ended_is_renewed(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    tokens = TokenServer(fake_registry)
    valid = ["Bearer token-1"]
    protect(fake_registry, tokens.realm, lambda header: header in valid)
    client.manifest(reference)
    valid[:] = ["Bearer token-2"]
    client.manifest(reference)
    assert len(tokens.asked) == 2


def test_a_token_that_is_never_accepted_ends_in_an_error(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    tokens = TokenServer(fake_registry)
    protect(fake_registry, tokens.realm, lambda header: False)
    with pytest.raises(AuthenticationRequired, match="unauthorized: authentication required"):
        client.manifest(reference)
    assert len(tokens.asked) == 1


def test_threads_share_one_token(fake_registry: FakeRegistry, client: RegistryClient, reference: Reference) -> None:
    tokens = TokenServer(fake_registry)
    protect(fake_registry, tokens.realm)
    threads = [threading.Thread(target=client.manifest, args=(reference,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens.asked) == 1


def test_an_insufficient_scope_is_a_denial(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    tokens = TokenServer(fake_registry)
    challenge = f'Bearer realm="{tokens.realm}",service="s",scope="x",error="insufficient_scope"'
    fake_registry.on("GET", "/v2/", error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": challenge}))
    with pytest.raises(AccessDenied, match="denied: requested access to the resource is denied"):
        client.manifest(reference)


def test_an_identity_token_is_posted(fake_registry: FakeRegistry, client_with, reference: Reference) -> None:
    tokens = TokenServer(fake_registry)
    protect(fake_registry, tokens.realm)
    credentials = GivenCredentials(fake_registry.address, Credential("me", identity_token="long"))
    client_with(credentials).manifest(reference)
    form = parse_qs(tokens.asked[0].body.decode())
    assert tokens.asked[0].method == "POST"
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["long"]
    assert form["scope"] == ["repository:x:pull"]
    assert "authorization" not in tokens.asked[0].headers


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, {}, b"{}"),
        Reply(200, {}, b"[]"),
        Reply(200, {}, b"no json"),
        Reply(200, {}, b'{"token": 5}'),
        Reply(200, {}, b'{"token": "a\\r\\nX-Evil: 1"}'),
        Reply(200, {}, b"[" * 100_000),
        Reply(200, {}, b'{"token": "' + b"a" * (2 << 20) + b'"}'),
    ],
)
def test_a_senseless_token_server_is_an_error(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference, answer: Reply
) -> None:
    protect(fake_registry, f"{fake_registry.url}/token")
    fake_registry.on("GET", "/token", answer)
    with pytest.raises(Exception, match="token"):
        client.manifest(reference)
    assert all("x-evil" not in asked.headers for asked in fake_registry.asked)


# Basic


def test_basic_credentials_are_sent_when_asked_for_and_then_at_once(
    fake_registry: FakeRegistry, as_me: RegistryClient, reference: Reference
) -> None:
    challenge = error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="x"'})
    fake_registry.on("GET", "/v2/", lambda asked: None if asked.headers.get("authorization") == _ME else challenge)
    as_me.manifest(reference)
    as_me.manifest(reference)
    assert ["authorization" in asked.headers for asked in fake_registry.asked] == [False, True, True]


def test_nobody_has_no_basic_credentials(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    fake_registry.on("GET", "/v2/", error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="x"'}))
    with pytest.raises(MissingCredentials, match="no basic auth credentials"):
        client.manifest(reference)


def test_wrong_credentials_are_sent_once(
    fake_registry: FakeRegistry, as_me: RegistryClient, reference: Reference
) -> None:
    fake_registry.on("GET", "/v2/", error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="x"'}))
    with pytest.raises(AuthenticationRequired):
        as_me.manifest(reference)
    assert len(fake_registry.asked) == 2


# Where credentials must not go


def test_a_realm_on_another_host_over_plain_http_gets_no_credentials(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, as_me: RegistryClient, reference: Reference
) -> None:
    tokens = TokenServer(other_registry)
    protect(fake_registry, tokens.realm.replace("127.0.0.1", "localhost"))
    with pytest.raises(RefusedRealm, match="refused to send the credentials"):
        as_me.manifest(reference)
    assert tokens.asked == []


@pytest.mark.parametrize("realm", ["http://169.254.169.254/token", "http://[fe80::1]/token"])
def test_a_realm_at_a_metadata_service_is_not_asked(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference, realm: str
) -> None:
    protect(fake_registry, realm)
    with pytest.raises(Exception, match="refused to follow"):
        client.manifest(reference)


@pytest.mark.parametrize("realm", ["", "/token", "file:///etc/passwd", "ldap://host/x"])
def test_a_realm_that_is_no_web_address_is_refused(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference, realm: str
) -> None:
    protect(fake_registry, realm)
    with pytest.raises(RefusedRealm, match="unusable token server"):
        client.manifest(reference)


def test_a_secure_registry_has_a_secure_token_server() -> None:
    from lamina.registry.authentication import _checked_realm
    from lamina.registry.endpoint import Endpoint

    secure = Endpoint("https://registry.example", "registry.example", False, False)
    with pytest.raises(RefusedRealm, match="must speak https"):
        _checked_realm("http://registry.example/token", secure, None)
    assert _checked_realm("https://registry.example/token", secure, Credential("me", "secret"))


# login and logout


@pytest.fixture
def settings() -> Settings:
    return Settings(backoff=0.001)


@pytest.fixture
def config(tmp_path) -> DockerConfig:
    return DockerConfig(str(tmp_path))


def test_login_keeps_credentials_that_work(
    fake_registry: FakeRegistry, settings: Settings, config: DockerConfig
) -> None:
    challenge = error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="x"'})
    fake_registry.on("GET", "/v2/", lambda asked: None if asked.headers.get("authorization") == _ME else challenge)
    with pytest.raises(Unauthorized, match=r"login attempt to http://.*/v2/ failed with status: 401 Unauthorized"):
        login(config, fake_registry.address, "me", "wrong", settings)
    assert config.get(fake_registry.address) is None
    assert login(config, f"http://{fake_registry.address}/v2/", "me", "secret", settings) == ""
    assert config.get(fake_registry.address) == Credential("me", "secret")
    assert logout(config, fake_registry.address)
    assert config.get(fake_registry.address) is None


def test_login_keeps_the_identity_token_instead_of_the_password(
    fake_registry: FakeRegistry, settings: Settings, config: DockerConfig
) -> None:
    tokens = TokenServer(fake_registry, refresh_token="long")
    protect(fake_registry, tokens.realm)
    login(config, fake_registry.address, "me", "secret", settings)
    assert tokens.asked[0].query["offline_token"] == "true"
    assert config.get(fake_registry.address) == Credential("me", "", "long")


def test_login_says_what_the_token_server_says(
    fake_registry: FakeRegistry, settings: Settings, config: DockerConfig
) -> None:
    protect(fake_registry, f"{fake_registry.url}/token")
    fake_registry.on("GET", "/token", Reply(401, {}, b'{"details": "incorrect username or password"}'))
    with pytest.raises(Unauthorized, match="unauthorized: incorrect username or password"):
        login(config, fake_registry.address, "me", "wrong", settings)
