"""A rebuild over what the version before the settings tree left on disk computes nothing."""

import shutil
from pathlib import Path

from demo.embedded import POSE_PX
from flows.extraction import rebuild_job, version_facts
from flows.params import RebuildParams
from hcp.tokens import TOKENS_VERSION
from priors.planning import plan_extraction
from storage.work import publish_work

GOLDEN = Path(__file__).parents[1] / "golden"
GOLDEN_VERSION = "087adefe7626544b"


def test_an_unchanged_source_leaves_nothing_to_do_and_gives_the_same_version(
    tmp_path: Path,
) -> None:
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    params = RebuildParams.model_validate(
        {
            "source": str(GOLDEN / "photos"),
            "root": str(tmp_path / "data"),
            "unit_size": 6,
            "extractor": {"pose_model": "embedded", "mask_model": "embedded", "imgsz": POSE_PX},
        }
    )
    job = rebuild_job(params)
    work = plan_extraction(
        job.extraction,
        job.extraction.source.records(),
        unit_size=6,
        words_version=TOKENS_VERSION,
        settings="",
    )
    assert work.plan.n_records == 16
    assert not work.todo
    assert list(work.units()) == []
    version, is_new = publish_work(
        work, config=version_facts(params), duplicates="keep", distance_bits=0
    )
    assert (version.id, is_new) == (GOLDEN_VERSION, False)
