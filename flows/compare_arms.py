"""The compare page of an evaluation: base against candidate, on the pictures that it drew."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.params import EvaluateParams
from hcp.evaluation.results import BASE, CANDIDATE
from hcp.pages.votes import ComparePage, PicturePair, compare_page
from hcp.tokens import human_spans
from storage.errors import HcpError

if TYPE_CHECKING:
    from hcp.evaluation.comparison import Pictures


def page_of_arms(params: EvaluateParams, pictures: "Pictures") -> ComparePage | str | None:
    """The page, or why there is none; None where none is asked for."""
    if not params.compare_page:
        return None
    try:
        return compare_page(
            pairs_of_arms(pictures), a=f"base {params.base}", b=params.checkpoint,
            config=params.compare,
        )  # fmt: skip
    except HcpError as error:
        return str(error)


def pairs_of_arms(pictures: "Pictures") -> Iterator[PicturePair]:
    """Those of prompts with people: all prompts of the first seed, then of the next."""
    seeds = list(dict.fromkeys(pictures.seeds))
    order = sorted(range(len(pictures.prompts)), key=lambda i: seeds.index(pictures.seeds[i]))
    for i in order:
        if human_spans(pictures.prompts[i]):
            yield PicturePair(
                prompt=pictures.prompts[i], name=f"seed {pictures.seeds[i]}",
                a=pictures.images[BASE][i], b=pictures.images[CANDIDATE][i],
            )  # fmt: skip
