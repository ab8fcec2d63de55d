"""Caption files beside a photo: which are its own, and which speaks first."""

import json

import pytest

from storage.sources.listing import Listing
from storage.sources.sidecars import Described, Sidecars, is_sidecar_name


def _sidecars(root, files: dict[str, str]) -> Sidecars:
    for name, text in {"a.jpg": "x", "b.png": "x"}.items() | files.items():
        (root / name).write_text(text)
    return Sidecars(str(root), Listing(str(root)).entries(""))


@pytest.mark.parametrize(
    ("name", "known"),
    [("a.txt", True), ("a.JSON", True), ("a.jpg.Caption", True), ("a.csv", False), ("txt", False)],
)
def test_caption_files_are_known_by_their_ending(name, known):
    assert is_sidecar_name(name) is known


ORDER = ["a.txt", "a.caption", "a.cap", "a.jpg.txt", "a.jpg.caption", "a.json", "a.jpg.json"]


@pytest.mark.parametrize("n_blank", range(len(ORDER)))
def test_the_first_that_is_not_blank_speaks(tmp_path, n_blank):
    """A08, A09, A16: in the order of the documentation."""
    texts = {name: "" if i < n_blank else f"of {name}" for i, name in enumerate(ORDER)}
    files = {n: json.dumps({"caption": t}) if "json" in n else t for n, t in texts.items()}
    sidecars = _sidecars(tmp_path, files)
    described = Described(caption="of a table", caption_from="metadata.csv")
    sidecars.describe(sidecars.of("a.jpg"), described)
    assert described.caption == f"of {ORDER[n_blank]}"
    assert ORDER[n_blank].removeprefix("a").removesuffix("n") in described.caption_from
    assert sidecars.of("b.png") == {}


def test_nothing_said_leaves_what_is_known(tmp_path):
    sidecars = _sidecars(tmp_path, {"a.txt": " ", "a.json": '{"by": "me"}', "b.txt": "b"})
    described = Described(caption="of a table", caption_from="metadata.csv")
    sidecars.describe(sidecars.of("a.jpg"), described)
    assert described.caption == "of a table"
    assert described.attributes == {"by": "me"}
