"""Where caches lie: one rule for all of them."""

from pathlib import Path

import pytest

from storage.cache import cache_folder


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HCP_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/hcp"),
        ({"HCP_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/me/.cache/hcp"),
        ({"HCP_CACHE": "~/mine"}, "/home/me/mine"),
    ],
)
def test_a_cache_lies_where_the_user_says(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HCP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
    assert cache_folder("weights") == Path(expected) / "weights"
