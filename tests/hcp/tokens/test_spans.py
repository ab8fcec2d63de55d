"""The human token extractor on its labelled captions, on traps, and on tokenizers."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, PreTrainedTokenizer, PreTrainedTokenizerFast

from hcp.tokens import human_mask_of_ids, human_spans, human_token_kinds, human_token_mask

LABELLED = Path(__file__).parents[2] / "data" / "human_spans.jsonl"
MARK = re.compile(r"\[([^\]|]*)\|([pab])\]")
KINDS = {"p": "person", "a": "action", "b": "body"}

PEOPLE = [
    "a [woman|p] in a red shirt [jumping|a] on a beach",
    "two [men|p] [dancing|a] on a stage",
    "a [man|p] doing [yoga|a] in a park",
    "a [man|p] [playing|a] [tennis|a]",
    "a tennis [player|p] [hitting|a] a ball",
    "a [running|a] [man|p]",
    "a [group|p] of [people|p] [riding|a] bikes",
    "a couple of [kids|p] [sitting|a] on a bench",
    "the [team|p] [celebrates|a] after the [game|a]",
    "a [girl|p] getting ready to [jump|a]",
    "a [man|p] trying to [catch|a] a ball",
    "a [woman|p] has a red umbrella",
    "a [man|p] [sitting|a] and [eating|a] a sandwich",
    "a [woman|p] who is [wearing|a] a hat is [singing|a]",
    "a [woman|p] in black is [jumping|a] in the air",
    "he [runs|a]",
    "someone [skiing|a]",
    "[women|p] [talk|a] while [men|p] [cook|a]",
    "a photo of a [soldier|p] [running|a] through the forest",
    "an oil painting of a [woman|p] [dancing|a]",
    "concept art of a [knight|p], trending on artstation",
    "a [person|p] snow [boarding|a] down a hill",
    "the [man|p] is cross country [skiing|a]",
    "a young [male|p] [boarding|a] a bus at a bus stop",
    "a [couple|p] [standing|a] outside of a restaurant",
    "a seaplane parked near the shore as a [man|p] [approaches|a]",
    "a laptop with two [hands|b] [holding|a] a cable",
    "a bus full of [tourists|p] drives by",
    "a selfie of two [girls|p]",
    "a [crowd|p] of fans [cheering|a] at a concert",
    "full body shot of a [man|p] [jumping|a]",
    "a [person|p] with one [arm|b] raised",
    "three [people|p] on the grass, two [wearing|a] hats",
    "a [man|p] [painting|a] a wall",
]
BODIES = [
    "a [man|p]'s [hand|b] [holding|a] a phone",
    "[hands|b] [holding|a] a slice of pizza",
    "a [person|p] with long [hair|b]",
    "a cat sitting on a [woman|p]'s [lap|b]",
    "a bird standing on a [person|p]'s [head|b]",
]
DOERS = [
    "a [woman|p] being pulled by a dog",
    "a dog being [walked|a] by a [man|p]",
    "a bike being [ridden|a] by a [man|p]",
    "a horse standing in a field next to a [man|p]",
    "a [man|p] [standing|a] next to a train traveling down the tracks",
    "a [man|p] and a dog [running|a] on the beach",
    "a [man|p] whose dog is running",
    "a [woman|p] on a horse [smiling|a]",
    "a dog sleeping next to a [man|p] [reading|a] a book",
    "a car [driven|a] by a [woman|p]",
    "a table surrounded by [people|p]",
]
TRAPS = [
    "",
    "a blue car in front of a house",
    "a dog on a beach",
    "a dog running on the beach",
    "parked cars along a street",
    "a statue of a man riding a horse",
    "a room with a painting of a woman dancing",
    "a painting of a woman hanging on the wall",
    "a family of bears swimming in a lake",
    "a snow boarding jacket",
    "a clock with hands showing noon",
    "a bear dressed up as a man",
    "a sign showing a man walking",
    "a framed picture of a man hanging on a wall",
    "a toy soldier",
    "running water in a sink",
    "a standing lamp in a living room",
    "a man-made lake",
    "a hot dog with mustard",
    "a walking stick leaning on a door",
    "a baby elephant walking with its mother",
    "a family of bears in a river",
    "a snowman wearing a hat",
    "a mannequin in a store window",
    "a teddy bear wearing a hat",
    "a clock with hands",
    "the hands of a clock",
    "a clock face on a tower",
    "an arm chair next to a bed",
    "a pair of running shoes on the floor",
    "a child's toy on the floor",
    "a passenger train at a pedestrian crossing",
    "a table with four legs",
    "a dog with a ball in its mouth",
    "an empty street without people",
    "the back of a truck",
]


def unmark(marked: str) -> tuple[str, list[tuple[str, str]]]:
    words = [(word, KINDS[kind]) for word, kind in MARK.findall(marked)]
    return MARK.sub(r"\1", marked), words


@pytest.mark.parametrize("marked", PEOPLE + BODIES + DOERS + TRAPS)
def test_marks_the_human_words_and_no_others(marked: str) -> None:
    caption, expected = unmark(marked)
    assert [(span.text, span.kind) for span in human_spans(caption)] == expected


@pytest.mark.parametrize(
    "caption",
    [
        "A WOMAN DOING YOGA",
        "A man\u2019s hand, two  women;  (dancing)",
        "\u0130stanbul: a caf\u00e9 where people talk \U0001f600",
        "  a man walks\n\ta dog  ",
    ],
)
def test_spans_point_into_the_caption_in_text_order(caption: str) -> None:
    spans = human_spans(caption)
    assert spans
    assert [caption[span.start : span.end] for span in spans] == [span.text for span in spans]
    assert all(left.end <= right.start for left, right in pairwise(spans))


def labelled(split: str) -> Iterator[tuple[str, set[tuple[int, int]]]]:
    for line in LABELLED.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["split"] == split:
            yield row["caption"], {(span["start"], span["end"]) for span in row["spans"]}


@pytest.mark.parametrize(
    ("split", "at_least", "captions"), [("dev", 0.98, 300), ("test", 0.95, 450)]
)
def test_precision_and_recall_on_labelled_captions(
    split: str, at_least: float, captions: int
) -> None:
    hits = marked = expected = seen = 0
    for caption, gold in labelled(split):
        found = {(span.start, span.end) for span in human_spans(caption)}
        hits += len(found & gold)
        marked += len(found)
        expected += len(gold)
        seen += 1
    assert seen >= captions
    assert hits / marked >= at_least
    assert hits / expected >= at_least


def test_mask_covers_every_sub_word_and_no_special_token(tiny_tokenizer: CLIPTokenizer) -> None:
    caption = "a Woman doing yoga, hands"
    mask = human_token_mask(tiny_tokenizer, [caption, "a dog"])
    assert mask.dtype == torch.bool
    assert mask.shape == (2, tiny_tokenizer.model_max_length)
    assert not mask[1].any()
    ids = tiny_tokenizer(caption, padding="max_length", truncation=True)["input_ids"]
    tokens = tiny_tokenizer.convert_ids_to_tokens(ids)
    marked = [token for token, human in zip(tokens, mask[0], strict=True) if human]
    assert "".join(marked).replace("</w>", " ") == "woman yoga hands "


def test_kinds_of_tokens_and_selection_by_kind(tiny_tokenizer: CLIPTokenizer) -> None:
    captions = ["a woman jumping", "yoga in the park"]
    kinds = human_token_kinds(tiny_tokenizer, captions)
    assert kinds[0, :5].tolist() == [0, 0, 1, 2, 0]
    action = human_token_mask(tiny_tokenizer, captions, kinds=("action",))
    assert torch.equal(action, kinds == 2)
    assert not human_token_mask(tiny_tokenizer, captions, kinds=()).any()
    assert torch.equal(human_token_mask(tiny_tokenizer, captions), kinds > 0)


def test_words_cut_off_by_truncation_are_absent(tiny_tokenizer: CLIPTokenizer) -> None:
    length = tiny_tokenizer.model_max_length
    caption = "red " * (length - 3) + "woman jumping"
    mask = human_token_mask(tiny_tokenizer, [caption])[0]
    assert mask.nonzero().flatten().tolist() == [length - 2]  # "woman"; then the end token


@pytest.mark.parametrize("caption", ["a woman doing yoga", "a dog", "", "a man's dog, running"])
def test_ids_give_the_mask_of_their_caption(caption: str, tiny_tokenizer: CLIPTokenizer) -> None:
    ids = tiny_tokenizer(caption, padding="max_length", truncation=True)["input_ids"]
    expected = human_token_mask(tiny_tokenizer, [caption])
    assert torch.equal(human_mask_of_ids(tiny_tokenizer, [ids]), expected)
    assert torch.equal(human_mask_of_ids(tiny_tokenizer, torch.tensor([ids])), expected)


def test_ids_of_several_windows_read_on_as_one_text(tiny_tokenizer: CLIPTokenizer) -> None:
    words = tiny_tokenizer("a man in the park and a woman jumping", add_special_tokens=False)
    first, last = tiny_tokenizer.bos_token_id, tiny_tokenizer.eos_token_id
    ids: list[int] = words["input_ids"]
    rows = [[first, *ids[:split], last, last, first, *ids[split:], last] for split in (2, 7, 8)]
    masks = human_mask_of_ids(tiny_tokenizer, [*rows, rows[0][:4]], length=20)
    assert masks.shape == (4, 20)
    for row, mask in zip(rows, masks, strict=False):
        marked = [token for token, yes in zip(row, mask.tolist(), strict=False) if yes]
        pieces = tiny_tokenizer.convert_ids_to_tokens(marked)
        assert pieces == ["man</w>", "woman</w>", "jumping</w>"]
    with pytest.raises(ValueError, match="length is 5, but a row has"):
        human_mask_of_ids(tiny_tokenizer, rows, length=5)


def test_no_captions(tiny_tokenizer: CLIPTokenizer) -> None:
    assert human_token_mask(tiny_tokenizer, []).shape == (0, tiny_tokenizer.model_max_length)


def test_wrong_arguments_are_refused(tiny_tokenizer: CLIPTokenizer, tokenizer_dir: Path) -> None:
    with pytest.raises(ValueError, match="kinds must be among"):
        human_token_mask(tiny_tokenizer, ["a man"], kinds=("animal",))  # pyright: ignore[reportArgumentType]  # the point of the test
    endless = CLIPTokenizer(str(tokenizer_dir / "vocab.json"), str(tokenizer_dir / "merges.txt"))
    endless.model_max_length = 10**30
    with pytest.raises(ValueError, match="model_max_length"):
        human_token_mask(endless, ["a man"])


class SlowTokenizer(PreTrainedTokenizer):
    """A tokenizer without offsets, as CLIP's Python one was; its sub-words are the fast one's."""

    def __init__(self, fast: CLIPTokenizer) -> None:
        self.fast = fast
        super().__init__(
            bos_token="<|startoftext|>",
            eos_token="<|endoftext|>",
            pad_token="<|endoftext|>",
            unk_token="<|endoftext|>",
            model_max_length=fast.model_max_length,
        )

    @property
    def vocab_size(self) -> int:
        return len(self.fast)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.fast.get_vocab())

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return list(self.fast.tokenize(text))

    def _convert_token_to_id(self, token: str) -> int:
        return int(self.fast.convert_tokens_to_ids(token))

    def _convert_id_to_token(self, index: int) -> str:
        return str(self.fast.convert_ids_to_tokens(index))

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        return [self.fast.bos_token_id, *token_ids_0, self.fast.eos_token_id]


@pytest.mark.parametrize(
    "caption",
    [
        "a Woman doing  yoga",
        "man, man; a man",
        "two people",
        "\u00e9 woman jumping",
        "the woman's hands",
        "red red red red red red red red red red red red red woman jumping",
    ],
)
def test_tokenizers_without_offsets_give_the_same_kinds(
    tiny_tokenizer: CLIPTokenizer, caption: str
) -> None:
    slow = SlowTokenizer(tiny_tokenizer)
    assert not slow.is_fast
    settings: dict[str, Any] = {"padding": "max_length", "truncation": True}
    assert (
        slow(caption, **settings)["input_ids"] == tiny_tokenizer(caption, **settings)["input_ids"]
    )
    expected = human_token_kinds(tiny_tokenizer, [caption])
    assert expected.any()
    assert torch.equal(human_token_kinds(slow, [caption]), expected)


def _trained(kind: str, length: int) -> PreTrainedTokenizerFast:
    """A tiny tokenizer of each family, trained on three captions; its sub-words cut words up."""
    captions = ["a woman jumping over a red car", "two men surfing", "yoga on the beach"]
    special = ["[PAD]", "[UNK]"]
    settings: dict[str, Any] = {"vocab_size": 60, "special_tokens": special}
    if kind == "byte_level":  # GPT-2, Llama 3
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(**settings | {"vocab_size": 300}, initial_alphabet=alphabet)
    elif kind == "word_piece":  # BERT
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordPieceTrainer(**settings)
    else:  # T5
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(**settings, unk_token="[UNK]")
    made.train_from_iterator(captions * 5, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=length, pad_token="[PAD]", unk_token="[UNK]"
    )


@pytest.mark.parametrize("kind", ["byte_level", "word_piece", "unigram"])
def test_every_family_of_tokenizers_with_offsets(kind: str) -> None:
    tokenizer = _trained(kind, 77)
    caption = "a woman jumping over a red car"
    mask = human_token_mask(tokenizer, [caption, ""])
    assert mask.shape == (2, 77)
    assert not mask[1].any()
    ids = torch.tensor(tokenizer(caption, padding="max_length", max_length=77)["input_ids"])
    marked = tokenizer.convert_ids_to_tokens(ids[mask[0]].tolist())
    text = "".join(re.sub("^(Ġ|▁|##)", "", piece) for piece in marked)
    assert text == "womanjumping"


@pytest.mark.parametrize("kind", ["byte_level", "word_piece", "unigram"])
def test_truncation_at_77_tokens(kind: str) -> None:
    tokenizer = _trained(kind, 77)
    caption = "a woman jumping " + "over a red car " * 40 + "two men surfing"
    mask = human_token_mask(tokenizer, [caption])
    assert mask.shape == (1, 77)
    alone = human_token_mask(tokenizer, ["a woman jumping"])
    assert torch.equal(mask, alone)


def test_importing_loads_no_heavy_library() -> None:
    code = (
        "import sys, hcp.tokens; hcp.tokens.human_spans('a man');"
        "print(sorted({'torch', 'transformers', 'diffusers', 'ray'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True).stdout
    assert loaded.strip() == "[]"
