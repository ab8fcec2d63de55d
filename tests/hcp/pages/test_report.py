"""The report page: complete, self-contained, and safe against what prompts hold."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hcp.evaluation.attention_maps import MapRecorder, Word
from hcp.evaluation.comparison import Pictures, compare
from hcp.evaluation.generation import Recording
from hcp.evaluation.judge import JudgeNote, Standing
from hcp.evaluation.mechanism import PhotoMaps
from hcp.evaluation.promotion import decide
from hcp.evaluation.results import EvaluationConfig
from hcp.evaluation.run import Evaluation
from hcp.pages.report import ReportData, render
from hcp.training.metrics import StepMetrics
from hcp.training.watching import Validation
from storage.versions import DatasetVersion, publish_version
from tests.hcp.samples import make_person

PROMPTS = ("a woman dancing, <i>happily</i>", "a red car & <script>alert(1)</script>")


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that are not closed."""

    VOID = ("meta", "img", "br", "input", "line", "polyline", "link")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def ids(self) -> set[str]:
        return {str(a["id"]) for tag, a in self.tags if tag == "section" and "id" in a}


def photo() -> PhotoMaps:
    mask = np.zeros((32, 32), dtype=bool)
    mask[8:24, 8:24] = True
    maps = np.full((1, 8, 8), 1 / 64, dtype=np.float32)
    return PhotoMaps(
        key="0", caption="a woman", image=np.full((32, 32, 3), 90, dtype=np.uint8), mask=mask,
        words=(Word(text="woman", kind=1, tokens=(0,)),), base=maps, fused=maps, human=maps,
    )  # fmt: skip


def recording() -> Recording:
    """One call of one layer, all that a sheet of maps needs."""
    maps = MapRecorder(
        nn.Identity(), (), torch.zeros(1, 1), base=[torch.ones(1, 1, 4, 4)], calls=[("mid", 1)]
    )
    image, word = np.zeros((8, 8, 3), dtype=np.uint8), Word(text="woman", kind=1, tokens=(0,))
    return Recording(image=image, words=(word,), maps=maps)


@pytest.fixture
def version(tmp_path: Path, fill_root: Callable[[str], list[str]]) -> DatasetVersion:
    return publish_version(str(tmp_path), fill_root(str(tmp_path)), config={})


@pytest.fixture
def data(version: DatasetVersion) -> ReportData:
    return report_data(version)


def report_data(version: DatasetVersion) -> ReportData:
    """All that a report can show."""
    config = EvaluationConfig(prompts=PROMPTS, seeds=(0, 1, 2), n_resamples=50)
    prompts = tuple(p for p in PROMPTS for _ in config.seeds)
    rng = np.random.default_rng(0)
    base = list(rng.integers(0, 255, size=(6, 32, 32, 3), dtype=np.uint8))
    people = [[make_person((4, 2, 28, 30))]] * 6
    pictures = Pictures(
        prompts=prompts,
        seeds=config.seeds * 2,
        images={"base": base, "candidate": [image // 2 for image in base[:3]] + base[3:]},
        people={"base": people, "candidate": people},
    )
    report = compare(pictures, {"candidate": [photo()]}, config=config)
    return ReportData(
        title="Evaluation of step 2",
        verdict=decide(report),
        evaluation=Evaluation(
            report=report,
            pictures=pictures,
            photos={"candidate": [photo()]},
            recording=recording(),
        ),
        metrics=[
            StepMetrics(
                step=i, loss=1.0, denoise=1 / i, alignment=0.5, learning_rate=1e-4, grad_norm=1.0,
                images_per_s=3.0, epoch=0,
            )
            for i in range(1, 30)
        ],
        dataset=version,
        validations=[
            Validation(step=i, loss=1 / (i + 1), attention_share=0.5) for i in (0, 10, 20)
        ],
        max_samples=1,
        facts={"base model": "embedded"},
    )  # fmt: skip


def test_the_page_shows_everything(data: ReportData) -> None:
    page = Page(render(data))
    assert page.ids() == {
        "numbers", "differences", "people", "attention", "maps", "scenes", "training", "dataset",
        "facts",
    }  # fmt: skip
    assert "Does not pass the gate" in page.text
    assert "27 samples and 3 rejected records" in page.text
    assert "no person" in page.text
    assert "30 steps, guidance 7.5, 3 seeds a prompt" in page.text
    assert "no CLIP model is configured" in page.text
    assert page.text.count("bit-identical") >= 2
    # Base and HcP for 2 seeds of 2 prompts, skeletons over the people, one photo with 3 maps,
    # the sheet of maps, one gallery picture.
    assert sum(tag == "img" for tag, _ in page.tags) == 8 + 4 + 4 + 1 + 1
    assert sum(tag == "svg" for tag, _ in page.tags) == 3 + 2
    assert "Denoising loss, validation" in page.text


@pytest.mark.parametrize(
    ("method", "title"), [("lora", "LoRA"), ("attention+full", "Attention+full"), ("hcp", "HcP")]
)
def test_the_candidate_is_called_by_its_method(data: ReportData, method: str, title: str) -> None:
    evaluation = data.evaluation
    assert evaluation is not None
    layers = method == "hcp"
    maps = photo() if layers else replace(photo(), human=None)
    report = replace(evaluation.report, methods={"candidate": method})
    shown = replace(evaluation, report=report, photos={"candidate": [maps]})
    text = Page(render(replace(data, evaluation=shown))).text
    assert f"{title} against Base: people score" in text
    assert ("without human words its layers take no part" in text) == layers
    assert ("M_h alone" in text) == layers


def test_the_page_needs_nothing_from_outside(data: ReportData) -> None:
    html = render(data)
    assert not re.search(r"(src|href)=\"(?!data:image/)", html)
    assert "http" not in html
    assert "url(" not in html


def test_prompts_are_text_and_never_markup(data: ReportData) -> None:
    page = Page(render(data))
    assert "<script>alert(1)</script>" in page.text
    assert not {"script", "i"} & {tag for tag, _ in page.tags}
    assert "&lt;script&gt;" in render(data)


def test_empty_sections_are_left_out(version: DatasetVersion) -> None:
    page = Page(render(ReportData(title="Nothing")))
    assert page.ids() == set()
    assert Page(render(ReportData(title="Data", dataset=version))).ids() == {"dataset"}


def test_a_report_needs_no_torch() -> None:
    code = "import hcp.pages.report, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True)


@pytest.mark.parametrize("standing", ["teacher", "independent", "not known"])
def test_the_page_says_who_judges(data: ReportData, standing: Standing) -> None:
    note = JudgeNote(
        name="<j>.pt", sha256="ab", standing=standing, text="Is it <so>?", error="AP .5"
    )
    page = Page(render(replace(data, judge=note)))
    assert "Is it <so>?" in page.text
    assert "The judge's own error: AP .5." in page.text
    assert ("Judged by the teacher" in page.text) == (standing == "teacher")
    unstated = Page(render(replace(data, judge=replace(note, error=""))))
    assert "own error is not stated" in unstated.text
