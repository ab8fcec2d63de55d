"""The notebooks run, and stand on the site with what they showed."""

import base64
import io
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

from docs.notebook_pages import FOLDER, as_page, kept, run

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_BYTES = 400_000


def shown_pictures(notebook: Any) -> list[np.ndarray]:
    """Every picture that its cells show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    data = [each.data["image/png"] for each in outputs if "image/png" in each.get("data", {})]
    opened = [Image.open(io.BytesIO(base64.b64decode(each))) for each in data]
    return [np.asarray(each.convert("RGB"), dtype=float) for each in opened]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_committed_notebook_has_run_and_names_no_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    ran = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert ran == list(range(1, len(ran) + 1)), "run: python -m docs.notebook_pages"
    assert path.stat().st_size < MAX_BYTES
    text, pictures = as_page(notebook, path.stem)
    assert pictures
    assert "site-packages" not in text


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_what_is_committed(path: Path) -> None:
    now = kept(run(path))
    before = nbformat.read(path, as_version=4)
    for drawn, committed in zip(shown_pictures(now), shown_pictures(before), strict=True):
        assert drawn.shape == committed.shape
        assert np.abs(drawn - committed).mean() < 12  # levels of 255: other kernels round otherwise
    assert [cell.source for cell in now.cells] == [cell.source for cell in before.cells]


def test_cells_become_text_code_and_pictures() -> None:
    v4 = nbformat.v4
    png = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(png, "PNG")
    data = {"image/png": base64.b64encode(png.getvalue()).decode(), "text/plain": "<Image>"}
    notebook = v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# Title"),
            v4.new_code_cell("1 + 1", outputs=[
                v4.new_output("stream", name="stderr", text="/home/me: a warning"),
                v4.new_output("execute_result", data={"text/plain": "2"}),
                v4.new_output("display_data", data=data),
            ]),
        ]
    )  # fmt: skip
    text, pictures = as_page(kept(notebook), "some")
    assert text.startswith("# Title\n\n```python\n1 + 1\n```\n\n```text\n2\n```\n\n![")
    assert "](some-1.png)" in text
    assert "warning" not in text
    assert Image.open(io.BytesIO(pictures["some-1.png"])).size == (2, 2)
