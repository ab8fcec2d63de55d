"""The committed screenshots are those that the script takes, small, and shown."""

import io
import re
from pathlib import Path

from PIL import Image

from docs.screenshots import FOLDER, HEIGHT_PX, WIDTH_PX, shots, small

MAX_BYTES = 250_000
DOCS = FOLDER.parents[1]


def test_the_committed_screenshots_are_the_scripts() -> None:
    ids = {"samples": "1", "rejects": "2"}
    pages = shots(Path("/out"), "http://127.0.0.1:4200", run="3", artifacts=ids)
    taken = {f"{shot.name}.png" for shot in pages}
    assert {path.name for path in FOLDER.iterdir()} == taken
    for path in FOLDER.iterdir():
        assert path.stat().st_size < MAX_BYTES
        assert Image.open(path).size == (WIDTH_PX, HEIGHT_PX)


def test_every_screenshot_is_on_a_page_with_a_text() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    shown = re.findall(r"!\[[^\]]{10,}\]\(pictures/screens/([\w-]+\.png)\)", pages)
    assert sorted(shown) == sorted(path.name for path in FOLDER.iterdir())


def test_pictures_are_kept_with_few_colours(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(whole, "PNG")
    small(whole.getvalue(), tmp_path / "new" / "one.png")
    kept = Image.open(tmp_path / "new" / "one.png")
    assert (kept.size, kept.mode) == ((256, 256), "P")
