"""Names of photos as other systems write them."""

import os
import pickle
import unicodedata

import fsspec
import pytest

from storage.sources.names import PhotoNames, SpellingIndex, plain_path

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def _names(root, *paths: str) -> PhotoNames:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return PhotoNames(str(root))


@pytest.mark.parametrize(
    ("there", "written"),
    [
        (f"{DECOMPOSED}.jpg", f"{COMPOSED}.jpg"),
        (f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg"),
        (f"{COMPOSED}/{DECOMPOSED}.jpg", f"{DECOMPOSED}/{COMPOSED}.jpg"),
        (f"{DECOMPOSED}/\uac00.jpg", f"{COMPOSED}\\{unicodedata.normalize('NFD', '가')}.jpg"),
        ("sub/a.jpg", "sub\\a.jpg"),
        ("sub/a.jpg", ".\\sub\\a.jpg"),
        ("sub/a.jpg", ".//sub\\\\a.jpg"),
        ("sub/a.jpg", "Sub/A.JPG"),
        ("a b.jpg", "a%20b.jpg"),
        ("a%20b.jpg", ".\\a%20b.jpg"),
    ],
)
def test_other_spellings_of_a_name(tmp_path, there, written):
    """A12, A15: Unicode forms, back-slashes, case, escapes; mixed in one path, too."""
    names = _names(tmp_path, there, "other.jpg")
    assert names.find(there) == there
    assert names.find(written) == there
    assert SpellingIndex([there, "other.jpg"]).find(written) == there


@pytest.mark.parametrize("name", ["gone.jpg", "../up.jpg", "..\\up.jpg", "/abs.jpg", "C:\\a.jpg",
                                  "%2e%2e/up.jpg", "n\0ul.jpg", "", ".", "x" * 5000])  # fmt: skip
def test_what_is_not_there_stays_as_written(tmp_path, name):
    (tmp_path / "up.jpg").write_bytes(b"x")
    names = _names(tmp_path / "root", "a.jpg")
    assert names.find(name) == name
    assert names.lookup(name) is None


def test_a_name_that_is_there_is_that_file(tmp_path):
    names = _names(tmp_path, f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg", "sub\\a.jpg", "sub/a.jpg")
    for name in (f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg", "sub\\a.jpg", "sub/a.jpg"):
        assert names.find(name) == name


def test_two_names_that_differ_in_case_are_not_guessed():
    index = SpellingIndex(["a.jpg", "A.jpg"])
    assert [index.find(name) for name in ("a.jpg", "A.jpg", "a.JPG")] == ["a.jpg", "A.jpg", None]


def test_names_that_are_not_utf_8(tmp_path):
    odd = os.fsdecode(b"latin\xe9.jpg")
    assert _names(tmp_path, odd).find(odd) == odd
    assert plain_path(odd) == odd


def test_object_stores_and_pickles(tmp_path):
    root = f"memory://names-{tmp_path.name}"
    with fsspec.open(f"{root}/sub/{DECOMPOSED}.jpg", "wb") as file:
        file.write(b"x")
    names = pickle.loads(pickle.dumps(PhotoNames(root)))
    assert names.find(f"sub\\{COMPOSED}.jpg") == f"sub/{DECOMPOSED}.jpg"
    assert names.find("gone.jpg") == "gone.jpg"
