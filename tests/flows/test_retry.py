"""retry-failed through Prefect and Ray: what was unreadable for a moment is in the next version."""

from pathlib import Path

import pytest
from prefect import flow

from demo.world.dataset import DrawnFolder
from flows import rebuild_dataset, retry_failed
from flows.extraction import rebuild_job
from flows.params import RebuildParams, RetryParams
from flows.rebuild import extract, plan_work, publish
from flows.retry import last_settings
from storage.errors import HcpError
from storage.verify import verify_root
from storage.versions import open_version
from tests.flows.flow_samples import rebuild_params

pytestmark = [pytest.mark.ray, pytest.mark.prefect, pytest.mark.usefixtures("one_ray")]


@pytest.fixture
def photos(drawn: DrawnFolder, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in sorted(drawn.seeds)[:6]:
        for path in (drawn.root / name, (drawn.root / name).with_suffix(".txt")):
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_rejects_that_work_now_join_the_next_version(
    prefect_api: str, drawn: DrawnFolder, photos: Path, tmp_path: Path
) -> None:
    params = rebuild_params(drawn, tmp_path / "data").model_copy(update={"source": str(photos)})
    away, photo = tmp_path / "away.jpg", sorted(photos.glob("*.jpg"))[2]

    @flow
    def rebuild_while_a_photo_is_away(params: RebuildParams) -> str:
        job = rebuild_job(params)
        work = plan_work(job)
        photo.rename(away)
        extract(job, work)
        away.rename(photo)
        return publish(job, work).id

    first = open_version(params.root, rebuild_while_a_photo_is_away(params))
    assert first.rejects_by_reason["unreadable"] == 1
    again = RetryParams.model_validate(last_settings(params.root))
    second = open_version(params.root, retry_failed(again))
    assert "unreadable" not in second.rejects_by_reason
    assert second.n_samples + second.n_rejects == first.n_samples + first.n_rejects == 6
    kept = {s.key: s.image_jpeg for s in first.iter_samples()}
    now = {s.key: s.image_jpeg for s in second.iter_samples()}
    assert kept.items() <= now.items()
    # neither another retry nor a rebuild finds anything to do
    assert retry_failed(again) == rebuild_dataset(params) == second.id
    assert verify_root(params.root) == []


def test_a_root_without_a_rebuild_is_named(tmp_path: Path) -> None:
    with pytest.raises(HcpError, match="no rebuild of"):
        last_settings(str(tmp_path))
