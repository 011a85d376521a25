"""Credentials as the docker command keeps them: ``config.json`` and ``docker-credential-*`` programs.

Formats: docker/cli ``config.json`` (members ``auths``, ``credsStore``, ``credHelpers``) and the protocol of
docker-credential-helpers (one verb as argument, JSON or a server name on stdin, JSON on stdout).
"""

from __future__ import annotations

import base64
import binascii
import os

from lamina import atomicfile, json
from lamina.errors import InvalidArgument, SystemFailure
from lamina.reference import DEFAULT_DOMAIN
from lamina.registry.errors import printable
from lamina.typing import Any, NamedTuple, Protocol

#: The name that Docker Hub's credentials are kept under.
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
#: The user name that marks a secret as an identity token.
TOKEN_USER = "<token>"  # noqa: S105 - a marker, no secret
_NOT_FOUND = "credentials not found in native keychain"
_CONFIG_LIMIT = 16 << 20


class BadConfigFile(InvalidArgument):
    """``config.json`` is not what it should be."""


class HelperFailed(SystemFailure):
    """A credential helper is missing or failed."""


class Credential(NamedTuple):
    """A user and a password, or an identity token (an OAuth2 refresh token) instead of the password."""

    username: str
    password: str = ""
    identity_token: str = ""


class CredentialSource(Protocol):
    """Where credentials come from."""

    def get(self, host: str) -> Credential | None:
        """The credentials for a registry (``docker.io``, ``host``, ``host:port``), ``None`` when there are none."""


class NoCredentials:
    """The source of who has none."""

    def get(self, host: str) -> Credential | None:
        return None


class GivenCredentials:
    """One credential for one registry, as ``login`` tries it out."""

    def __init__(self, host: str, credential: Credential) -> None:
        self._host = host
        self._credential = credential

    def get(self, host: str) -> Credential | None:
        return self._credential if host == self._host else None


def key_of(host: str) -> str:
    """The key that ``config.json`` has for a registry."""
    return DOCKER_HUB_KEY if host in (DEFAULT_DOMAIN, "index.docker.io", "registry-1.docker.io") else host


class DockerConfig:
    """``<directory>/config.json``, read when asked. Each change rewrites it whole and keeps what it does not know.

    :param directory: usually ``~/.docker``; need not exist.
    """

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "config.json")

    def get(self, host: str) -> Credential | None:
        """See :class:`CredentialSource`.

        :raises BadConfigFile: the file is malformed.
        :raises HelperFailed: the helper that is configured for ``host`` cannot be asked.
        """
        document = self._load()
        key = key_of(host)
        helper = _helper_for(document, key)
        if helper:
            return _ask_helper(helper, key)
        entries = _object(document, "auths")
        entry = entries.get(key)
        if entry is None:
            entry = next((value for name, value in entries.items() if _host_of(name) == _host_of(key)), None)
        return _decode(entry) if isinstance(entry, dict) else None

    def store(self, host: str, credential: Credential) -> str:
        """Keep ``credential`` for ``host``; the helper that keeps it, ``""`` when the file itself does."""
        document = self._load()
        key = key_of(host)
        helper = _helper_for(document, key)
        entries = document.setdefault("auths", {})
        if helper:
            token = credential.identity_token
            secret = {
                "ServerURL": key,
                "Username": TOKEN_USER if token else credential.username,
                "Secret": token or credential.password,
            }
            _run_helper(helper, "store", json.dumps(secret))
            entries[key] = {}
        else:
            pair = f"{credential.username}:{'' if credential.identity_token else credential.password}"
            entries[key] = {"auth": base64.b64encode(pair.encode()).decode()}
            if credential.identity_token:
                entries[key]["identitytoken"] = credential.identity_token
        self._save(document)
        return helper

    def erase(self, host: str) -> bool:
        """Forget the credentials for ``host``; whether there was anything to forget."""
        document = self._load()
        key = key_of(host)
        helper = _helper_for(document, key)
        known = False
        if helper:
            known = _ask_helper(helper, key) is not None
            if known:
                _run_helper(helper, "erase", key)
        entries = _object(document, "auths")
        same = [name for name in entries if name == key or _host_of(name) == _host_of(key)]
        for name in same:
            del entries[name]
        if same:
            self._save(document)
        return known or bool(same)

    def _load(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                raw = file.read(_CONFIG_LIMIT + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BadConfigFile(f"{self.path}: {error.strerror}") from error
        if len(raw) > _CONFIG_LIMIT:
            raise BadConfigFile(f"{self.path}: more than {_CONFIG_LIMIT} bytes")
        try:
            document = json.loads(raw) if raw.strip() else {}
        except (ValueError, RecursionError) as error:
            raise BadConfigFile(f"{self.path}: {error}") from error
        if not isinstance(document, dict):
            raise BadConfigFile(f"{self.path}: not a JSON object")
        _object(document, "auths")
        return document

    def _save(self, document: dict[str, Any]) -> None:
        # A config.json that is a link (to a synchronised home, say) stays one.
        path = os.path.realpath(self.path)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        atomicfile.write(path, json.dumps(document, indent="\t", ensure_ascii=False).encode(), mode=0o600)


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadConfigFile(f"config.json: {key!r} is not an object")
    return value


def _host_of(key: str) -> str:
    """The host of an ``auths`` key in any of the forms that clients have written over the years."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _decode(entry: dict[str, Any]) -> Credential | None:
    texts = {name: entry.get(name) for name in ("auth", "username", "password", "identitytoken")}
    if any(value is not None and not isinstance(value, str) for value in texts.values()):
        raise BadConfigFile("config.json: an entry of 'auths' has members of a wrong type")
    username, password = texts["username"] or "", texts["password"] or ""
    if texts["auth"]:
        try:
            pair = base64.b64decode(texts["auth"], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise BadConfigFile(f"config.json: an 'auth' member is not base64 text: {error}") from error
        username, colon, password = pair.partition(":")
        if not colon:
            raise BadConfigFile("config.json: invalid auth configuration file")
        password = password.strip("\x00")
    token = texts["identitytoken"] or ""
    return Credential(username, password, token) if username or token else None


def _helper_for(document: dict[str, Any], key: str) -> str:
    helper = _object(document, "credHelpers").get(_host_of(key) if key == DOCKER_HUB_KEY else key)
    helper = helper or _object(document, "credHelpers").get(key) or document.get("credsStore") or ""
    # The name becomes a part of a program's name: with a slash it would be a path of somebody's choice.
    if not isinstance(helper, str) or "/" in helper or "\x00" in helper:
        raise BadConfigFile(f"config.json: invalid credential helper {helper!r}")
    return helper


def _ask_helper(helper: str, key: str) -> Credential | None:
    answer = _run_helper(helper, "get", key)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        username, secret = document["Username"], document["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HelperFailed(f"docker-credential-{helper}: unexpected answer to get: {error}") from error
    if not isinstance(username, str) or not isinstance(secret, str):
        raise HelperFailed(f"docker-credential-{helper}: unexpected answer to get")
    return Credential("", identity_token=secret) if username == TOKEN_USER else Credential(username, secret)


def _run_helper(helper: str, verb: str, text: str) -> str | None:
    """What the helper prints; ``None`` when it does not know the server."""
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, verb], input=text.encode(), capture_output=True, check=False)
    except OSError as error:
        raise HelperFailed(f"error getting credentials - err: exec: {program!r}: {error.strerror}") from error
    output = done.stdout.decode(errors="replace").strip()
    if done.returncode == 0:
        return output
    if _NOT_FOUND in output:
        return None
    words = printable(output or done.stderr.decode(errors="replace"))
    raise HelperFailed(f"error {verb}ing credentials - err: exit status {done.returncode}, out: `{words}`")
