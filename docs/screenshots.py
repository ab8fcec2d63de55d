"""Take the site's screenshots: what a small run shows in Prefect, its report, the inspect page.

    python -m docs.screenshots [--out DIR]

Runs a small `hcp demo` into DIR first, unless one is there, and drives a headless Chromium.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from demo.run import PROMPTS, DemoSize, run_demo
from flows.server import private_server
from hcp.pages.inspection import render_inspection
from storage.versions import open_version
from tests.browser import Tab, browser

FOLDER = Path(__file__).parent / "pictures" / "screens"
N_PROMPTS = 12
SIZE = DemoSize(photos=240, train_steps=120, seeds=1, inference_steps=10)
WIDTH_PX, HEIGHT_PX, N_COLOURS = 1280, 860, 160
SETTLE_S = 3.0  # tables and pictures fade in


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture: the address, and what must be there before it is taken."""

    name: str
    url: str
    says: str = ""  # a text in the page


def shots(out: Path, ui: str, *, run: str, artifacts: Mapping[str, str]) -> list[Shot]:
    """Pages of Prefect about a rebuild, and the pages that were written below ``out``."""
    artifact = f"{ui}/artifacts/artifact"
    return [
        Shot(name="run", url=f"{ui}/runs/flow-run/{run}", says="extract"),
        Shot(name="samples", url=f"{artifact}/{artifacts['samples']}", says="samples"),
        Shot(name="rejects", url=f"{artifact}/{artifacts['rejects']}", says="no_person"),
        Shot(name="report", url=(out / "report" / "report.html").as_uri()),
        Shot(name="inspect", url=(out / "inspect.html").as_uri()),
    ]


def last_rebuild(api: str) -> tuple[str, Mapping[str, str]]:
    """The id of the last rebuild's run, and the ids of its artifacts by their keys."""
    with httpx.Client(base_url=api, timeout=60) as client:
        rebuilds = {"flows": {"name": {"any_": ["rebuild-dataset"]}}, "sort": "START_TIME_DESC"}
        run = _answer(client, "/flow_runs/filter", rebuilds)[0]["id"]
        made = {"artifacts": {"flow_run_id": {"any_": [run]}}}
        found = _answer(client, "/artifacts/filter", made)
    return run, {each["key"]: each["id"] for each in found}


def _answer(client: httpx.Client, path: str, body: Mapping[str, Any]) -> list[Any]:
    return client.post(path, json=body).raise_for_status().json()


def take(tab: Tab, shot: Shot) -> None:
    """Open a page, wait until it shows what it should, and keep its picture with few colours."""
    tab.open(shot.url)
    tab.wait(f"document.body.innerText.includes({shot.says!r})", seconds=120)
    time.sleep(SETTLE_S)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.png"
        tab.picture(whole)
        small(whole.read_bytes(), FOLDER / f"{shot.name}.png")


def small(png: bytes, place: Path) -> None:
    """Write a picture with few colours: flat pages compress."""
    place.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(N_COLOURS).save(place, optimize=True)


def make_data(out: Path) -> None:
    """A small demo below ``out`` and its inspect page; what is there already stays."""
    if not (out / "report" / "report.html").is_file():
        prompts = out / "prompts.txt"
        out.mkdir(parents=True, exist_ok=True)
        lines = PROMPTS.read_text(encoding="utf-8").splitlines()
        prompts.write_text("\n".join(lines[:N_PROMPTS] + lines[-2:]), encoding="utf-8")
        run_demo(out, replace(SIZE, prompts=prompts))
    page = render_inspection(open_version(str(out / "data")))
    (out / "inspect.html").write_text(page, encoding="utf-8")


def main() -> None:
    """Make the data and take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir(), "hcp"))
    out = parser.parse_args().out.resolve()
    make_data(out)
    with (
        private_server(out / "prefect") as environment,
        tempfile.TemporaryDirectory() as profile,
        browser(Path(profile)) as tab,
    ):
        tab.size(WIDTH_PX, HEIGHT_PX)
        api = environment["PREFECT_API_URL"]
        run, artifacts = last_rebuild(api)
        for shot in shots(out, api.removesuffix("/api"), run=run, artifacts=artifacts):
            take(tab, shot)


if __name__ == "__main__":
    main()
