"""Which members of a tar are one sample: dots, compound names, order (case A13)."""

import pytest

from storage.sources.tar_samples import group_members

PLAIN = ["a.jpg", "a.txt", "b.jpg", "b.txt"]


def _found(*names: str) -> list[tuple[str, list[str], list[str]]]:
    return [
        (sample.name, [names[i] for i in sample.sidecars], [names[i] for i in sample.others])
        for sample in group_members(names)
    ]


@pytest.mark.parametrize(
    "stems",
    [
        ("IMG.2024.05.01_1", "IMG.2024.05.01_2"),
        ("22.05", "22.06", "22"),
        ("v1.0/a.b.c", "v1.0/a.b.d", "v1.0/a.b.c.e"),
        ("235342 Track 2.0 (Clean)", "235342 Track 2.1 (Clean)"),
        ("Mr. Smith runs", "Mr. Smith sits"),
    ],
)
@pytest.mark.parametrize("sidecar", [".txt", ".json", ".caption", ".jpg.txt", ".JPG.JSON"])
def test_a13_dots_in_names_part_no_photo_from_its_caption(stems, sidecar):
    image = ".JPG" if sidecar.startswith(".JPG") else ".jpg"
    names = [name for stem in stems for name in (stem + image, stem + sidecar)]
    assert _found(*names) == [(stem + image, [stem + sidecar], []) for stem in stems]


@pytest.mark.parametrize(
    ("names", "photo", "sidecars", "others"),
    [
        (["0.input.jpg", "0.outputs.txt"], "0.input.jpg", ["0.outputs.txt"], []),  # open_clip 480
        (["0.target.jpg", "0.input.jpg", "0.txt"], "0.input.jpg", ["0.txt"], ["0.target.jpg"]),
        (["0.left.png", "0.right.png", "0.json"], "0.left.png", ["0.json"], ["0.right.png"]),
        (["0.mask.png", "0.jpg", "0.txt"], "0.jpg", ["0.txt"], ["0.mask.png"]),
        (["0.depth.png", "0.image.png", "0.caption.txt"], "0.image.png", ["0.caption.txt"],
         ["0.depth.png"]),
        (["0.jpg", "0.tags.txt", "0.caption.txt", "0.json"], "0.jpg",
         ["0.caption.txt", "0.json", "0.tags.txt"], []),
        (["0.jpg", "0.cls", "0.prompt"], "0.jpg", ["0.prompt"], ["0.cls"]),
        (["0.img", "0.cap"], "0.img", ["0.cap"], []),  # DALL-E's tars
        (["k.jpg", "k.txt", "k.json", "k.mask.png", "k.pose.png"], "k.jpg", ["k.txt", "k.json"],
         ["k.mask.png", "k.pose.png"]),  # ours
        (["a.1.jpg", "a.1.txt", "a.1.mask.png"], "a.1.jpg", ["a.1.txt"], ["a.1.mask.png"]),
        (["c.mask.png"], "c", [], ["c.mask.png"]),
        (["c.json"], "c", ["c.json"], []),
    ],
)  # fmt: skip
def test_a13_compound_names_are_parts_of_one_sample(names, photo, sidecars, others):
    assert _found(*names) == [(photo, sidecars, others)]


@pytest.mark.parametrize("order", [PLAIN, sorted(PLAIN, key=lambda n: n[2:]), PLAIN[::-1]])
def test_members_may_stand_in_any_order(order):
    found = {name: sidecars for name, sidecars, _ in _found(*order)}
    assert found == {"a.jpg": ["a.txt"], "b.jpg": ["b.txt"]}


def test_a_name_that_comes_again_is_a_sample_of_its_own():
    assert _found("a.jpg", "a.txt", "a.jpg", "b.jpg", "a.txt") == [
        ("a.jpg", ["a.txt"], []),
        ("a.jpg", ["a.txt"], []),
        ("b.jpg", [], []),
    ]


def test_photos_without_captions_whose_names_have_dots_are_apart():
    assert [name for name, _, _ in _found("a.1.jpg", "a.2.jpg", "a.3.jpg")] == [
        "a.1.jpg", "a.2.jpg", "a.3.jpg",
    ]  # fmt: skip


def test_unicode_forms_of_one_name_are_one_sample():
    assert _found("cafe\u0301.jpg", "caf\u00e9.txt") == [("cafe\u0301.jpg", ["caf\u00e9.txt"], [])]
    assert _found("cafe\u0301.json") == [("cafe\u0301", ["cafe\u0301.json"], [])]


def test_what_is_no_part_of_a_sample_is_in_none():
    assert _found("README.md", "LICENSE", "x/._a.jpg", ".DS_Store", "model.bin") == []
