"""The page of the evidence says what the committed figures say."""

import pytest

from benchmarks.evidence.document import BLOCKS, PAGE, figures, filled


def test_the_page_is_up_to_date_with_the_figures() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, figures()) == page, "run: python -m benchmarks.evidence.document"
    for name in BLOCKS:
        assert f"<!-- figures: {name} -->" in page


def test_an_unknown_block_is_refused() -> None:
    with pytest.raises(ValueError, match="no figures 'nothing'"):
        filled("<!-- figures: nothing -->\n<!-- end -->", {})
