"""The API reference shows the repository's docstrings and the comments beside fields."""

from pathlib import Path

import griffe

from docs.docstring_sections import DocstringSections, parted

MODULE = '''"""A module."""

class Some:
    """A config."""

    size_px: int = 3  # of the longer side
    bare: int = 0

    def run(self, a: int) -> int:
        """Do it.

        Args:
            a: a number.
        Returns:
            Another.
        Raises:
            ValueError: never.
        """
'''


def test_sections_without_blank_lines_are_sections(tmp_path: Path) -> None:
    (tmp_path / "some_module.py").write_text(MODULE)
    loaded = griffe.load(
        "some_module", search_paths=[tmp_path], docstring_parser="google",
        extensions=griffe.load_extensions(DocstringSections),
    )  # fmt: skip
    kinds = [section.kind.value for section in loaded["Some.run"].docstring.parsed]
    assert kinds == ["text", "parameters", "returns", "raises"]
    assert loaded["Some.size_px"].docstring.value == "of the longer side"
    assert loaded["Some.bare"].docstring is None


def test_text_that_only_begins_like_a_section_stays() -> None:
    assert parted("It\nRaises as inject does.") == "It\nRaises as inject does."
    assert parted("It.\n\nRaises:\n    E: x") == "It.\n\nRaises:\n    E: x"
