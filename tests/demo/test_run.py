"""The demo's settings; tests/flows/test_pipeline.py runs it, small, and checks its table."""

from pathlib import Path

from demo.run import PROMPTS, DemoSize, demo_params
from flows.params import RebuildAndTrainParams


def test_the_settings_are_the_preset_s_with_places_and_sizes_of_this_run(tmp_path: Path) -> None:
    size = DemoSize(train_steps=1, seeds=3, unit_size=8)
    params = RebuildAndTrainParams.model_validate(demo_params(tmp_path, size))
    assert params.rebuild.unit_size == 8
    assert params.rebuild.extractor.pose_model == "embedded"
    assert (params.train.training.steps, params.train.training.checkpoint_every) == (1, 1)
    assert params.train.resume
    assert params.evaluate.evaluation.seeds == (0, 1, 2)
    assert params.evaluate.prompts == str(PROMPTS)
    assert params.evaluate.register_model
    for place in (params.rebuild.root, params.train.out, params.evaluate.out):
        assert Path(place).parent == tmp_path
