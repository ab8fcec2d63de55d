"""The adapters that are committed, so that anybody can judge without training."""

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.evidence.job import Job
from benchmarks.evidence.settings import EvidenceSettings
from hcp.checkpoint import file_in
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.run_folder import files_for_use
from storage.checkpoints import mark_complete, read_listed
from storage.locations import write_atomic

SEED = 0


def committed_arms(settings: EvidenceSettings) -> Mapping[str, str]:
    """Folder of each committed adapter, and its arm; a third, the paper's, would be too large.

    All committed weights together stay below 32 MB.
    """
    return {"default": settings.default, "lora": "lora"}


def export(jobs: list[Job], settings: EvidenceSettings, out: Path, *, base: str) -> None:
    """Write the finished adapters of one training seed in float16.

    Args:
        jobs: those that have been trained.
        out: folder of the adapters' folders.
        base: how the base is called elsewhere, in place of where it lies here.
    Raises:
        ValueError: an arm of the committed ones was not trained.
    """
    for name, arm in committed_arms(settings).items():
        found = [job for job in jobs if (job.arm, job.seed) == (arm, SEED)]
        kept = CheckpointFolder(str(found[0].folder)).finished() if found else []
        if not kept:
            raise ValueError(f"--export: {arm}, seed {SEED}, was not trained")
        uri, place = kept[-1].uri, out / name
        names = files_for_use(uri)
        for file, content in read_listed(uri, names).items():
            data = _named(content, base) if file.endswith(".json") else content
            write_atomic(str(place / file), file_in("float16", file, data))
        mark_complete(str(place), names)


def _named(card: bytes, base: str) -> bytes:
    facts = json.loads(card) | {"base_model": base}
    return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()
