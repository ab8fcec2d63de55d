"""Agreement against published worked examples; exact tails by hand."""

from math import comb

import pytest

from hcp.evaluation.agreement import binomial_p, krippendorff_alpha, same_share

# K. Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), sections A, B and C.
BINARY = ("0100000010", "1110010000")
NOMINAL = ("aabbdcccedda", "babbbccceddd")
MISSING = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def counts(raters: tuple[str, ...]) -> list[list[int]]:
    """[units, categories] of ratings, a letter each; a point is missing."""
    categories = sorted(set("".join(raters)) - {"."})
    return [[unit.count(c) for c in categories] for unit in zip(*raters, strict=True)]


@pytest.mark.parametrize(("raters", "alpha"), [(BINARY, 0.095), (NOMINAL, 0.692), (MISSING, 0.743)])
def test_alpha_is_that_of_the_published_examples(raters: tuple[str, ...], alpha: float) -> None:
    found = krippendorff_alpha(counts(raters))
    assert found is not None
    assert found.mean == pytest.approx(alpha, abs=5e-4)
    assert found.low < found.mean < found.high
    assert found.n == (11 if raters is MISSING else len(raters[0]))


def test_alpha_of_full_agreement_is_one_and_none_without_a_difference() -> None:
    full = krippendorff_alpha(counts(("aabb", "aabb", "aabb")))
    assert full is not None
    assert full.mean == full.high == 1
    assert krippendorff_alpha(counts(("aaaa", "aaaa"))) is None
    assert krippendorff_alpha(counts(("ab..", "..ab"))) is None
    assert krippendorff_alpha([]) is None


def test_the_share_of_equal_ratings_is_that_of_pairs_of_raters() -> None:
    assert same_share([[2, 1], [3, 0]]) == pytest.approx((1 + 3) / 6)
    assert same_share([[1, 0], [0, 1]]) is None


def test_a_coin_is_told_from_what_is_none() -> None:
    assert binomial_p(5, 5) == binomial_p(0, 5) == 2 / 32
    assert binomial_p(9, 12) == pytest.approx(2 * sum(comb(12, k) for k in range(4)) / 2**12)
    assert binomial_p(3, 6) == binomial_p(0, 0) == 1
    assert binomial_p(1000, 2000) == 1
    assert binomial_p(1900, 2000) < 1e-300
