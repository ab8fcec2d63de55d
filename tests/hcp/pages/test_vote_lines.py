"""The lines about votes: the answer first, then what speaks against it."""

from hcp.evaluation.votes import VoteReport
from hcp.pages.vote_lines import vote_lines
from tests.hcp.evaluation.ballot_files import make_key, said
from tests.hcp.evaluation.test_votes import report_of


def lines(report: VoteReport) -> str:
    return "\n".join(vote_lines(report))


def test_the_answer_comes_first_with_what_it_rests_on() -> None:
    key = make_key(checks=1)
    report = report_of(key, anna=said(key, "bbba=?b"), ben=said(key, "bb=a=bb", side="r"))
    found = vote_lines(report)
    assert found[0].startswith("b wins 68.2 % (95 % interval ")
    assert found[0].endswith("; ties count half")
    assert found[1].startswith("without ties 75.0 %")
    text = "\n".join(found)
    assert "votes: 6 for b, 3 ties, 2 for a, 1 cannot say; 2 raters, 6 pairs" in text
    assert "sign test over 3 prompts: 2 for b, 0 for a, 1 even, p = 0.500" in text
    assert "left picture chosen: 4 of 8 (50 %), p = 1.000" in text
    assert "seconds a vote, median: 2.5" in text
    assert "to look at" not in text
    (anna,) = [line.split() for line in found if line.startswith("anna")]
    assert anna == ["anna", "6", "70", "%", "1", "100", "%", "1", "of", "1", "2.5", "yes"]


def test_doubts_are_named() -> None:
    key = make_key(12, checks=2)
    hasty = [row | {"ms": 300} for row in said(key, "ab" * 6 + "aa")]
    text = lines(report_of(key, anna=hasty))
    assert "anna missed 2 of 2 checks" in text
    assert "anna took 0.3 s a pair" in text
    assert "raters prefer one side" in text
    assert "not measured: agreement: of 1 raters" in text


def test_long_tables_of_prompts_show_their_ends() -> None:
    key = make_key(30)
    few = lines(report_of(key, anna=said(key, "b" * 30)))
    assert few.count("a man running") == 1
    alone = lines(report_of(make_key(1), anna=said(make_key(1), "b")))
    assert "b wins 100.0 %;" in alone
    assert "a man running" not in alone
