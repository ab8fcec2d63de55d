"""The flows' parameters: what a person fills in, in the Prefect UI, a file or on the shell."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hcp.config import HcpConfig
from priors.gate import GateConfig
from storage.records import RejectReason
from storage.retries import TRANSIENT


class Params(BaseModel):
    """Base of all parameters: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ComputeParams(Params):
    """Where the work runs."""

    ray_address: Annotated[
        str | None, Field(description="Ray cluster; empty: RAY_ADDRESS, else a local Ray")
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda"], Field(description="auto: cuda where an actor has a GPU")
    ] = "auto"


class RebuildParams(ComputeParams):
    """Extract pose and mask priors from captioned photos into a dataset version."""

    source: Annotated[str, Field(description="captioned photos: folder, tars, COCO json, table")]
    root: Annotated[str, Field(description="where shards and versions live")]
    format: Annotated[
        Literal["auto", "folder", "table", "webdataset", "coco"], Field(description="source layout")
    ] = "auto"
    images: Annotated[str | None, Field(description="COCO: the folder of photos")] = None
    pose_model: Annotated[
        str, Field(description="ultralytics pose model: name, path, URL or 'embedded'")
    ] = "yolo11n-pose.pt"
    mask_model: Annotated[
        str, Field(description="SAM or yolo-seg weights: name, path, URL or 'embedded'")
    ] = "sam_vit_h"
    image_size_px: Annotated[int, Field(ge=64, description="detector's square input")] = 640
    batch_size: Annotated[int, Field(ge=1)] = 8
    unit_size: Annotated[int, Field(ge=1, description="samples of one shard, about")] = 1000
    trust_weights: Annotated[
        bool, Field(description="load pickled weights that are not in the known table")
    ] = False
    gate: Annotated[GateConfig, Field(description="what a photo must have to be kept")] = (
        GateConfig()
    )
    duplicates: Annotated[
        Literal["keep", "exact", "perceptual"],
        Field(description="repeated photos that the version excludes; shards keep them all"),
    ] = "keep"
    duplicate_distance_bits: Annotated[
        int, Field(ge=0, le=7, description="of 64: how far perceptual hashes may differ")
    ] = 0
    actors: Annotated[int, Field(ge=0, description="extractors; 0: as many as fit")] = 0
    cpus_per_actor: Annotated[float, Field(gt=0)] = 1
    gpus_per_actor: Annotated[
        float | None, Field(ge=0, description="empty: 1 where Ray has a GPU, else 0")
    ] = None
    decode_cpus: Annotated[
        int,
        Field(ge=0, description="CPUs of the cluster that decode for the extractors; 0: their own"),
    ] = 0


class RetryParams(RebuildParams):
    """Try rejected records of a rebuild again, with the rebuild's own parameters."""

    reasons: Annotated[
        tuple[RejectReason, ...],
        Field(min_length=1, description="reject reasons that are tried again"),
    ] = TRANSIENT


class TrainSettings(ComputeParams):
    """How the HcP layer is fine-tuned, whatever the dataset."""

    base: Annotated[str, Field(description="diffusers id or folder, or 'embedded'")]
    out: Annotated[str, Field(description="where checkpoints and logs are written")]
    steps: Annotated[int, Field(ge=1)] = 2000
    workers: Annotated[int, Field(ge=1, description="Ray Train workers")] = 1
    cpus_per_worker: Annotated[float, Field(gt=0)] = 0.9
    gpus_per_worker: Annotated[
        float | None, Field(ge=0, description="empty: 1 where Ray has a GPU, else 0")
    ] = None
    resume: Annotated[
        bool, Field(description="go on from the last checkpoint of the same settings")
    ] = False
    batch_size: Annotated[int, Field(ge=1, description="per worker")] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    ema_decay: Annotated[float | None, Field(gt=0, lt=1, description="empty: no average")] = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: Annotated[int, Field(ge=1, description="steps")] = 500
    resolution_px: Annotated[int, Field(ge=64, description="training image side")] = 512
    seed: int = 0
    hcp: Annotated[HcpConfig, Field(description="the method's settings")] = HcpConfig()


class TrainParams(TrainSettings):
    """Fine-tune an HcP layer on a dataset version."""

    dataset: Annotated[str, Field(description="ROOT or ROOT@VERSION")]


class EvaluateSettings(ComputeParams):
    """How a checkpoint is evaluated, whatever the checkpoint."""

    base: Annotated[str, Field(description="diffusers id or folder, or 'embedded'")]
    out: Annotated[str, Field(description="where the report is written")]
    prompts: Annotated[
        str | None, Field(description="file, one prompt a line; empty: the built-in set")
    ] = None
    dataset: Annotated[
        str | None, Field(description="ROOT[@VERSION] whose val photos measure attention")
    ] = None
    pose_model: Annotated[str, Field(description="pose model that judges people")] = (
        "yolo11n-pose.pt"
    )
    pose_image_size_px: Annotated[int, Field(ge=64)] = 640
    trust_weights: bool = False
    seeds: Annotated[int, Field(ge=1, description="pictures per prompt")] = 4
    inference_steps: Annotated[int, Field(ge=1)] = 30
    guidance: Annotated[float, Field(ge=1)] = 7.5
    attention_photos: Annotated[int, Field(ge=1, description="held-out photos")] = 64
    training_log: Annotated[
        str | None, Field(description="the training's metrics.jsonl, for the report's curves")
    ] = None
    clip_model: Annotated[
        str | None, Field(description="CLIP id or folder for the text score; empty: none")
    ] = None
    register_model: Annotated[bool, Field(description="enter the checkpoint in the registry")] = (
        False
    )
    registry: Annotated[
        str | None,
        Field(description="MLflow URI; empty: MLFLOW_TRACKING_URI, else ./hcp-registry.db"),
    ] = None
    gpus: Annotated[
        float | None, Field(ge=0, description="empty: 1 where Ray has a GPU, else 0")
    ] = None
    model_name: Annotated[str, Field(min_length=1)] = "hcp"


class EvaluateParams(EvaluateSettings):
    """Compare a checkpoint with its base and with the champion."""

    checkpoint: Annotated[str, Field(description="folder or registry URI")]


class RebuildAndTrainParams(Params):
    """Rebuild a dataset, train on it, evaluate, register."""

    rebuild: RebuildParams
    train: TrainSettings
    evaluate: EvaluateSettings


class AblateParams(Params):
    """Train and evaluate variants of the method on one dataset version."""

    train: TrainParams
    evaluate: EvaluateSettings
    variants: Annotated[
        tuple[str, ...], Field(description="names of flows.ablate.VARIANTS; empty: all")
    ] = ()
