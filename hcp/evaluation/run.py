"""Compare a candidate with its base and with the champion: same prompts, same seeds.

Three questions: are people drawn better (detector measures), do the human words look at people
(attention on held-out photos), and is everything else untouched (prompts without people). What
cannot be measured is reported as not measured, with the reason.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hcp.base import BasePipeline
from hcp.evaluation.base_pictures import BasePictures
from hcp.evaluation.bodies import BodyJudge
from hcp.evaluation.comparison import Pictures, compare
from hcp.evaluation.drawing import Drawing, DrawnHere
from hcp.evaluation.generation import Image8, Recording, record_picture
from hcp.evaluation.inputs import check_inputs
from hcp.evaluation.measures import Measure
from hcp.evaluation.mechanism import PhotoMaps
from hcp.evaluation.pose_comparison import with_poses
from hcp.evaluation.poses import PoseBook
from hcp.evaluation.results import BASE, CANDIDATE, CHAMPION, EvaluationConfig, EvaluationReport
from hcp.evaluation.similarity import TextScorer
from hcp.evaluation.soundness import judged, with_soundness
from hcp.tokens import human_spans
from hcp.training.methods.trained import Trained
from storage.records import Person, Sample

PeopleDetector = Callable[[Sequence[Image8]], list[list[Person]]]
"""Images (HWC uint8 RGB) -> the people found in each; a ``priors.pose`` model fits."""
OnProgress = Callable[[int, int, str], None]
"""(done, total, what): pictures drawn so far over all arms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The report and what a reader wants to see beside it."""

    report: EvaluationReport
    pictures: Pictures
    photos: Mapping[str, Sequence[PhotoMaps]]  # adapter arms -> attention on held-out photos
    recording: Recording | None  # the candidate's maps of the first human prompt, if any


def evaluate(
    pipeline: BasePipeline,
    candidate: Trained,
    *,
    config: EvaluationConfig,
    detector: PeopleDetector,
    champion: Trained | None = None,
    val_samples: Sequence[Sample] = (),
    text_scorer: TextScorer | None = None,
    poses: PoseBook | None = None,
    bodies: BodyJudge | None = None,
    measures: Sequence[Measure] = (),
    base_pictures: BasePictures | None = None,
    drawing: Drawing | None = None,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Draw, detect, probe and compare.

    Args:
        pipeline: the base, without an adapter.
        candidate: what is under test, of any method.
        champion: what to beat, of any method; None: the base is.
        val_samples: held-out photos for the attention measure.
        text_scorer: for example ``hcp.evaluation.similarity.clip_text_scorer(...)``.
        poses: people of the dataset, by which it is told whether people do what a prompt says.
        bodies: says how sound bodies are; None: the people score goes without.
        measures: further ones, in the report's order.
        base_pictures: where those of the base may lie already; None: they are drawn.
        drawing: where pictures and maps come from; None: the pipeline draws and probes.
    Raises:
        CheckpointError: an adapter does not fit the pipeline.
        HcpError: the base cannot draw the prompts; nothing was drawn then.
    """
    notes = check_inputs(pipeline, config.prompts, steps=config.steps)
    trained = {CANDIDATE: candidate} | ({} if champion is None else {CHAMPION: champion})
    source = drawing or DrawnHere(
        pipeline=pipeline, trained=trained, config=config, kept=base_pictures
    )
    images = _draw(source, (BASE, *trained), config, on_progress)
    pictures = judged(_pictures(images, config, detector), bodies)
    samples = list(val_samples)[: config.max_photos]
    photos = {name: source.maps(name, samples) for name in trained} if samples else {}
    report = compare(pictures, photos, config=config, text_scorer=text_scorer, poses=poses)
    report = with_soundness(with_poses(report, pictures, poses), pictures, bodies)
    for measure in measures:
        report = measure(report, pictures)
    report = replace(report, notes=(*notes, *report.notes))
    report = _with_methods(report, trained)
    recording = _record_candidate(pipeline, candidate, config)
    return Evaluation(report=report, pictures=pictures, photos=photos, recording=recording)


def _with_methods(report: EvaluationReport, trained: Mapping[str, Trained]) -> EvaluationReport:
    return replace(
        report,
        methods={name: each.card.method for name, each in trained.items()},
        parameters={name: sum(each.parameter_count().values()) for name, each in trained.items()},
    )


def _record_candidate(
    pipeline: BasePipeline, candidate: Trained, config: EvaluationConfig
) -> Recording | None:
    for prompt in config.prompts:
        if human_spans(prompt):
            drawn = record_picture(
                pipeline, prompt, seed=config.seeds[0], steps=config.steps,
                guidance=config.guidance, adapter=candidate,
            )  # fmt: skip
            if drawn.words:  # none where the text encoder's length cuts them off
                return drawn
    return None


def _draw(
    drawing: Drawing,
    arms: Sequence[str],
    config: EvaluationConfig,
    on_progress: OnProgress | None,
) -> dict[str, list[Image8]]:
    wanted = config.picture_set()
    images: dict[str, list[Image8]] = {}
    n = len(wanted.pictures())
    for i, name in enumerate(arms):

        def report(done: int, before: int = i * n, name: str = name) -> None:
            if on_progress is not None:
                on_progress(before + done, len(arms) * n, name)

        images[name] = list(drawing.pictures(name, wanted, on_drawn=report))
    return images


def _pictures(
    images: Mapping[str, Sequence[Image8]], config: EvaluationConfig, detector: PeopleDetector
) -> Pictures:
    return Pictures(
        prompts=tuple(prompt for prompt, _ in config.pictures()),
        seeds=tuple(seed for _, seed in config.pictures()),
        images=images,
        people={name: detector(drawn) for name, drawn in images.items()},
    )
