"""Files of votes: what counts, what does not and why; a bad file never takes a good one along."""

import json
from typing import Any

import pytest

from hcp.evaluation.ballots import collect_ballots, read_ballot
from hcp.evaluation.compare_key import VotesError
from tests.hcp.evaluation.ballot_files import make_key, said, votes_file

KEY = make_key()
VOTES = said(KEY, "ab=?bb")


def test_a_file_of_votes_is_read() -> None:
    ballot = read_ballot(votes_file(VOTES, complete=False), "v.json", KEY)
    assert (ballot.rater, ballot.seed, ballot.complete) == ("anna", "00000001", False)
    assert [vote.choice for vote in ballot.votes] == [
        "second", "second", "tie", "cannot_say", "first", "second",
    ]  # fmt: skip
    assert ballot.votes[0].seconds == 2.5
    nameless = read_ballot(votes_file(VOTES, rater=" "), "v.json", KEY)
    assert nameless.rater == "rater 00000001"


@pytest.mark.parametrize("ms", [None, -1, 1e12, "fast"])
def test_an_impossible_time_is_no_time(ms: Any) -> None:
    ballot = read_ballot(votes_file([VOTES[0] | {"ms": ms}]), "v.json", KEY)
    assert ballot.votes[0].seconds is None


BAD: list[tuple[bytes, str]] = [
    (b"", "got an empty file"),
    (votes_file(VOTES)[:-40], "what is not JSON"),
    (KEY.to_json().encode(), "expected votes that a compare page saved .* got a page's key"),
    (votes_file(VOTES, format="hcp-votes/9"), "got format 'hcp-votes/9'"),
    (votes_file(VOTES, page="ffff"), "another page: got page 'ffff', expected '0123456789ab'"),
    (votes_file([]), "expected votes, got none"),
    (votes_file({}), "expected votes, got none"),
    (votes_file([*VOTES, VOTES[0]]), "more often than it was shown"),
    (votes_file([VOTES[0] | {"pair": "p99"}]), "the page has no pair 'p99'"),
    (votes_file([VOTES[0] | {"pair": []}]), "a vote is damaged"),
    (votes_file([VOTES[0] | {"choice": "left"}]), "expected a choice of .* got 'left'"),
    (votes_file([{"pair": "p0"}]), "it has no 'choice'"),
    (votes_file(["p0"]), "a vote is damaged"),
]


@pytest.mark.parametrize(("data", "reason"), BAD)
def test_a_bad_file_is_told_and_the_good_ones_count(data: bytes, reason: str) -> None:
    files = [("bad.json", data), ("good.json", votes_file(VOTES)),
             ("gone.json", FileNotFoundError(2, "No such file"))]  # fmt: skip
    ballots, refused = collect_ballots(files, KEY)
    assert [ballot.file for ballot in ballots] == ["good.json"]
    assert [each.file for each in refused] == ["bad.json", "gone.json"]
    assert "No such file" in refused[1].reason
    with pytest.raises(VotesError, match=reason):
        read_ballot(data, "bad.json", KEY)
    assert not refused[0].reason.startswith("bad.json")


def test_a_rater_counts_once() -> None:
    part, whole = votes_file(VOTES[:2], complete=False), votes_file(VOTES)
    other = votes_file(VOTES, rater="Anna", seed="00000002")
    ben = votes_file(VOTES, rater="ben", seed="00000003")
    ballots, refused = collect_ballots(
        [("part", part), ("whole", whole), ("again", whole), ("other", other), ("ben", ben)], KEY
    )
    assert [(ballot.file, len(ballot.votes)) for ballot in ballots] == [("whole", 6), ("ben", 6)]
    reasons = {each.file: each.reason for each in refused}
    assert reasons["part"] == "of the same sitting as whole, which has 6 votes to the 2 here"
    assert "same sitting as whole" in reasons["again"]
    assert "rater 'Anna' voted in whole already" in reasons["other"]


def test_unknown_fields_of_a_later_page_do_no_harm() -> None:
    rows = [row | {"more": 1} for row in VOTES]
    assert len(read_ballot(votes_file(rows, zoomed=True), "v", KEY).votes) == 6
    assert json.loads(votes_file(rows))["votes"][0]["more"] == 1
