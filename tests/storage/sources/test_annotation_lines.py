"""Captions of many photos in one text file."""

import pytest

from storage.sources import resolve_source
from storage.sources.base import CAPTION_FILE, LeftOut

TOKEN = "a.jpg#0\ta man runs\na.jpg#1\ta runner\nb.jpg#0\ta dog, brown\n"
LINES = ["a.jpg{}a man runs", "b.jpg{}a dog, brown"]


@pytest.mark.parametrize(
    ("name", "text", "others"),
    [
        ("results_20130124.token", TOKEN, ["a runner"]),
        ("Flickr8k.token.txt", TOKEN, ["a runner"]),
        ("captions.txt", "image,caption\na.jpg,a man runs\na.jpg,a runner\nb.jpg,a dog, brown\n",
         ["a runner"]),
        ("captions.txt", "image_name| comment_number| comment\na.jpg| 0| a man runs\n"
         "b.jpg| 0| a dog, brown\n", None),
        *(("list.txt", "\n".join(LINES).format(sep, sep), None)
          for sep in ("\t", ",", ", ", "|", " | ", ": ", " ", ";", " - ", "=")),
        ("list.txt", "a.jpg\ta man runs\r\n\r\nb.jpg\ta dog, brown\r\n", None),
        ("list.txt", "a man runs\ta.jpg\na dog, brown\tb.jpg\n", None),
        ("list.txt", '"a.jpg","a man runs"\n"b.jpg","a dog, brown"\n', None),
        ("list.txt", "./a.jpg a man runs\nA.JPG another\nb.jpg a dog, brown\n", ["another"]),
        ("list.lst", "\ufeffa.jpg a man runs\nb.jpg a dog, brown\n", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("photos", ["", "Images", "flickr30k_images/flickr30k_images"])
def test_a_line_for_each_photo(tmp_path, jpeg, name, text, others, photos):
    root = tmp_path / "s"
    (root / photos).mkdir(parents=True)
    for n, photo in enumerate("ab"):
        (root / photos / f"{photo}.jpg").write_bytes(jpeg(n))
    (root / name).write_text(text)
    for place in (root, root / name):
        source = resolve_source(str(place))
        records = list(source.records())
        assert source.format == "coco"
        assert [record.caption for record in records] == ["a man runs", "a dog, brown"]
        assert records[0].attributes.get("other_captions") == others
        assert [data for _, data in source.read(records)] == [jpeg(0), jpeg(1)]
        assert "its lines" in records[0].caption_from or "column" in records[0].caption_from


def test_a_broken_line_costs_itself_and_the_photos_of_none_are_told(tmp_path, jpeg):
    (tmp_path / "s").mkdir()
    for name in "ac":
        (tmp_path / f"s/{name}.jpg").write_bytes(jpeg())
    lines = [*(f"a.jpg#{n}\ta man {n}" for n in range(8)), "???", "gone.jpg#0\ta cat"]
    (tmp_path / "s/results.token").write_text("\n".join(lines))
    left: list[LeftOut] = []
    records = list(resolve_source(str(tmp_path / "s")).records(left_out=left.append))
    assert [record.uri for record in records] == ["a.jpg", "gone.jpg"]
    assert [(thing.uri, thing.reason) for thing in left] == [("results.token?row=8", "broken_row")]


@pytest.mark.parametrize(
    "text",
    [
        "a man runs\na dog\n",  # prompts: whose, nobody knows
        "a.jpg\nb.jpg\n",  # a split's list
        "a.jpg 0\nb.jpg 1\n",  # classes
        "a.jpg masks/a.png\nb.jpg masks/b.png\n",  # pairs of pictures
        "https://x.y/a.jpg\ta man\n",
        "",
        "epoch,loss\n1,2\n",
    ],
)
def test_other_text_files_are_none(tmp_path, jpeg, text):
    (tmp_path / "s").mkdir()
    for name in "ab":
        (tmp_path / f"s/{name}.jpg").write_bytes(jpeg())
    (tmp_path / "s/captions.txt").write_text(text)
    left: list[LeftOut] = []
    source = resolve_source(str(tmp_path / "s"))
    records = list(source.records(left_out=left.append))
    assert source.format == "folder"
    assert [record.caption for record in records] == [None, None]
    assert [thing.reason for thing in left] != [CAPTION_FILE]
