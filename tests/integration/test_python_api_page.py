"""The examples of ``docs/python-api.md`` do what the page says."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.registry import Registry

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "python-api.md"


@pytest.mark.root
@pytest.mark.registry
@pytest.mark.needs("crun")
def test_examples_of_the_page_work(registry: Callable[..., Registry], layered_archive: str, tmp_path: Path) -> None:
    names = {
        "root": str(tmp_path / "root"),
        "archive": layered_archive,
        "registry": registry().address,
        "folder": str(tmp_path),
    }
    # Each block on its own lines, everything else blanked, so that a failure names the page's line.
    text = _PAGE.read_text()
    blocks = [match.span(1) for match in re.finditer(r"^```pycon\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]
    kept = "".join(
        character if character == "\n" or any(start <= place < end for start, end in blocks) else ""
        for place, character in enumerate(text)
    )
    test = doctest.DocTestParser().get_doctest(kept, names, _PAGE.name, str(_PAGE), 0)
    said: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags).run(test, out=said.append, clear_globs=False)
    assert not said, "".join(said)
    test.globs["engine"].close()
    assert len(test.examples) > 10
