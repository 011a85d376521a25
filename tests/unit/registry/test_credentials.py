from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from lamina.registry.credentials import BadConfigFile, Credential, DockerConfig, HelperFailed

_HELPER = """#!{python}
import json, os, sys
kept = os.path.join(os.path.dirname(__file__), "kept.json")
known = json.load(open(kept)) if os.path.exists(kept) else {{}}
verb, given = sys.argv[1], sys.stdin.read()
if verb == "store":
    known[json.loads(given)["ServerURL"]] = json.loads(given)
elif given not in known:
    sys.exit(print("credentials not found in native keychain") or 1)
elif verb == "get":
    print(json.dumps(known[given]))
elif verb == "erase":
    del known[given]
json.dump(known, open(kept, "w"))
"""


@pytest.fixture
def config(tmp_path: Path) -> DockerConfig:
    return DockerConfig(str(tmp_path / "docker"))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a credential helper on the path that keeps one credential."""
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / "docker-credential-test"
    program.write_text(_HELPER.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return "test"


def write(config: DockerConfig, document: object) -> None:
    os.makedirs(os.path.dirname(config.path), exist_ok=True)
    Path(config.path).write_text(json.dumps(document))


def test_an_absent_file_has_no_credentials(config: DockerConfig) -> None:
    assert config.get("registry.example") is None
    assert config.erase("registry.example") is False
    assert not os.path.exists(config.path)


def test_what_was_stored_is_read_and_the_file_is_docker_s(config: DockerConfig) -> None:
    assert config.store("registry.example:5000", Credential("me", "s:ecret")) == ""
    assert config.get("registry.example:5000") == Credential("me", "s:ecret")
    text = Path(config.path).read_text()
    assert text == '{\n\t"auths": {\n\t\t"registry.example:5000": {\n\t\t\t"auth": "bWU6czplY3JldA=="\n\t\t}\n\t}\n}'
    assert stat.S_IMODE(os.stat(config.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(config.path)).st_mode) == 0o700


def test_docker_hub_has_its_old_key(config: DockerConfig) -> None:
    config.store("docker.io", Credential("me", "secret"))
    assert list(json.loads(Path(config.path).read_text())["auths"]) == ["https://index.docker.io/v1/"]
    assert config.get("docker.io") == Credential("me", "secret")


def test_keys_that_nobody_knows_here_are_kept(config: DockerConfig) -> None:
    write(config, {"HttpHeaders": {"a": "b"}, "auths": {"other": {"auth": "YTpi", "email": "x"}}, "psFormat": "table"})
    config.store("registry.example", Credential("me", "secret"))
    config.erase("registry.example")
    kept = {"HttpHeaders": {"a": "b"}, "auths": {"other": {"auth": "YTpi", "email": "x"}}, "psFormat": "table"}
    assert json.loads(Path(config.path).read_text()) == kept


def test_an_identity_token_takes_the_password_s_place(config: DockerConfig) -> None:
    config.store("registry.example", Credential("me", identity_token="long"))
    entry = json.loads(Path(config.path).read_text())["auths"]["registry.example"]
    assert entry == {"auth": "bWU6", "identitytoken": "long"}
    assert config.get("registry.example") == Credential("me", "", "long")


@pytest.mark.parametrize("key", ["https://registry.example/v1/", "https://registry.example", "registry.example/v2/"])
def test_keys_of_older_clients_are_found_and_erased(config: DockerConfig, key: str) -> None:
    write(config, {"auths": {key: {"auth": "bWU6c2VjcmV0"}}})
    assert config.get("registry.example") == Credential("me", "secret")
    assert config.get("registry.example:5000") is None
    assert config.erase("registry.example") is True
    assert config.get("registry.example") is None


def test_a_link_to_the_file_stays_a_link(config: DockerConfig, tmp_path: Path) -> None:
    os.makedirs(os.path.dirname(config.path))
    os.symlink(tmp_path / "elsewhere.json", config.path)
    config.store("registry.example", Credential("me", "secret"))
    assert os.path.islink(config.path)
    assert "registry.example" in (tmp_path / "elsewhere.json").read_text()


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"auths": []},
        {"auths": {"registry.example": {"auth": "no base64!"}}},
        {"auths": {"registry.example": {"auth": "bWU="}}},
        {"auths": {"registry.example": {"auth": 1}}},
        {"credHelpers": {"registry.example": "../../evil"}},
        {"credsStore": "/bin/evil"},
    ],
)
def test_a_malformed_file_is_an_error_and_not_nobody(config: DockerConfig, document: object) -> None:
    write(config, document)
    with pytest.raises(BadConfigFile, match=r"config\.json"):
        config.get("registry.example")


def test_a_file_that_is_no_json_is_not_overwritten(config: DockerConfig) -> None:
    write(config, {})
    Path(config.path).write_text("{")
    with pytest.raises(BadConfigFile):
        config.store("registry.example", Credential("me", "secret"))
    assert Path(config.path).read_text() == "{"


@pytest.mark.parametrize("document", [{"credsStore": "test"}, {"credHelpers": {"registry.example": "test"}}])
def test_a_helper_keeps_reads_and_forgets(config: DockerConfig, helper: str, document: dict[str, object]) -> None:
    write(config, document)
    assert config.get("registry.example") is None
    assert config.store("registry.example", Credential("me", "secret")) == helper
    assert config.get("registry.example") == Credential("me", "secret")
    assert json.loads(Path(config.path).read_text()) == {**document, "auths": {"registry.example": {}}}
    assert config.erase("registry.example") is True
    assert config.get("registry.example") is None


def test_a_helper_s_identity_token_is_known_by_its_user(config: DockerConfig, helper: str) -> None:
    write(config, {"credsStore": helper})
    config.store("registry.example", Credential("me", identity_token="long"))
    assert config.get("registry.example") == Credential("", identity_token="long")


def test_a_helper_for_another_registry_is_not_asked(config: DockerConfig) -> None:
    write(config, {"credHelpers": {"other.example": "missing"}, "auths": {"registry.example": {"auth": "YTpi"}}})
    assert config.get("registry.example") == Credential("a", "b")


def test_a_missing_helper_is_named(config: DockerConfig) -> None:
    write(config, {"credsStore": "surely-missing"})
    with pytest.raises(HelperFailed, match="docker-credential-surely-missing"):
        config.get("registry.example")
