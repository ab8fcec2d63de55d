"""The flows' parameters: what a person fills in, in the Prefect UI, a file or on the shell.

Each component's own settings are nested as they are; what stands here are places, names and what
belongs to the run as a whole.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from flows.legacy import moved
from flows.limits import RunLimits
from flows.names import Dataset, File, Name, Place, Registry, with_datasets, with_places
from flows.tree import check_names
from flows.variables import filled
from hcp.config import FileDtype
from hcp.evaluation.promotion import PromotionConfig
from hcp.evaluation.results import EvaluationConfig
from hcp.pages.votes import ComparePageConfig
from hcp.training.config import TrainConfig, Workers
from priors.config import ExtractorConfig, JudgeConfig, PoolConfig
from priors.gate import GateConfig
from storage.records import RejectReason
from storage.retries import TRANSIENT

BASE = "diffusers id or folder, .safetensors file here or on the hub, or 'embedded'"


class Params(BaseModel):
    """Base of all parameters: frozen, an unknown field is an error, a former one is understood."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, data: Any) -> Any:
        data = moved(cls, filled(data))
        check_names(cls, data)
        return data


class ComputeParams(Params):
    """Where the work runs."""

    ray_address: Annotated[
        Name | None, Field(description="Ray cluster; none: RAY_ADDRESS, else a local Ray")
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Field(description="of all models; auto: cuda where a worker has a GPU"),
    ] = "auto"
    nodes_wait_s: Annotated[
        float,
        Field(
            ge=0, description="seconds in which a cluster of ray_address may still get its nodes"
        ),
    ] = 900.0
    limits: Annotated[RunLimits, Field(description="how long the run may wait and work")] = (
        RunLimits()
    )


class RebuildParams(ComputeParams):
    """Extract pose and mask priors from captioned photos into a dataset version."""

    source: Annotated[Place, Field(description="captioned photos: folder, tars, COCO json, table")]
    root: Annotated[Place, Field(description="where shards and versions live")]
    format: Annotated[
        Literal["auto", "folder", "table", "webdataset", "coco"], Field(description="source layout")
    ] = "auto"
    images: Annotated[Place | None, Field(description="COCO: the folder of photos")] = None
    skip_unlisted: Annotated[
        bool, Field(description="leave out folders that cannot be listed, instead of ending")
    ] = False
    follow_links: Annotated[
        bool, Field(description="read what links out of the source lead to, such as a cache's")
    ] = False
    image_column: Annotated[
        str | None, Field(description="tables: the column of photos or their paths; none: by name")
    ] = None
    caption_column: Annotated[
        str | None, Field(description="tables: the column of captions; none: known by its name")
    ] = None
    unit_size: Annotated[int, Field(ge=1, description="samples of one shard, about")] = 1000
    gate: Annotated[GateConfig, Field(description="what a photo must have to be kept")] = (
        GateConfig()
    )
    extractor: Annotated[
        ExtractorConfig,
        AfterValidator(with_places("pose_model", "mask_model")),
        Field(description="the models that make the priors"),
    ] = ExtractorConfig()
    workers: Annotated[PoolConfig, Field(description="the extractors on Ray")] = PoolConfig()
    duplicates: Annotated[
        Literal["keep", "exact", "perceptual"],
        Field(description="repeated photos that the version excludes; shards keep them all"),
    ] = "keep"
    duplicate_distance_bits: Annotated[
        int, Field(ge=0, le=7, description="of 64: how far perceptual hashes may differ")
    ] = 0


class RetryParams(RebuildParams):
    """Try rejected records of a rebuild again, with the rebuild's own parameters."""

    reasons: Annotated[
        tuple[RejectReason, ...],
        Field(min_length=1, description="reject reasons that are tried again"),
    ] = TRANSIENT


class RegistryParams(Params):
    """Where models are registered, and under which name."""

    registry: Annotated[
        Registry | None,
        Field(description="MLflow URI; none: MLFLOW_TRACKING_URI, else ./hcp-registry.db"),
    ] = None
    model_name: Annotated[Name, Field(description="in the registry")] = "hcp"


class TrainSettings(ComputeParams, RegistryParams):
    """How the HcP layer is fine-tuned, whatever the dataset."""

    base: Annotated[File, Field(description=BASE)]
    out: Annotated[Place, Field(description="where checkpoints and logs are written")]
    resume: Annotated[
        bool, Field(description="go on from the last checkpoint of the same settings")
    ] = False
    workers: Annotated[Workers, Field(description="Ray Train workers")] = Workers()
    export: Annotated[
        FileDtype, Field(description="the numbers of the finished adapter's file")
    ] = "float16"
    license: Annotated[
        Name, Field(description="of the finished adapter, as the hub names it, such as apache-2.0")
    ] = "other"
    training: Annotated[
        TrainConfig,
        AfterValidator(with_places("resnet_weights", "init_from")),
        AfterValidator(with_datasets),
        Field(description="the loop, its data and the method"),
    ] = TrainConfig()
    mlflow: Annotated[bool, Field(description="keep an MLflow run of the training")] = True
    experiment: Annotated[Name, Field(description="MLflow experiment of the run")] = "hcp-training"
    parent_run: Annotated[
        Name | None, Field(description="id of an MLflow run that this one is a part of")
    ] = None


class TrainParams(TrainSettings):
    """Fine-tune an HcP layer on a dataset version."""

    dataset: Annotated[Dataset, Field(description="ROOT or ROOT@VERSION")]


class CacheParams(ComputeParams):
    """Encode a dataset version for a base: latents and text embeddings that training reads."""

    dataset: Annotated[Dataset, Field(description="ROOT or ROOT@VERSION")]
    base: Annotated[File, Field(description=BASE)]
    training: Annotated[
        TrainConfig,
        AfterValidator(with_places("resnet_weights", "init_from")),
        Field(description="as of the training that reads it: its data and cache count"),
    ] = TrainConfig()
    workers: Annotated[PoolConfig, Field(description="the encoders on Ray")] = PoolConfig()


class EvaluateSettings(ComputeParams, RegistryParams):
    """How a checkpoint is evaluated, whatever the checkpoint."""

    base: Annotated[File, Field(description=BASE)]
    any_base: Annotated[
        bool, Field(description="take a base with other weights than the checkpoint's, same layout")
    ] = False
    out: Annotated[Place, Field(description="where the report is written")]
    prompts: Annotated[
        Place | None, Field(description="file, one prompt a line; none: evaluation.prompts")
    ] = None
    bias_prompts: Annotated[
        File | None,
        Field(description="file of neutral prompts, or 'embedded'; none: evaluation.bias.prompts"),
    ] = None
    dataset: Annotated[
        Dataset | None,
        Field(description="ROOT[@VERSION] whose photos are compared with"),
    ] = None
    training_log: Annotated[
        Place | None, Field(description="the training's metrics.jsonl, for the report's curves")
    ] = None
    base_pictures: Annotated[
        Place | None,
        Field(description="folder that keeps the base's pictures for further evaluations"),
    ] = None
    judge: Annotated[
        JudgeConfig,
        AfterValidator(with_places("weights")),
        Field(description="the pose model that judges people: not the one that made the priors"),
    ] = JudgeConfig()
    allow_teacher_judge: Annotated[
        bool, Field(description="judge with the model that made the priors; marks the report")
    ] = False
    bodies: Annotated[
        File | None,
        Field(
            description="folder of a body judge of these pictures' world, or 'embedded' (drawn "
            "people); none: the people score goes without soundness"
        ),
    ] = None
    clip_model: Annotated[
        File | None, Field(description="CLIP id or folder for the text score; none: no score")
    ] = None
    features: Annotated[
        File | None,
        Field(
            description="network of FID, KID and CMMD: 'embedded', 'inception' or its weights' "
            "file, id or folder of a CLIP or DINOv2 model, folder of a Sam"
        ),
    ] = None
    mask_model: Annotated[
        File | None, Field(description="whose masks show body width (bias); none: not measured")
    ] = None
    evaluation: Annotated[
        EvaluationConfig,
        AfterValidator(with_places("out_of_domain")),
        Field(description="what is drawn and how it is compared"),
    ] = EvaluationConfig()
    promotion: Annotated[PromotionConfig, Field(description="when a difference counts")] = (
        PromotionConfig()
    )
    compare_page: Annotated[
        bool, Field(description="beside the report, a page on which people compare with the base")
    ] = False
    compare: Annotated[
        ComparePageConfig, Field(description="what the compare page asks, and of how many pairs")
    ] = ComparePageConfig()
    gpus: Annotated[
        float | None, Field(ge=0, description="of each task; none: 1 where Ray has a GPU, else 0")
    ] = None
    tasks: Annotated[
        int | None,
        Field(ge=1, description="that draw at a time; none: as many as Ray has GPUs, 1 without"),
    ] = None
    register_model: Annotated[bool, Field(description="enter the checkpoint in the registry")] = (
        False
    )
    registry: Annotated[
        Registry | None,
        Field(description="MLflow URI; none: MLFLOW_TRACKING_URI, else ./hcp-registry.db"),
    ] = None
    model_name: Annotated[Name, Field(description="in the registry")] = "hcp"


class EvaluateParams(EvaluateSettings):
    """Compare a checkpoint with its base and with the champion."""

    checkpoint: Annotated[File, Field(description="folder or registry URI")]


class RebuildAndTrainParams(Params):
    """Rebuild a dataset, train on it, evaluate, register."""

    rebuild: RebuildParams
    train: TrainSettings
    evaluate: EvaluateSettings
    train_unchanged: Annotated[
        bool, Field(description="train also where version and settings were trained before")
    ] = False


class AblateParams(Params):
    """Train and evaluate variants of the method on one dataset version, for stated questions.

    Where neither variants nor questions nor own variants are named, all that are built in are run.
    """

    train: TrainParams
    evaluate: EvaluateSettings
    variants: Annotated[
        tuple[str, ...], Field(description="names of flows.variants.VARIANTS or of own ones")
    ] = ()
    questions: Annotated[
        tuple[str, ...], Field(description="of flows.variants.QUESTIONS: all variants of each")
    ] = ()
    own: Annotated[
        Mapping[str, Mapping[str, Any]],
        Field(description="variants by settings of training: {name: {hcp.width: 64}}"),
    ] = {}
    seeds: Annotated[
        tuple[int, ...],
        Field(description="of the training: each variant once a seed; none: training.seed"),
    ] = ()
    parallel: Annotated[
        int | None, Field(ge=1, description="variants at a time; none: as many as Ray has room for")
    ] = None
