"""One table of caption names, shapes and encodings for every format."""

import codecs

import pytest

from storage.sources.captions import (
    CAPTION_FIELDS,
    WRONG_BYTES,
    caption_fields,
    caption_texts,
    decode_text,
    split_caption,
    text_encoding,
)

WESTERN = "Une femme âgée court \u2013 « vite »"
LANGUAGES = (
    "a woman runs", WESTERN, "женщина бежит быстро", "γυναίκα τρέχει", "امرأة تركض", "אישה רצה",
    "महिला दौड़ती है", "女人在跑步。", "男の人が走る", "여자가 달린다", "😀 runs",
)  # fmt: skip


@pytest.mark.parametrize("name", CAPTION_FIELDS)
def test_names_of_caption_fields_in_any_case(name):
    """A03: every name of the table, as people spell it."""
    spellings = (name, name.upper(), name.title(), name.replace("_", " "), name.replace("_", "-"))
    for spelled in (*spellings, f"{name}_0"):
        assert split_caption({"id": 1, spelled: "a man runs"}) == ("a man runs", {"id": 1})


def test_what_is_no_caption_field_stays_an_attribute():
    assert caption_fields(["id", "context", "texture", "other_captions", "subtext", "url"]) == []
    assert caption_fields(["prompt", "Text", "CAPTION"]) == ["CAPTION", "Text", "prompt"]


def test_captions_by_whomever_come_after_the_known_ones():
    names = ["qwen2_caption", "caption_by", "Human Captions", "other_captions", "negative_caption",
             "has_caption", "n_captions", "alt", "caption_lang"]  # fmt: skip
    assert caption_fields(names) == ["alt", "qwen2_caption", "Human Captions"]


@pytest.mark.parametrize(
    ("fields", "caption", "rest"),
    [
        ({"caption": "a", "text": "b", "id": 1}, "a", {"id": 1}),
        ({"caption": "a", "prompt": "b"}, "a", {"prompt": "b"}),
        ({"text": "b", "caption": None}, "b", {}),
        ({"caption": " ", "TEXT": "b"}, "b", {}),
        ({"caption": [3, "x", "y"]}, "x", {"other_captions": ["y"]}),
        ({"caption": ["", "x", "y"]}, "x", {"other_captions": ["y"]}),
        ({"captions": ("x", "y")}, "x", {"other_captions": ["y"]}),
        ({"caption": [], "text": ["only"]}, "only", {}),
        ({"caption": 5, "id": 1}, None, {"id": 1}),
        ({"caption": "", "id": 1}, "", {"id": 1}),
        ({"sentences": [{"raw": "x", "tokens": ["x"]}, {"raw": "y"}]}, "x",
         {"other_captions": ["y"]}),
        ({"caption": {"text": "x"}}, "x", {}),
        ({"raw": '["x", "y"]'}, "x", {"other_captions": ["y"]}),
        ({"raw": "['x', \"y's\"]"}, "x", {"other_captions": ["y's"]}),
        ({"text": "[a man] runs"}, "[a man] runs", {}),
        ({"text": '["a man", 3]'}, '["a man", 3]', {}),
        ({"caption": "женщина".encode("utf-16")}, "женщина", {}),
    ],
)  # fmt: skip
def test_the_first_text_is_the_caption(fields, caption, rest):
    """A01: lists of captions, and how tables hold them."""
    assert split_caption(fields) == (caption, rest)


def test_deep_lists_end():
    deep: object = "a man"
    for _ in range(1000):
        deep = [deep]
    assert caption_texts(deep) == []
    assert caption_texts("[" * 500 + chr(34) + "]" * 500) != []


@pytest.mark.parametrize("text", LANGUAGES)
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "marked-be"]
)
def test_unicode_encodings(text, encoding):
    """A04: with and without a mark."""
    if encoding == "marked-be":
        data = codecs.BOM_UTF16_BE + text.encode("utf-16-be")
    else:
        data = text.encode(encoding)
    if encoding == "utf-16-be" and text in LANGUAGES[7:10]:
        assert decode_text(data) == text or WRONG_BYTES in decode_text(data)
        return
    assert decode_text(data) == text


@pytest.mark.parametrize(
    "text",
    [
        WESTERN,
        "un garçon court",
        "été",
        "Mädchen läuft über Straße",
        "it\u2019s a \u201cman\u201d\u2026",
        "€ 5",
    ],
)
def test_the_windows_code_page(text):
    """A04: cp1252, of which latin-1 is a part but for signs."""
    assert decode_text(text.encode("cp1252")) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("женщина бежит по улице", "cp1251"),
        ("женщина бежит", "koi8-r"),
        ("γυναίκα τρέχει", "cp1253"),
        ("mężczyzna biegnie", "cp1250"),
        ("男の人が走る", "shift-jis"),
        ("一个人在跑步", "gbk"),
        ("一個人在跑步", "big5"),
        ("여자가 달린다", "euc-kr"),
        ("امرأة تركض", "cp1256"),
    ],
)
def test_other_code_pages_are_not_guessed(text, encoding):
    """A04: what cannot be decoded carries the sign that the gate refuses."""
    assert WRONG_BYTES in decode_text(text.encode(encoding))


@pytest.mark.parametrize(
    "data",
    [
        "a man".encode("utf-16") + b"x",
        codecs.BOM_UTF8 + b"\xff\xfe a man",
        bytes(range(128, 256)),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xd8",
    ],
)
def test_damaged_text_carries_the_sign(data):
    assert WRONG_BYTES in decode_text(data)


@pytest.mark.parametrize(
    "data", [b"", b"\n\n\n\n", b"a\nb\nc\nd\n", b"1\t2\t3\t4\t", b"a man\x00 runs", b"\0\0\0\1"]
)
def test_plain_bytes_are_never_taken_for_utf_16(data):
    assert decode_text(data) == data.decode()


def test_large_files_show_their_encoding_at_the_beginning():
    assert text_encoding("a;b\n".encode("utf-16")) == "utf-16"
    assert text_encoding("a;b\n".encode("utf-16-le") + b"c") == "utf-16-le"
    assert text_encoding(codecs.BOM_UTF8 + b"a;b\n") == "utf-8-sig"
    assert text_encoding("é;b\n".encode()) is None
