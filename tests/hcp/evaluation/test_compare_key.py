"""The key of a compare page: written, read, and told from other files."""

import pytest

from hcp.evaluation.compare_key import VotesError, read_key
from tests.hcp.evaluation.ballot_files import make_key, said, votes_file

VOTES = said(make_key(), "ab=?bb")


def test_a_key_comes_back_as_it_was_written() -> None:
    key = make_key(3, checks=1)
    assert read_key(key.to_json().encode(), "k") == key
    assert read_key(b"\xef\xbb\xbf" + key.to_json().encode(), "k") == key


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "k: expected a JSON file, got an empty file"),
        (b"\x89PNG", "k: expected a JSON file, got what is not JSON"),
        (b"[]", "expected a JSON object, got list"),
        (b"{}", "expected the key that `hcp compare-page` wrote .* got another JSON file"),
        (votes_file(VOTES), "expected the key .* got votes"),
        (b'{"format": "hcp-compare-key/1"}', "the key is damaged: KeyError 'page'"),
        (make_key().to_json().replace('"b": "first"', '"b": "third"').encode(), "damaged.*third"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_key_is_told(data: bytes, message: str) -> None:
    with pytest.raises(VotesError, match=message):
        read_key(data, "k")
