"""The commands that run a flow: every option is also a field of its parameters (flows.params)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from flows.cli.bars import flow_output
from flows.cli.console import say, say_json, say_table
from flows.cli.options import (
    AnyBase,
    AsJson,
    Base,
    Config,
    Device,
    Duplicates,
    Format,
    Method,
    Preset,
    RayAddress,
    Reasons,
    Registry,
    Set,
    Trust,
    UseCache,
)
from flows.cli.sources import CaptionColumn, ImageColumn, Images

if TYPE_CHECKING:
    from pydantic import BaseModel

P = TypeVar("P", bound="BaseModel")

_REBUILD = {name: f"extractor.{name}" for name in ("pose_model", "mask_model", "trust_weights")}
_CACHE = {"workers": "workers.count"}
_TRAIN = {name: f"training.{name}" for name in ("steps", "method", "init_from", "any_base")} | {
    "workers": "workers.count",
    "cache": "training.cache.use",
}
_EVALUATE = {"pose_model": "judge.weights", "trust_weights": "judge.trust_weights"}
"""Where an option stands in the parameters, if not under its own name at the top."""


def rebuild(
    source: Annotated[str | None, typer.Option(help="Captioned photos, any fsspec URL.")] = None,
    root: Annotated[str | None, typer.Option(help="Where shards and versions live.")] = None,
    format: Format = None,  # noqa: A002 - the option's name is pinned
    images: Images = None,
    skip_unlisted: Annotated[
        bool | None,
        typer.Option("--skip-unlisted", help="Leave out folders that cannot be listed."),
    ] = None,
    follow_links: Annotated[
        bool | None,
        typer.Option("--follow-links", help="Read what links out of the source lead to."),
    ] = None,
    image_column: ImageColumn = None,
    caption_column: CaptionColumn = None,
    pose_model: Annotated[str | None, typer.Option(help="Name, path, URL or 'embedded'.")] = None,
    mask_model: Annotated[str | None, typer.Option(help="Name, path, URL or 'embedded'.")] = None,
    unit_size: Annotated[int | None, typer.Option(help="Samples of one shard, about.")] = None,
    trust_weights: Trust = None,
    duplicates: Duplicates = None,
    device: Device = None,
    ray_address: RayAddress = None,
    config: Config = None,
    preset: Preset = None,
    assignments: Set = None,
    as_json: AsJson = False,
) -> None:
    """Extract pose and mask priors into a dataset version (flow rebuild-dataset)."""
    given = dict(locals())
    from flows.params import RebuildParams
    from flows.rebuild import rebuild_dataset

    params = _params(RebuildParams, given, _REBUILD)
    with flow_output():
        version = rebuild_dataset(params)
    _say_version(params.root, version, as_json=as_json)


def retry_failed(
    root: Annotated[str, typer.Argument(help="Where shards and versions live.")],
    reasons: Reasons = None,
    device: Device = None,
    ray_address: RayAddress = None,
    config: Config = None,
    preset: Preset = None,
    assignments: Set = None,
    as_json: AsJson = False,
) -> None:
    """Try rejects again that may work now, such as unreadable ones (flow retry-failed)."""
    given = dict(locals())
    from flows.params import RetryParams
    from flows.retry import last_settings
    from flows.retry import retry_failed as flow

    params = _params(RetryParams, given, {}, before=last_settings(root))
    with flow_output():
        version = flow(params)
    _say_version(params.root, version, as_json=as_json)


def cache(
    dataset: Annotated[str | None, typer.Option(help="ROOT or ROOT@VERSION.")] = None,
    base: Base = None,
    workers: Annotated[int | None, typer.Option(help="At most so many encoders.")] = None,
    device: Device = None,
    ray_address: RayAddress = None,
    config: Config = None,
    preset: Preset = None,
    assignments: Set = None,
    as_json: AsJson = False,
) -> None:
    """Encode a dataset version for a base, for training without VAE (flow cache-dataset)."""
    given = dict(locals())
    from flows.cache import cache_dataset
    from flows.params import CacheParams

    params = _params(CacheParams, given, _CACHE)
    with flow_output():
        outcome = cache_dataset(params)
    if as_json:
        say_json(outcome.model_dump())
    else:
        say(f"cache {outcome.cache}")


def train(
    dataset: Annotated[str | None, typer.Option(help="ROOT or ROOT@VERSION.")] = None,
    base: Base = None,
    out: Annotated[str | None, typer.Option(help="Where checkpoints are written.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    method: Method = None,
    workers: Annotated[int | None, typer.Option(help="Ray Train workers.")] = None,
    resume: Annotated[
        bool | None, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = None,
    init_from: Annotated[
        str | None, typer.Option(help="Weights to begin with: folder, registry URI or 'champion'.")
    ] = None,
    any_base: AnyBase = None,
    cache: UseCache = None,
    registry: Registry = None,
    device: Device = None,
    ray_address: RayAddress = None,
    config: Config = None,
    preset: Preset = None,
    assignments: Set = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune an HcP layer on a dataset version (flow train-hcp)."""
    given = dict(locals())
    from flows.params import TrainParams
    from flows.train import train_hcp

    params = _params(TrainParams, given, _TRAIN)
    with flow_output():
        outcome = train_hcp(params)
    if as_json:
        say_json(outcome.model_dump())
    else:
        say(f"checkpoint {outcome.checkpoint}")


def evaluate(
    checkpoint: Annotated[str | None, typer.Option(help="Folder or registry URI.")] = None,
    base: Base = None,
    any_base: AnyBase = None,
    prompts: Annotated[str | None, typer.Option(help="File, one prompt a line.")] = None,
    out: Annotated[str | None, typer.Option(help="Where the report is written.")] = None,
    dataset: Annotated[str | None, typer.Option(help="ROOT[@VERSION] with val photos.")] = None,
    pose_model: Annotated[str | None, typer.Option(help="Model that judges people.")] = None,
    trust_weights: Trust = None,
    register_model: Annotated[
        bool | None, typer.Option("--register", help="Enter it in the model registry.")
    ] = None,
    registry: Registry = None,
    device: Device = None,
    ray_address: RayAddress = None,
    config: Config = None,
    preset: Preset = None,
    assignments: Set = None,
    as_json: AsJson = False,
) -> None:
    """Compare a checkpoint with base and champion, write the report (flow evaluate-hcp)."""
    given = dict(locals())
    from flows.evaluate import arm_rows, evaluate_hcp
    from flows.params import EvaluateParams

    params = _params(EvaluateParams, given, _EVALUATE)
    with flow_output():
        outcome = evaluate_hcp(params)
    if as_json:
        # what each picture scored stands in the report's scores.json
        say_json(outcome.model_dump(exclude={"figures": {"scores", "photo_scores"}}))
        return
    say_table(arm_rows(outcome.figures))
    for line in outcome.figures.notes:
        say(line)
    say(f"report {outcome.report}")
    say(outcome.verdict)


def ablate(
    config: Config = None,
    preset: Preset = None,
    variants: Annotated[
        list[str] | None, typer.Option("--variant", help="To run; may be repeated; default all.")
    ] = None,
    questions: Annotated[
        list[str] | None,
        typer.Option("--question", help="To answer, such as loss; may be repeated; default all."),
    ] = None,
    parallel: Annotated[
        int | None, typer.Option(help="Variants at a time; default as many as Ray has room for.")
    ] = None,
    assignments: Set = None,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate variants of the method, answer questions (flow ablate-hcp)."""
    given = dict(locals())
    from flows.ablate import AblationError, ablate_hcp
    from flows.outcomes import AblateOutcome
    from flows.params import AblateParams

    def show(outcome: AblateOutcome) -> None:
        if as_json:
            say_json(outcome.model_dump())
            return
        for table in outcome.tables.values():
            say_table(table)
            say("")
        say(outcome.learnt)
        say(f"report {outcome.report}")

    params = _params(AblateParams, given, {})
    try:
        with flow_output():
            outcome = ablate_hcp(params)
        show(outcome)
    except AblationError as error:
        show(error.outcome)
        raise


def _say_version(root: str, version_id: str, *, as_json: bool) -> None:
    if not as_json:
        say(f"dataset version {version_id}")
        return
    from storage.versions import open_version

    version = open_version(root, version_id)
    say_json(
        {
            "dataset": f"{root}@{version_id}",
            "version": version_id,
            "samples": version.n_samples,
            "rejects": version.n_rejects,
            "rejects_by_reason": version.rejects_by_reason,
            "shards": len(version.shards),
            "excluded": len(version.exclusions),
        }
    )


def _params(
    kind: type[P],
    values: Mapping[str, Any],
    places: Mapping[str, str],
    *,
    before: Mapping[str, Any] | None = None,
) -> P:
    from flows.cli.settings import Given, load_params  # here: `hcp --help` needs no pydantic

    layers = ("config", "preset", "assignments", "as_json")
    options = {places.get(name, name): value for name, value in values.items()}
    given = Given(
        options={name: None if value == [] else value for name, value in options.items()
                 if name not in layers},
        assignments=values["assignments"] or (),
        file=values["config"],
        preset=values["preset"],
    )  # fmt: skip
    return load_params(kind, given, before=before)
