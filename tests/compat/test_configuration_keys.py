"""``daemon.json`` of an existing host is accepted as it stands."""

from __future__ import annotations

import re
import subprocess

import pytest

from lamina import configuration
from lamina.configuration import Configuration
from support.programs import DOCKERD

#: Flags that are no keys of the file.
_NO_KEYS = {"config-file", "help", "version", "validate"}
#: Flags whose key is not named as they are (and as they are in the plural when they can be repeated).
_OTHER_KEYS = {"add-runtime": "runtimes", "insecure-registry": "insecure-registries"}


@pytest.mark.dockerd
def test_every_flag_of_dockerd_is_a_key_that_is_known() -> None:
    text = subprocess.run([DOCKERD, "--help"], capture_output=True, text=True, check=True).stdout
    flags = re.findall(r"^ +(?:-\w, )?--([\w-]+)(?: (list|map|pool-options|ulimit|runtime))?", text, re.MULTILINE)
    assert len(flags) > 60
    unknown = []
    for flag, repeated in flags:
        key = _OTHER_KEYS.get(flag) or (f"{flag}s" if repeated and flag not in configuration.KEYS else flag)
        if flag not in _NO_KEYS and key not in configuration.KEYS:
            unknown.append(flag)
    assert unknown == []


def test_what_is_known_is_a_key_of_the_file() -> None:
    document = ", ".join(f'"{key}": null' for key in sorted(configuration.KEYS))
    assert Configuration.parse(f"{{{document}}}".encode()) == Configuration()
