"""One offline page on which people choose, blind, between pictures of two models.

Nothing in the page says whose a picture is: pairs and pictures lie in a shuffled order, under ids,
all of it encoded anew. The key says it, and the organiser keeps that. Each rater sees another order
and other sides, drawn from a seed that stands in the votes.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hcp.evaluation.compare_key import PLACES, CompareKey, PairKey
from hcp.pages.pair_pictures import (
    LOSSLESS_PX,
    Image8,
    pair_images,
    scrambled,
    shapes_differ,
    webp_uri,
)
from storage.canonical import digest_of
from storage.errors import HcpError

PAIRS_PER_REPEAT = 4  # a page of few pairs repeats fewer of them


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePair:
    """Two pictures of one prompt, one of each model, HWC uint8 RGB."""

    prompt: str  # may be empty
    name: str  # for the organiser: "seed 3", or the files' name
    a: Image8
    b: Image8


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePageConfig:
    """What a compare page asks, and of how many pairs."""

    question: str = "Which picture shows the better drawn person?"  # above each pair
    limit: int = 100  # pairs, at most
    repeats: int = 8  # of them are shown twice, sides swapped: does a rater say the same again?
    checks: int = 0  # further pairs of a picture and its scrambled self: does a rater look?
    max_px: int = 768  # of the longer side
    quality: int = 90  # of the WebP pictures; those up to 256 px are kept bit for bit

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise ValueError("ComparePageConfig.question is empty: say what raters shall look for")
        if self.limit < 1 or min(self.repeats, self.checks) < 0:
            raise ValueError(
                "ComparePageConfig needs limit >= 1, repeats >= 0 and checks >= 0, got "
                f"{self.limit}, {self.repeats} and {self.checks}"
            )
        if self.max_px < 32 or not 1 <= self.quality <= 100:
            raise ValueError(
                "ComparePageConfig needs max_px >= 32 and quality in 1 to 100, got "
                f"{self.max_px} and {self.quality}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePage:
    """The page for the raters, the key for the organiser, and what the organiser should know."""

    html: str
    key: CompareKey
    n_pairs: int  # on the page, without checks
    n_same: int  # left out: their pictures are the same to the bit
    notes: tuple[str, ...]


def compare_page(
    pairs: Iterable[PicturePair], *, a: str, b: str, config: ComparePageConfig | None = None
) -> ComparePage:
    """The page of the first ``config.limit`` pairs that differ. The same pictures, the same page.

    Nobody can choose between pictures that are the same to the bit, so those are left out. No more
    pairs are taken from ``pairs`` than are needed.

    Args:
        a: name of the model that drew the first pictures, for the key alone.
        b: of the other one.
    Raises:
        HcpError: no pair differs.
    """
    config = config or ComparePageConfig()
    chosen, n_same = _differing(pairs, config.limit)
    if not chosen:
        raise HcpError(_why_nothing(n_same))
    # One secret from all that is compared: whose is whose follows from it. Neither the page's id
    # nor its pictures, which are encoded anew, lead back to it.
    shas = [[pair.prompt, pair.name, _sha(pair.a), _sha(pair.b)] for pair in chosen]
    secret = digest_of([a, b, asdict(config), shas], hex_digits=64)
    random = np.random.default_rng(int(secret, 16))
    shown = [_blind(pair, random, config) for pair in chosen]
    checked = random.permutation(len(chosen))[: config.checks]
    shown += [_check(chosen[i], random, config) for i in checked]
    shown = [shown[i] for i in random.permutation(len(shown))]
    page = hashlib.sha256(f"page {secret}".encode()).hexdigest()[:12]
    repeats = min(config.repeats, len(shown) // PAIRS_PER_REPEAT)
    return ComparePage(
        html=_render(page, [row for _, row in shown], config=config, repeats=repeats),
        key=CompareKey(page=page, question=config.question, a=a, b=b,
                       pairs=tuple(key for key, _ in shown)),
        n_pairs=len(chosen),
        n_same=n_same,
        notes=_notes(chosen, n_same, repeats=repeats, config=config),
    )  # fmt: skip


_Shown = tuple[PairKey, dict[str, object]]
"""What the key says of a pair, and what the page has of it."""


def _differing(pairs: Iterable[PicturePair], limit: int) -> tuple[list[PicturePair], int]:
    chosen: list[PicturePair] = []
    n_same = 0
    for pair in pairs:
        if np.array_equal(pair.a, pair.b):
            n_same += 1
            continue
        chosen.append(pair)
        if len(chosen) == limit:
            break
    return chosen, n_same


def _why_nothing(n_same: int) -> str:
    if not n_same:
        return "nothing to compare: there is no pair of pictures"
    return (
        f"nothing to compare: all {n_same} pairs of pictures are the same to the bit. Prompts "
        "without people are, by HcP's construction: give prompts with people"
    )


def _blind(pair: PicturePair, random: np.random.Generator, config: ComparePageConfig) -> _Shown:
    place = int(random.integers(2))  # of b
    key = PairKey(id=random.bytes(6).hex(), prompt=pair.prompt, name=pair.name, b=PLACES[place])
    return key, _row(key, (pair.a, pair.b) if place else (pair.b, pair.a), config)


def _check(pair: PicturePair, random: np.random.Generator, config: ComparePageConfig) -> _Shown:
    intact = pair.a if random.integers(2) else pair.b
    broken, place = scrambled(intact, random), int(random.integers(2))
    key = PairKey(id=random.bytes(6).hex(), prompt=pair.prompt, name=f"check, {pair.name}",
                  b=PLACES[place], intact=PLACES[place])  # fmt: skip
    return key, _row(key, (broken, intact) if place else (intact, broken), config)


def _row(
    key: PairKey, pictures: tuple[Image8, Image8], config: ComparePageConfig
) -> dict[str, object]:
    images = pair_images(pictures, max_px=config.max_px)
    width, height = (max(image.size[axis] for image in images) for axis in (0, 1))
    return {
        "id": key.id,
        "prompt": key.prompt,
        "ratio": round(width / height, 4),
        "pictures": [webp_uri(image, quality=config.quality) for image in images],
    }


def _render(
    page: str, rows: list[dict[str, object]], *, config: ComparePageConfig, repeats: int
) -> str:
    from hcp.pages.report import TEMPLATES, page_environment  # here: settings need no jinja2

    style, script = ((TEMPLATES / f"votes.{kind}").read_text("utf-8") for kind in ("css", "js"))
    data = json.dumps({"page": page, "repeats": repeats, "pairs": rows}, ensure_ascii=False)
    # Nothing but the page's own style and script runs, and nothing is loaded from anywhere.
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_source(style)}; script-src {_source(script)}"
    )
    facts = (
        f"Pictures: WebP of quality {config.quality}, without loss up to {LOSSLESS_PX} px; at "
        f"most {config.max_px} px. Page {page}."
    )
    return page_environment().get_template("votes.html.j2").render(
        question=config.question, policy=policy, facts=facts, style=style, script=script,
        data=data.replace("<", "\\u003c"),  # no prompt may end the element that holds the data
    )  # fmt: skip


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _sha(image: Image8) -> str:
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()


def _notes(
    chosen: Sequence[PicturePair], n_same: int, *, repeats: int, config: ComparePageConfig
) -> tuple[str, ...]:
    odd = sum(shapes_differ(pair.a, pair.b) for pair in chosen)
    unnamed = sum(not pair.prompt for pair in chosen)
    notes = (
        (n_same, f"{n_same} pairs left out: their pictures are the same to the bit"),
        (odd, f"in {odd} pairs the pictures differ in shape: raters may tell the models by it"),
        (unnamed, f"{unnamed} pairs have no prompt: raters see none, and each pair counts alone"),
        (
            repeats < config.repeats,
            f"{repeats} pairs are shown twice, not {config.repeats}: the page has few pairs",
        ),
    )
    return tuple(text for wanted, text in notes if wanted)
