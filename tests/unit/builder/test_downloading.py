"""Names, checksums and proxies of downloads."""

from __future__ import annotations

import pytest

from lamina.builder.downloading import checked_checksum, file_name, settings_with
from lamina.errors import InvalidArgument
from lamina.registry.settings import Proxies, Settings


@pytest.mark.parametrize(
    ("url", "disposition", "name"),
    [
        ("http://h/a/b.txt", "", "b.txt"),
        ("http://h/b.txt?x=/y", 'attachment; filename="other"', "b.txt"),
        ("http://h/a%20b", "", "a b"),
        ("http://h/a%2Fb", "", "b"),
        ("http://h/", 'attachment; filename="x.tar"', "x.tar"),
        ("http://h", "attachment; filename=/etc/x", "x"),
        ("http://h/", 'attachment; filename="x/"', ""),
        ("http://h/", "", ""),
        ("http://h/..", "", ""),
        ("http://h/%2e%2e", "", ""),
        ("http://h/a%00b", "", ""),
        ("http://h/" + "x" * 300, "", ""),
        ("http://h/", "attachment; filename=x\r\nEvil", "xEvil"),
    ],
)
def test_a_download_is_named_by_its_url_or_its_server(url: str, disposition: str, name: str) -> None:
    assert file_name(url, disposition) == name


def test_a_checksum_is_sha256_in_hex() -> None:
    assert checked_checksum("sha256:" + "0a" * 32) == "0a" * 32
    assert checked_checksum("") == ""
    for text in ("sha512:" + "0" * 128, "sha256:" + "0A" * 32, "sha256:0", "0" * 64):
        with pytest.raises(InvalidArgument):
            checked_checksum(text)


def test_proxies_of_build_arguments_come_before_the_configurations() -> None:
    settings = Settings(proxies=Proxies("http://a", "http://b", ("x",)))
    assert settings_with(settings, {"OTHER": "1"}).proxies == settings.proxies
    assert settings_with(settings, {"HTTP_PROXY": "http://c"}).proxies == Proxies("http://c", "http://b", ("x",))
    assert settings_with(settings, {"all_proxy": "http://c", "no_proxy": "y, z"}).proxies == Proxies(
        "http://c", "http://c", ("y", "z")
    )
