"""What an evaluation is given: prompts, photos, poses, judges, the base's earlier pictures."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from flows.bias import bias_prompts_file, with_bias_prompts
from flows.judge import judge_path
from flows.names import model_path
from flows.params import EvaluateParams, EvaluateSettings
from hcp.evaluation.results import EvaluationConfig
from storage.errors import HcpError, WeightsError

if TYPE_CHECKING:
    from hcp.evaluation.base_pictures import BasePictures
    from hcp.evaluation.bodies import BodyJudge
    from hcp.evaluation.measures import Measure
    from hcp.evaluation.poses import PoseBook
    from hcp.evaluation.similarity import TextScorer
    from priors.pose import PoseModel
    from storage.records import Sample
    from storage.versions import DatasetVersion

logger = logging.getLogger(__name__)

SCAN_PER_PHOTO = 4  # val photos looked through for one with a human word
MAX_POSES = 5000  # photos whose people say what an action looks like


def evaluation_config(params: EvaluateSettings) -> EvaluationConfig:
    """The evaluation's own settings, with the prompts of the files where they are given.

    Raises:
        HcpError: a file cannot be read, or its prompts are not enough for an evaluation.
    """
    config = params.evaluation
    if params.bias_prompts is not None:
        path = bias_prompts_file(params.bias_prompts)
        config = with_bias_prompts(config, path, read_prompts(path))
    if params.prompts is None:
        return config
    prompts = read_prompts(params.prompts)
    try:
        return replace(config, prompts=prompts)
    except ValueError as error:
        raise HcpError(f"prompts {params.prompts}: {error}") from error


def read_prompts(path: str) -> tuple[str, ...]:
    """The non-empty lines of a text file.

    Raises:
        HcpError: it cannot be read, or has no line.
    """
    from storage.locations import read_bytes

    try:
        lines = read_bytes(path).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HcpError(f"prompts {path}: not a readable text file: {error}") from error
    prompts = tuple(line.strip() for line in lines if line.strip())
    if not prompts:
        raise HcpError(f"prompts {path}: expected one prompt a line, got an empty file")
    return prompts


def held_out(version: "DatasetVersion | None", limit: int) -> "list[Sample]":
    """Validation photos whose caption has a human word, at most ``limit``."""
    if version is None:
        return []
    scanned = islice(version.iter_samples("val"), SCAN_PER_PHOTO * limit)
    return list(islice((sample for sample in scanned if sample.human_spans), limit))


def without_photos(version: "DatasetVersion | None", photos: "Sequence[Sample]") -> "list[Measure]":
    """Where there are no held-out photos: why what they are for was not measured."""
    from hcp.evaluation.tasks import reason

    if photos:
        return []
    why = "no dataset is given, so no held-out photos"
    if version is not None:
        why = f"dataset version {version.id} has no held-out photo whose caption has human words"
    return [reason(attention_share=why, human_map_share=why)]


def pose_book(version: "DatasetVersion | None", limit: int = MAX_POSES) -> "PoseBook | None":
    """The people of the dataset with what their captions say they do, at most ``limit`` photos."""
    from hcp.evaluation.poses import PoseBook
    from storage.people import captioned_people

    return None if version is None else PoseBook.of(islice(captioned_people(version), limit))


def load_judge(params: EvaluateParams, device: str) -> "PoseModel":
    """The pose model that judges people."""
    from priors.models import load_pose

    return load_pose(replace(params.judge, weights=judge_path(params)), device=device)


def body_judge(params: EvaluateParams, device: str) -> "BodyJudge | None":
    """The body judge that the parameters name, if they name one.

    Raises:
        WeightsError: its files cannot be used.
    """
    from hcp.evaluation.bodies import load_bodies

    if params.bodies is None:
        return None
    return load_bodies(model_path(params.bodies, "bodies"), device=device)


def text_scorer(name: str | None, device: str) -> "tuple[TextScorer | None, list[Measure]]":
    """The CLIP that scores texts; where it cannot be had, none and the reason as a measure."""
    from hcp.evaluation.similarity import clip_text_scorer
    from hcp.evaluation.tasks import reason

    if name is None:
        return None, []
    try:
        return clip_text_scorer(name, device=device), []
    except WeightsError as error:
        return None, [reason(text_score=str(error))]


def kept_pictures(
    params: EvaluateSettings, config: EvaluationConfig, *, device: str, dtype: Any
) -> "BasePictures | None":
    """Where the base's pictures of earlier evaluations may lie; None: nowhere."""
    from hcp.evaluation.base_pictures import BasePictures
    from hcp.training.cache import base_digest

    if params.base_pictures is None:
        return None
    try:
        digest = base_digest(model_path(params.base, "base"))
    except HcpError as error:
        logger.warning("the base's pictures are drawn, not looked for: %s", error)
        return None
    return BasePictures(
        folder=params.base_pictures, base=digest, config=config, device=device, dtype=dtype
    )
