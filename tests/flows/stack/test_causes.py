"""What a service's log says about why it did not start."""

import pytest

from flows.stack.causes import cause


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "alembic.util.exc.Error: Can't locate revision by '9f'",
            "newer version",
        ),
        ("OSError: [Errno 98] Address already in use", "another port"),
        ("OSError: [Errno 28] No space left on device", "make room"),
        ("TypeError: Body() got an unexpected keyword argument 'min_items'", "fastapi<0.151"),
        ("sqlite3.DatabaseError: file is not a database", "damaged"),
    ],
)
def test_known_lines_become_advice(line: str, said: str) -> None:
    assert said in (cause(f"Traceback\n{line}\n") or "")


def test_an_unknown_line_is_left_to_the_reader() -> None:
    assert cause("Traceback\nValueError: x") is None
