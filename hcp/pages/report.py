"""One self-contained HTML page: an evaluation, a training run, a dataset version, or all three.

Sections without data are left out. No scripts, no external addresses; prompts and captions are
escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcp.evaluation.judge import JudgeNote
from hcp.evaluation.promotion import Verdict
from hcp.evaluation.results import CANDIDATE, EvaluationConfig
from hcp.pages.bias import bias_section
from hcp.pages.curves import training_charts
from hcp.pages.figures import decode_image, draw_people, jpeg_uri
from hcp.pages.measures import (
    arm_titles,
    arms,
    differences,
    measure_rows,
    missing_rows,
    number,
    percent,
)
from hcp.pages.picture_rows import photo_row, picture_rows
from hcp.pages.seen_faults import fault_table
from storage.extras import explained_imports
from storage.provenance import library_versions

with explained_imports():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from hcp.evaluation.run import Evaluation
    from hcp.training.metrics import StepMetrics
    from hcp.training.watching import Validation
    from storage.versions import DatasetVersion

TEMPLATES = Path(__file__).parent / "templates"
LIBRARIES = ("torch", "diffusers", "ultralytics", "ray", "prefect")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything a page can show; what is empty is left out."""

    title: str
    subtitle: str = ""
    evaluation: "Evaluation | None" = None
    verdict: Verdict | None = None
    metrics: "Sequence[StepMetrics]" = ()
    validations: "Sequence[Validation]" = ()
    dataset: "DatasetVersion | None" = None
    facts: Mapping[str, str] = field(default_factory=dict[str, str])  # names of models and data
    judge: JudgeNote | None = None  # of the evaluation's people
    max_prompts: int = 12
    max_seeds: int = 2
    max_photos: int = 6
    max_samples: int = 12  # of the dataset version


def page_environment() -> Environment:
    """What every page is rendered in: values are escaped, a missing one is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(data: ReportData) -> str:
    """The page as HTML.

    Raises:
        ShardError: the dataset version's pictures cannot be read.
    """
    environment = page_environment()
    environment.filters |= {"num": number, "percent": percent}
    page = environment.get_template("report.html.j2")
    sections = _evaluation(data) | _dataset(data)
    return page.render(
        data=data, charts=training_charts(data.metrics, data.validations), **sections
    )


def _evaluation(data: ReportData) -> dict[str, Any]:
    evaluation = data.evaluation
    if evaluation is None:
        return {"report": None, "facts": data.facts}
    report, pictures = evaluation.report, evaluation.pictures
    titles = arm_titles(report)
    shown = {"max_prompts": data.max_prompts, "max_seeds": data.max_seeds}
    sheet = None
    if evaluation.recording is not None:
        from hcp.pages.map_sheet import map_sheet  # loads torch, as a recording has

        sheet = jpeg_uri(map_sheet(evaluation.recording), max_px=1400)
    return {
        "report": report,
        "arms": arms(report),
        "measures": measure_rows(report),
        "missing": missing_rows(report),
        "differences": differences(report),
        "seen_faults": fault_table(report.seen_faults),
        "bias": bias_section(report.bias, titles),
        "people_rows": picture_rows(pictures, titles, human=True, **shown),
        "scene_rows": picture_rows(pictures, titles, human=False, **shown),
        "photos": [
            photo_row(photo, titles[CANDIDATE])
            for photo in evaluation.photos.get(CANDIDATE, ())[: data.max_photos]
        ],
        "has_layers": evaluation.report.methods.get(CANDIDATE, "hcp").split("+")[0] == "hcp",
        "map_sheet": sheet,
        "facts": dict(data.facts) | _circumstances(report.config),
    }


def _circumstances(config: EvaluationConfig) -> dict[str, str]:
    sampling = f"{config.steps} steps, guidance {config.guidance:g}, {len(config.seeds)} seeds"
    found = [f"{name} {version}" for name, version in library_versions(LIBRARIES).items()]
    return {"sampling": f"{sampling} a prompt", "versions": ", ".join(found)}


def _dataset(data: ReportData) -> dict[str, Any]:
    if data.dataset is None:
        return {}
    reasons = data.dataset.rejects_by_reason
    most = max(reasons.values(), default=1) or 1
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return {
        "rejects": [(reason.replace("_", " "), n, 100 * n / most) for reason, n in ordered if n],
        "gallery": [
            (jpeg_uri(draw_people(decode_image(sample), sample)), sample.caption)
            for sample in islice(data.dataset.iter_samples(), data.max_samples)
        ],
    }
