"""One arm and training seed: what there is to do, and where it lies below the work folder.

``<work>/<arm>/seed-<n>/train-<digest>-<steps>/`` is a run's folder of the product, with pictures
and figures beside its checkpoint; digests are of all that they depend on, so that what changed is
done again and the rest is not. A folder may be deleted at any time.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.evidence.settings import BASE_ARM, DrawingConfig
from hcp.training.config import TrainConfig
from hcp.training.run_folder import run_name
from priors.config import ModelConfig
from storage.canonical import digest_of
from storage.checkpoints import content_digest
from storage.versions import open_version, split_dataset

Purpose = Literal["reported", "tuning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptChoice:
    """Which prompts; each process finds the very same ones."""

    n_people: int
    n_others: int
    file: str | None = None
    drawn_world: bool = True  # else the data set's held-out captions
    purpose: Purpose = "reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all jobs have in common; plain data that goes to their processes."""

    work: str
    base: str
    base_digest: str
    dataset: str  # ROOT@VERSION that arms train on
    reference: str  # ROOT@VERSION whose poses, captions and photos the judge knows
    device: str
    prompts: PromptChoice
    drawing: DrawingConfig
    judge: ModelConfig
    bodies: str | None  # folder of the body judge
    judge_digest: str  # of both
    features: str | None
    attention_photos: int
    reference_photos: int
    threads: int | None = None  # of torch in each process
    rejudge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Train where there is something to train, draw, judge."""

    arm: str
    bench: Bench
    seed: int = 0
    kind: Literal["base", "method", "controlnet", "given"] = "method"
    config: TrainConfig | None = None  # of those that train
    checkpoint: str | None = None  # of "given": trained elsewhere
    parameters: int = 0  # that train

    @property
    def folder(self) -> Path:
        """Of this job's training, pictures and figures."""
        work = Path(self.bench.work)
        if self.kind == "given":
            assert self.checkpoint is not None
            return work / self.arm / f"given-{content_digest(self.checkpoint)[:12]}"
        if self.config is None:
            return work / BASE_ARM / f"base-{self.bench.base_digest}"
        root, version = split_dataset(self.bench.dataset)
        base, dataset = self.bench.base_digest, open_version(root, version)
        name = run_name(self.config, dataset=dataset, base=base, out=str(work), resume=True)
        return work / self.arm / f"seed-{self.seed}" / f"{name}-{self.config.steps}"

    def pictures(self, prompts_digest: str) -> Path:
        """Of the prompts that the digest names."""
        drawn = [prompts_digest, self.bench.drawing.steps, self.bench.drawing.guidance,
                 self.bench.drawing.batch_size]  # fmt: skip
        return self.folder / f"pictures-{digest_of(drawn, hex_digits=12)}"

    def judged(self, prompts_digest: str) -> Path:
        """The figures of those pictures."""
        bench = self.bench
        by = [bench.judge_digest, bench.features, bench.attention_photos, bench.reference_photos,
              bench.reference.rpartition("@")[2]]  # fmt: skip
        name = self.pictures(prompts_digest).name.removeprefix("pictures-")
        return self.folder / f"judged-{name}-{digest_of(by, hex_digits=8)}.json"
