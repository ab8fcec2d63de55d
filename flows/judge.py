"""Which pose model judges, and whether it is the one that made the priors."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.names import model_path, split_dataset
from flows.params import EvaluateSettings
from hcp.evaluation.judge import JudgeNote, Teacher, judge_note
from priors.config import ExtractorConfig
from priors.weights import KNOWN_WEIGHTS, known_digests, resolve_weights
from storage.errors import VersionError
from storage.versions import DatasetVersion, open_version

if TYPE_CHECKING:
    from hcp.evaluation.promotion import Verdict
    from hcp.training.methods.trained import Trained

TRAINING_RECORD = "TRAINING.json"
"""Beside weights of our own: how they were trained, and what they do on held-out scenes."""


def judge_path(params: EvaluateSettings) -> str:
    """The judge's weights: where they lie, or the name that they have."""
    return model_path(params.judge.weights, "judge")


def note_on_judge(
    params: EvaluateSettings,
    version: DatasetVersion | None,
    candidate: "Trained",
    champion: "Trained | None" = None,
) -> JudgeNote:
    """What the report says of the judge; fetches its weights, loads nothing.

    Raises:
        HcpError: it is the teacher, and that is not allowed.
        WeightsError: its weights cannot be had.
    """
    path = judge_path(params)
    weights = resolve_weights(path, trust=params.judge.trust_weights)
    teachers = [] if version is None else [teacher_of(version)]
    teachers += _learned_from(candidate, "the candidate's data", version)
    if champion is not None:  # an older one that does not say is no reason to doubt this candidate
        theirs = _learned_from(champion, "the champion's data", version)
        teachers += [each for each in theirs if each.sha256]
    return judge_note(
        params.judge.weights,
        weights.weights_sha256,
        teachers,
        allow=params.allow_teacher_judge,
        error=stated_error(path),
    )


def marked(verdict: "Verdict", note: JudgeNote) -> "Verdict":
    """The verdict; that of a judge who is the teacher says so first."""
    if note.standing != "teacher":
        return verdict
    return replace(verdict, reasons=(note.text, *verdict.reasons))


def judge_tags(note: JudgeNote) -> dict[str, str]:
    """What a registry's entry says of who judged."""
    return {"judge": note.name, "judge_sha256": note.sha256, "judge_standing": note.standing}


def check_before(
    params: EvaluateSettings,
    *,
    extractor: ExtractorConfig | None = None,
    datasets: Iterable[str] = (),
) -> None:
    """Refuse a judge that is the teacher before hours of work, as far as it can be known then.

    Fetches nothing: the evaluation itself decides about weights that are not on this machine.

    Args:
        params: of the evaluation that will follow.
        extractor: that will make the priors.
        datasets: ``ROOT[@VERSION]``; one that is not there yet is passed over.

    Raises:
        HcpError: the judge is the teacher, and that is not allowed.
    """
    path = judge_path(params)
    judge = known_digests(path) or (path,)  # one name that nothing is known of is one model too
    teachers: list[Teacher] = []
    if extractor is not None:
        taught = model_path(extractor.pose_model, "pose")
        theirs = known_digests(taught) or (taught,)
        of = f"this rebuild (extractor.pose_model {extractor.pose_model})"
        teachers += [Teacher(of=of, sha256=digest) for digest in theirs]
    for dataset in datasets:
        with suppress(VersionError):
            teachers.append(teacher_of(open_version(*split_dataset(dataset))))
    for digest in judge:
        judge_note(params.judge.weights, digest, teachers, allow=params.allow_teacher_judge)


def teacher_of(version: DatasetVersion) -> Teacher:
    """The pose model that made the priors of a dataset version."""
    return Teacher(
        of=f"dataset {version.root}@{version.id}",
        sha256=version.models.get("pose", ""),
        name=str(version.config.get("pose_model", "")),
    )


def _learned_from(trained: "Trained", of: str, version: DatasetVersion | None) -> list[Teacher]:
    card = trained.card
    named = f"{of} ({card.dataset_version})" if card.dataset_version else of
    if card.teachers or version is None:
        return [Teacher(of=named, sha256=digest) for digest in card.teachers]
    if card.dataset_version is None or card.dataset_version == version.id:
        return []
    try:  # of an older checkpoint: its version may stand beside the evaluation's
        return [teacher_of(open_version(version.root, card.dataset_version))]
    except VersionError:
        return [Teacher(of=named, sha256="")]


def stated_error(weights: str) -> str:
    """How often a pose model is wrong, as its makers say; "" where they do not."""
    row = KNOWN_WEIGHTS.get(weights) or KNOWN_WEIGHTS.get(f"{weights}.pt")
    if row is not None and row.pose_ap is not None:
        return f"keypoint AP {row.pose_ap:.3f} on COCO val2017, as its makers say"
    try:
        record: Any = json.loads((Path(weights) / TRAINING_RECORD).read_bytes())
        ap, px = record["held_out_oks_ap"], record["held_out_keypoint_error_px"]
        soft_ap = record["held_out_soft_oks_ap"]
        soft_px = record["held_out_soft_keypoint_error_px"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return (
        f"on held-out drawn scenes OKS AP {ap:.3f} and a mean keypoint error of {px:.1f} px in "
        f"256; through the embedded autoencoder {soft_ap:.3f} and {soft_px:.1f} px"
    )
