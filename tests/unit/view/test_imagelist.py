"""Which images a list shows, without a data root (``tests/compat`` asks dockerd the same)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import pytest

from lamina.digest import Digest, ImageID
from lamina.errors import NotFound
from lamina.image.contract import Image, ImageSummary
from lamina.oci import image as configurations
from lamina.oci import timestamp
from lamina.oci.pattern import BadPattern
from lamina.reference import Reference, parse, parse_tagged
from lamina.view.imagelist import InvalidFilter, summaries

DIGEST = "sha256:" + "ab" * 32


class References:
    """Names in a dictionary."""

    def __init__(self) -> None:
        self.names: dict[Reference, ImageID] = {}

    def get(self, reference: Reference) -> ImageID:
        return self.names[reference]

    def add(self, reference: Reference, id: ImageID) -> ImageID | None:
        self.names[reference] = id
        return None

    def add_all(self, references: Sequence[Reference], id: ImageID) -> list[ImageID | None]:
        return [self.add(reference, id) for reference in references]

    def remove(self, reference: Reference) -> bool:
        return self.names.pop(reference, None) is not None

    def of(self, id: ImageID) -> list[Reference]:
        return sorted((name for name, other in self.names.items() if other == id), key=str)

    def all(self) -> dict[Reference, ImageID]:
        return dict(self.names)

    def by_image(self) -> dict[str, list[str]]:
        return {id: [name.familiar for name in self.of(id)] for id in self.names.values()}


class Images:
    """An image store in memory."""

    def __init__(self) -> None:
        self.references = References()
        self.images: dict[ImageID, Image] = {}

    def make(self, created: str, *names: str, parent: ImageID | None = None, **config: object) -> ImageID:
        document = {"created": created, "rootfs": {"type": "layers", "diff_ids": []}, "config": config}
        parsed = configurations.parse(json.dumps(document).encode())
        self.images[parsed.id] = Image(parsed.id, parsed, parent)
        for name in names:
            reference = parse(name) if "@" in name else parse_tagged(name)
            self.references.add(reference, parsed.id)
        return parsed.id

    def get(self, id: ImageID) -> Image:
        return self.images[id]

    def ids(self) -> list[ImageID]:
        return list(self.images)

    def all(self) -> Iterator[Image]:
        return iter(self.images.values())

    def summaries(self) -> list[ImageSummary]:
        return [
            ImageSummary(
                image.id, timestamp.or_zero(image.config.created), self.size(image), image.config.config.get("Labels")
            )
            for image in self.images.values()
        ]

    def parents(self) -> dict[ImageID, ImageID]:
        return {image.id: image.parent for image in self.images.values() if image.parent is not None}

    def create(self, raw: bytes, *, parent: ImageID | None = None) -> Image:
        raise AssertionError("a list creates nothing")

    def delete(self, id: ImageID) -> None:
        raise AssertionError("a list deletes nothing")

    def children(self, id: ImageID) -> list[ImageID]:
        return [image.id for image in self.images.values() if image.parent == id]

    def resolve(self, text: str) -> Image:
        return self.resolve_name(text)[0]

    def resolve_name(self, text: str) -> tuple[Image, Reference | None]:
        reference = parse_tagged(text)
        if reference not in self.references.names:
            raise NotFound(f"No such image: {reference.familiar}")
        return self.images[self.references.names[reference]], reference

    def size(self, image: Image) -> int:
        return 7

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()

    def digests(self, id: ImageID) -> list[tuple[str, Digest]]:
        return []


@pytest.fixture
def images() -> Images:
    store = Images()
    base = store.make("2020-01-01T00:00:00Z", Labels={"kind": "parent"})
    store.make("2020-01-02T00:00:00Z", "child:1", "other/child:2", parent=base, Labels={"kind": "child", "x": "1"})
    store.make("2020-01-03T00:00:00Z", Labels=None)
    store.make("2020-01-04T00:00:00Z", f"pinned@{DIGEST}")
    return store


def names(images: Images, all: bool = False, **filters: list[str]) -> list[str]:
    found = summaries(images, filters, all=all)
    return [(document["RepoTags"] or document["RepoDigests"])[0] for document in found]


def test_images_come_newest_first_without_parents(images: Images) -> None:
    assert names(images) == [f"pinned@{DIGEST}", "<none>:<none>", "child:1"]


def test_all_shows_parents_too(images: Images) -> None:
    assert names(images, all=True) == [f"pinned@{DIGEST}", "<none>:<none>", "child:1", "<none>:<none>"]


def test_a_row_is_dockers_document(images: Images) -> None:
    document = summaries(images, {})[2]
    assert list(document) == sorted(document)
    assert document == {
        "Containers": -1,
        "Created": 1577923200,
        "Id": images.references.get(parse("child:1")),
        "Labels": {"kind": "child", "x": "1"},
        "ParentId": images.ids()[0],
        "RepoDigests": None,
        "RepoTags": ["child:1", "other/child:2"],
        "SharedSize": -1,
        "Size": 7,
        "VirtualSize": 7,
    }


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"dangling": ["true"]}, [f"pinned@{DIGEST}", "<none>:<none>"]),
        ({"dangling": ["1", "false"]}, [f"pinned@{DIGEST}", "<none>:<none>"]),
        ({"dangling": ["false"]}, [f"pinned@{DIGEST}", "child:1"]),
        ({"label": ["kind"]}, ["child:1"]),
        ({"label": ["kind=child", "x=1"]}, ["child:1"]),
        ({"label": ["kind=child", "x=2"]}, []),
        ({"reference": ["other/*"]}, ["other/child:2"]),
        ({"reference": ["*:1", "pinned"]}, [f"pinned@{DIGEST}", "child:1"]),
        ({"reference": ["nothing"]}, []),
        ({"before": ["child:1"]}, []),
        ({"since": ["child:1"]}, [f"pinned@{DIGEST}", "<none>:<none>"]),
    ],
)
def test_filters_choose(images: Images, filters: dict[str, list[str]], expected: list[str]) -> None:
    assert names(images, **filters) == expected


def test_before_leaves_parents_out_unless_all_are_asked_for(images: Images) -> None:
    assert names(images, all=True, before=["child:1"]) == ["<none>:<none>"]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"dangling": ["maybe"]}, "Invalid filter 'dangling=[maybe]'"),
        ({"until": ["1h"]}, "Invalid filter 'until'"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(images: Images, filters: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        summaries(images, filters)
    assert str(caught.value) == message


def test_a_malformed_pattern_is_refused(images: Images) -> None:
    with pytest.raises(BadPattern, match="syntax error in pattern"):
        summaries(images, {"reference": ["["]})


def test_a_moment_must_be_an_image(images: Images) -> None:
    with pytest.raises(NotFound, match="No such image: nope:latest"):
        summaries(images, {"since": ["nope"]})
