"""A worker of an evaluation draws the parts that it is given."""

import numpy as np
import pytest

from flows.draw_worker import DrawJob
from flows.params import EvaluateSettings
from hcp.evaluation.drawing import Part
from hcp.evaluation.results import EvaluationConfig
from storage.errors import HcpError

CONFIG = EvaluationConfig(prompts=("a man", "a red car"), seeds=(0, 1), steps=1, batch_size=2)


def test_a_worker_draws_parts_and_names_the_pictures_that_kill_it() -> None:
    wanted = CONFIG.picture_set()
    parts = [Part(arm="base", wanted=wanted, start=i, stop=i + 2) for i in (0, 2)]
    params = EvaluateSettings(base="embedded", out="out", evaluation=CONFIG, device="cpu")
    job = DrawJob(params=params, places={}, parts=parts)
    units, worker = job.units(), job()
    assert [record.uri for record in units[1].records] == [
        "'a red car', seed 0", "'a red car', seed 1"
    ]  # fmt: skip
    reports = [worker.process(unit, poison=frozenset()) for unit in units]
    assert sum(report.n_samples for report in reports) == 4
    images = [image for report in reports for image in report.done().images]
    assert np.array_equal(images, list(job().here.pictures("base", wanted)))
    assert worker.probe(units[1].records[1:]) == 1
    with pytest.raises(HcpError, match=r"1 of 2 pictures of the base kill .*'a red car', seed 1"):
        worker.process(units[1], poison={"3"})
