"""Counting votes, by hand on small ballots."""

import json
from typing import Any

import pytest

from hcp.evaluation.ballots import Ballot, collect_ballots
from hcp.evaluation.compare_key import CompareKey, VotesError
from hcp.evaluation.votes import VoteReport, count_votes
from tests.hcp.evaluation.ballot_files import make_key, said, votes_file


def ballots_of(key: CompareKey, **raters: list[Any]) -> list[Ballot]:
    files = [
        (name, votes_file(votes, rater=name, seed=f"{i:08x}"))
        for i, (name, votes) in enumerate(raters.items())
    ]
    ballots, refused = collect_ballots(files, key)
    assert not refused
    return ballots


def report_of(key: CompareKey, **raters: list[Any]) -> VoteReport:
    return count_votes(key, ballots_of(key, **raters), n_resamples=200)


def test_wins_ties_and_what_nobody_could_say() -> None:
    key = make_key()
    report = report_of(key, anna=said(key, "bbba=?"), ben=said(key, "bb=a=b"))
    assert report.votes == {"b": 6, "tie": 3, "a": 2, "cannot_say": 1}
    assert report.win_rate.mean == pytest.approx((6 + 1.5) / 11)
    assert report.win_rate.votes == 11
    assert report.win_rate_without_ties is not None
    assert report.win_rate_without_ties.mean == pytest.approx(6 / 8)
    assert (report.unit, report.n_units, report.n_pairs) == ("prompts", 3, 6)
    # man: b b a a; woman: b b = =; boy: b = b (and one who cannot say)
    signs = report.sign_test
    assert (signs.b, signs.a, signs.even) == (2, 0, 1)
    rows = {row.prompt: row for row in report.prompts}
    assert rows["a woman dancing"].win_rate == 0.75
    assert rows["a boy waving"].votes == {"b": 2, "tie": 1, "a": 0, "cannot_say": 1}
    assert [row.win_rate for row in report.prompts] == pytest.approx([0.5, 0.75, 2.5 / 3])
    assert json.loads(json.dumps(report.to_json()))["votes"]["b"] == 6


def test_which_picture_is_whose_comes_from_the_key_alone() -> None:
    key = make_key(4)
    rows = said(key, "bbbb")
    assert {row["choice"] for row in rows} == {"first", "second"}
    assert report_of(key, anna=rows).win_rate.mean == 1
    assert report_of(key, anna=said(key, "aaaa")).win_rate.mean == 0


def test_repeats_tell_of_the_rater_and_do_not_count_twice() -> None:
    key = make_key(4)
    again = said(key, "ba", repeat=True)
    report = report_of(key, anna=said(key, "bbbb") + again)
    assert report.win_rate.votes == 4
    assert (report.consistency.count, report.consistency.of) == (1, 2)
    assert report.raters[0].consistency == report.consistency


def test_checks_tell_of_the_rater_and_are_no_votes() -> None:
    key = make_key(4, checks=2)
    report = report_of(key, anna=said(key, "bbbbba"), ben=said(key, "aaaabb"))
    assert report.win_rate.votes == 8
    assert [(r.checks.count, r.checks.of) for r in report.raters] == [(1, 2), (2, 2)]
    assert len(report.prompts) == 3


def test_a_side_that_is_preferred_shows() -> None:
    key = make_key(12)
    left = report_of(key, anna=said(key, "ab" * 6))
    assert (left.left.count, left.left.of) == (12, 12)
    assert left.left.p == pytest.approx(2 / 2**12)
    rows = said(key, "ab" * 3, side="l") + said(key, "ab" * 6, side="r")[6:]
    assert report_of(key, anna=rows).left.p == 1
    assert report_of(key, anna=said(key, "=" * 12)).left.of == 0


def test_agreement_needs_raters_of_the_same_pairs() -> None:
    key = make_key()
    alone = report_of(key, anna=said(key, "bbaa=b"))
    assert alone.agreement is None
    assert "of 1 raters no two voted on the same pair" in alone.not_measured["agreement"]
    assert "one rater" in alone.not_measured["raters"]
    same = report_of(key, anna=said(key, "bbaa=b"), ben=said(key, "bbaa=b"))
    assert same.agreement is not None
    assert same.agreement.mean == same.same_votes == 1
    apart = report_of(key, anna=said(key, "bababa"), ben=said(key, "ababab"))
    assert apart.agreement is not None
    assert apart.agreement.mean < -0.5
    every = report_of(key, anna=said(key, "bbbbbb"), ben=said(key, "bbbbbb"))
    assert every.agreement is None
    assert "all votes are the same" in every.not_measured["agreement"]


def test_without_two_prompts_each_pair_is_a_unit() -> None:
    key = make_key(1)
    one = report_of(key, anna=said(key, "b"))
    assert (one.unit, one.win_rate.low) == ("pairs", None)
    assert "one pair" in one.not_measured["interval"]
    ties = report_of(key, anna=said(key, "="))
    assert ties.win_rate_without_ties is None
    assert ties.not_measured["win_rate_without_ties"] == "every vote is a tie"


def test_no_vote_at_all_is_an_error_with_every_reason() -> None:
    key = make_key()
    ballots, refused = collect_ballots([("x.json", b"{"), ("y.json", b"[]")], key)
    with pytest.raises(VotesError, match=r"none of the 2 files.*\n  x.json: .*\n  y.json: "):
        count_votes(key, ballots, refused=refused)
    with pytest.raises(VotesError, match="1 raters, none of whom chose"):
        report_of(key, anna=said(key, "??????"))
    checks = make_key(0, checks=1)
    with pytest.raises(VotesError, match="attention checks"):
        report_of(checks, anna=said(checks, "b"))
