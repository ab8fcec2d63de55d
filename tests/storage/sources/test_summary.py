"""What a listing came to, in words: numbers, examples, reasons with what would change them."""

from storage.sources.base import make_record
from storage.sources.summary import Counted, SourceSummary, shown_path

SUMMARY = SourceSummary(
    root="/photos",
    format="table",
    lists=("a.csv", "b.csv", "c.csv", "d.csv"),
    n_records=1200,
    captions={"column caption": 1000, "column text": 100},
    examples=(
        make_record(
            "a%20b.jpg",
            caption="two\nmen",
            attributes={},
            content_tag="",
            caption_from="column caption",
        ),
        make_record("c.jpg", caption=None, attributes={}, content_tag=""),
    ),
    n_used=4,
    left_out={
        "hidden": Counted(n=1, examples=(".x.jpg",)),
        "link_outside": Counted(n=3, examples=("l.jpg", "m.jpg")),
    },
)


def test_numbers_add_up() -> None:
    assert SUMMARY.n_captioned == 1100
    assert SUMMARY.n_left_out == 4
    assert SUMMARY.n_there == 1208


def test_lines_say_what_how_many_from_where_and_why_not() -> None:
    lines = list(SUMMARY.lines())
    assert lines[0] == "/photos: read as tables whose rows hold or name photos (--format table)"
    assert lines[1] == "  4 of them: a.csv, b.csv, c.csv and 1 more"
    assert "1,200, 100 of them without a caption" in lines[2]
    assert lines[3] == "captions: 1,000 from column caption, 100 from column text"
    assert lines[4:6] == ['  a b.jpg: "two men" (column caption)', "  c.jpg: no caption"]
    links, hidden = (line for line in lines if "such as" in line)
    assert "3 link_outside" in links
    assert "--follow-links" in links
    assert "l.jpg, m.jpg" in links
    assert "rename" in hidden
    assert lines[-1] == "sum: 1,200 records + 4 used + 4 left out = 1,208 there"


def test_many_places_of_captions_stay_on_one_line() -> None:
    captions = {"": 30, **{f"column c{i}": 20 - i for i in range(12)}}
    summary = SourceSummary(root="/p", format="table", n_records=200, n_used=1, captions=captions)
    (line,) = (line for line in summary.lines() if line.startswith("captions"))
    assert line.startswith("captions: 30 from its entry, 20 from column c0, ")
    assert line.endswith("14 from column c6 and 5 more places")


def test_a_name_stays_on_one_line_and_moves_no_cursor() -> None:
    assert shown_path("a%0Ab%1B%5B2J.jpg") == "a b?[2J.jpg"
    assert shown_path("caf%C3%A9%FF.jpg") == "café?.jpg"
    assert len(shown_path("x" * 500)) == 100
