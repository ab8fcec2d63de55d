"""Notebooks of docs/notebooks: run, so that they stand with what they show, and as pages.

python -m docs.notebook_pages
"""

import base64
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

FOLDER = Path(__file__).parent / "notebooks"
TIMEOUT_S = 600
N_COLOURS = 128  # of a picture that is kept: a quarter of the bytes


def run(path: Path) -> Any:
    """The notebook with what its cells give now, in a new kernel; the file stays as it is.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the kernel's debugger warns
    client = NotebookClient(
        notebook, timeout=TIMEOUT_S, kernel_name="python3", record_timing=False,
        resources={"metadata": {"path": str(FOLDER.parents[1])}},
    )  # fmt: skip
    client.create_kernel_manager().transport = "ipc"  # no port that others could reach
    client.execute()
    notebook.metadata = {
        "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}
    }
    return notebook


def as_page(notebook: Any, name: str) -> tuple[str, Mapping[str, bytes]]:
    """A notebook as Markdown, and the pictures that it names, ``NAME-3.png`` and so on."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                picture = f"{name}-{len(pictures) + 1}.png"
                pictures[picture] = base64.b64decode(data["image/png"])
                parts.append(f"![What the cell above shows]({picture})")
            else:
                parts.append(f"```text\n{data['text/plain'].rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def kept(notebook: Any) -> Any:
    """What is committed: pictures of few colours, and no warnings of the machine that ran it."""
    for cell in notebook.cells:
        outputs = [each for each in cell.get("outputs", []) if each.get("name") != "stderr"]
        if cell.cell_type == "code":
            cell.outputs = outputs
        for output in outputs:
            if "image/png" in output.get("data", {}):
                shown = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
                small = io.BytesIO()
                shown.convert("RGB").quantize(N_COLOURS).save(small, "PNG", optimize=True)
                output.data = {"image/png": base64.b64encode(small.getvalue()).decode()}
    return notebook


def main() -> None:
    """Run all of them, and keep what they show."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(kept(run(path)), path)


if __name__ == "__main__":
    main()
