"""The caption tokenizer made from scratch."""

from pathlib import Path

from demo.train.sd_tokenizer import write_tokenizer


def test_known_words_are_single_tokens_and_unknown_ones_fall_apart(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path, ["a woman jumping on a beach", "a man on a beach"])
    assert tokenizer.tokenize("a woman jumping") == ["a</w>", "woman</w>", "jumping</w>"]
    pieces = tokenizer.tokenize("a manhole")
    assert len(pieces) > 2
    assert "".join(pieces).replace("</w>", "") == "amanhole"


def test_layout_is_clips(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path, ["a dog"])
    ids = tokenizer("a dog", padding="max_length").input_ids
    assert len(ids) == 77
    assert ids[0] == tokenizer.bos_token_id
    assert set(ids[3:]) == {tokenizer.eos_token_id}
    assert max(ids) == len(tokenizer) - 1
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "a dog"


def test_same_captions_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tokenizer(tmp_path / name, ["two men dancing", "a cat"])
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
