"""Answers to a registry's challenges: basic, and bearer tokens from a token server.

Protocol: distribution's "Token Authentication" and "OAuth2 Token Authentication" specifications.

What keeps credentials where they belong: they are looked up by the host that the user named; a challenge is answered
only when it comes from there (never from where a redirect led); and a token server gets them over https, or over plain
http only when it is on the registry's own host and the user said that this registry is insecure.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit, urlunsplit

from lamina import json
from lamina.errors import InvalidArgument
from lamina.registry.answer import Answer
from lamina.registry.challenge import Challenge, parse
from lamina.registry.credentials import Credential, CredentialSource
from lamina.registry.endpoint import Endpoint, Origin
from lamina.registry.errors import (
    AuthenticationRequired,
    MissingCredentials,
    RefusedRealm,
    ServerFailure,
    from_answer,
    printable,
)
from lamina.registry.transport import Request, Transport, refuse_metadata_address
from lamina.typing import NamedTuple

_TOKEN_LIMIT = 1 << 20
_DEFAULT_LIFETIME = 60
#: Seconds before its end at which a token is renewed, so that it does not end on the way.
_MARGIN = 10
_CLIENT_ID = "lamina"


class _Cached(NamedTuple):
    header: str
    until: float


class Authenticator:
    """Knows what ``Authorization`` to send where. Thread-safe."""

    def __init__(self, transport: Transport, credentials: CredentialSource) -> None:
        self._transport = transport
        self._credentials = credentials
        self._lock = threading.Lock()
        self._headers: dict[tuple[str, str], _Cached] = {}
        self._known: dict[str, Credential | None] = {}

    def cached(self, endpoint: Endpoint, scopes: Sequence[str]) -> str:
        """What to send without being asked: what worked before, while it is valid; else ``""``."""
        for key in ((endpoint.url, _key(scopes)), (endpoint.url, "")):
            entry = self._headers.get(key)
            if entry is not None and entry.until > time.monotonic():
                return entry.header
        return ""

    def respond(self, endpoint: Endpoint, answer: Answer, scopes: Sequence[str], sent: str) -> str:
        """What to send after the 401 ``answer``, ``""`` when there is nothing better than what was ``sent``.

        :raises MissingCredentials: only a password helps, and there is none.
        :raises RefusedRealm: the token server is not to be trusted with what it wants.
        :raises AuthenticationRequired: the token server does not accept the credentials.
        """
        if answer.redirected:
            return ""
        challenges = {challenge.scheme: challenge for challenge in reversed(parse(answer.headers("WWW-Authenticate")))}
        with self._lock:
            current = self.cached(endpoint, scopes)
            if current and current != sent:
                return current  # another thread has been here meanwhile
            if "bearer" in challenges:
                return self._bearer(endpoint, challenges["bearer"], scopes, sent)
            if "basic" in challenges:
                return self._basic(endpoint, sent, answer.what)
        return ""

    def credential(self, endpoint: Endpoint) -> Credential | None:
        """The user's credentials for ``endpoint``; helpers are asked once."""
        if endpoint.host not in self._known:
            self._known[endpoint.host] = self._credentials.get(endpoint.host)
        return self._known[endpoint.host]

    def _basic(self, endpoint: Endpoint, sent: str, what: str) -> str:
        credential = self.credential(endpoint)
        if credential is None or not credential.username:
            raise MissingCredentials(what)
        header = _basic_header(credential)
        if header == sent:
            return ""
        self._headers[(endpoint.url, "")] = _Cached(header, float("inf"))
        return header

    def _bearer(self, endpoint: Endpoint, challenge: Challenge, scopes: Sequence[str], sent: str) -> str:
        credential = self.credential(endpoint)
        realm = _checked_realm(challenge.parameters.get("realm", ""), endpoint, credential)
        service = challenge.parameters.get("service", "")
        wanted = list(scopes) or challenge.parameters.get("scope", "").split()
        token, lifetime, _ = fetch_token(self._transport, realm, service, wanted, credential)
        header = f"Bearer {token}"
        self._headers[(endpoint.url, _key(scopes))] = _Cached(header, time.monotonic() + lifetime - _MARGIN)
        return header if header != sent else ""

    def login(self, endpoint: Endpoint, answer: Answer) -> str:
        """Try the credentials after a 401 at ``/v2/``; an identity token when the server gives one, else ``""``."""
        challenges = {challenge.scheme: challenge for challenge in reversed(parse(answer.headers("WWW-Authenticate")))}
        bearer = challenges.get("bearer")
        if bearer is None:
            self.respond(endpoint, answer, [], "")
            return ""
        credential = self.credential(endpoint)
        realm = _checked_realm(bearer.parameters.get("realm", ""), endpoint, credential)
        scopes = bearer.parameters.get("scope", "").split()
        token, lifetime, refresh = fetch_token(
            self._transport, realm, bearer.parameters.get("service", ""), scopes, credential, offline=True
        )
        self._headers[(endpoint.url, "")] = _Cached(f"Bearer {token}", time.monotonic() + lifetime)
        return refresh


def fetch_token(
    transport: Transport,
    realm: str,
    service: str,
    scopes: Sequence[str],
    credential: Credential | None,
    *,
    offline: bool = False,
) -> tuple[str, float, str]:
    """Ask a token server: the token, seconds that it is valid, a refresh token or ``""``.

    :raises AuthenticationRequired: it refuses.
    :raises ServerFailure: its answer makes no sense.
    """
    if credential is not None and credential.identity_token:
        form = [("grant_type", "refresh_token"), ("refresh_token", credential.identity_token)]
        form += [("service", service), ("client_id", _CLIENT_ID), ("scope", " ".join(scopes))]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        request = Request("POST", realm, headers, body=urlencode(form).encode())
    else:
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        authorization = ""
        if credential is not None:
            query = [("account", credential.username), *query]
            authorization = _basic_header(credential)
        if offline:
            query += [("offline_token", "true"), ("client_id", _CLIENT_ID)]
        request = Request("GET", _with_query(realm, query), authorization=authorization)
    with transport.send(request) as answer:
        if answer.status != 200:
            raise from_answer(answer.status, answer.read_error(), answer.what)
        body, what = answer.read_all(_TOKEN_LIMIT), answer.what
    return _parse_token(body, what)


def _parse_token(body: bytes, what: str) -> tuple[str, float, str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ServerFailure("UNKNOWN", f"{what}: the token server's answer is not JSON") from error
    members = document if isinstance(document, dict) else {}
    token = members.get("token") or members.get("access_token")
    # It becomes a header's value: a line break in it would be a header of the token server's choice.
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise AuthenticationRequired(
            "UNAUTHORIZED", f"{what}: authorization server did not include a token in the response"
        )
    lifetime = members.get("expires_in")
    seconds = float(lifetime) if isinstance(lifetime, int) and lifetime > _DEFAULT_LIFETIME else _DEFAULT_LIFETIME
    refresh = members.get("refresh_token")
    return token, seconds, refresh if isinstance(refresh, str) else ""


def _checked_realm(realm: str, endpoint: Endpoint, credential: Credential | None) -> str:
    try:
        origin = Origin.of(realm)
    except InvalidArgument:
        raise RefusedRealm(f"{endpoint.host} names an unusable token server {printable(realm)!r}") from None
    home = endpoint.origin
    if origin.scheme != "https":
        if not endpoint.insecure:
            raise RefusedRealm(
                f"refused to ask {printable(realm)} for a token: {endpoint.host} is not an insecure registry, "
                "so its token server must speak https"
            )
        if credential is not None and origin.host != home.host:
            raise RefusedRealm(
                f"refused to send the credentials for {endpoint.host} to {printable(realm)}: "
                "another host, over plain http"
            )
    if origin.host != home.host:
        refuse_metadata_address(origin)
    return realm


def _with_query(url: str, query: list[tuple[str, str]]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(query)))), fragment=""))


def _basic_header(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _key(scopes: Sequence[str]) -> str:
    return " ".join(sorted(scopes))
