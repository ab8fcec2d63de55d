"""Parts of an evaluation's pictures are the whole's, bit for bit, wherever they were drawn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.evaluation.base_pictures import BasePictures
from hcp.evaluation.bias_results import BiasConfig
from hcp.evaluation.drawing import DrawnBefore, DrawnHere, Part, PartDone, parts_of
from hcp.evaluation.results import EvaluationConfig, PictureSet
from hcp.evaluation.run import evaluate
from hcp.evaluation.tasks import drawn_sets, plan
from storage.errors import HcpError
from tests.hcp.evaluation.test_run import CONFIG, detector
from tests.hcp.samples import make_sample

MAIN = CONFIG.picture_set()  # six pictures, in batches of three
PHOTOS = [make_sample(i) for i in range(6)]


@pytest.fixture
def here(pipeline: StableDiffusionPipeline) -> DrawnHere:
    candidate = HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gamma=3.0))
    return DrawnHere(pipeline=pipeline, trained={"candidate": candidate}, config=CONFIG)


def drawn(here: DrawnHere, parts: list[Part], *, device: str | None = None) -> list[PartDone]:
    device = here.device if device is None else device
    return [
        PartDone(
            part=part, device=device,
            images=() if part.wanted is None else tuple(here.draw(part)),
            maps=() if part.wanted else tuple(here.maps(part.arm, PHOTOS[part.start : part.stop])),
        )
        for part in parts
    ]  # fmt: skip


@pytest.mark.parametrize("n_parts", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 64])
def test_parts_are_whole_batches_and_together_everything(n_parts: int, batch_size: int) -> None:
    other = PictureSet(prompts=("a cat", "a dog"), seeds=(0,))
    wanted = [("base", MAIN), ("candidate", MAIN), ("candidate", other)]
    parts = parts_of(
        wanted, probed=["candidate"], n_photos=9, batch_size=batch_size, n_parts=n_parts
    )
    for arm, each in (*wanted, ("candidate", None)):
        own = [part for part in parts if (part.arm, part.wanted) == (arm, each)]
        assert own[0].start == 0
        assert [part.stop for part in own[:-1]] == [part.start for part in own[1:]]
        assert own[-1].stop == (9 if each is None else len(each.pictures()))
        step = 4 if each is None else batch_size
        assert all(part.start % step == 0 for part in own)
        assert all(part.size > 0 for part in own)
    assert len(parts) <= max(n_parts, 1) + 2 * (len(wanted) + 1)


def test_an_evaluation_of_parts_says_the_same_to_the_bit(here: DrawnHere) -> None:
    def report(drawing: DrawnHere | DrawnBefore) -> object:
        found = evaluate(
            here.pipeline, here.trained["candidate"], config=CONFIG, detector=detector,
            val_samples=PHOTOS, drawing=drawing,
        )  # fmt: skip
        return found.report

    parts = plan(here, n_photos=len(PHOTOS), n_parts=100)
    assert len(parts) == 2 * 2 + 2
    others = DrawnBefore(here=here, done=drawn(here, parts)[::-1])  # in any order
    assert report(others) == report(here)
    some = DrawnBefore(here=here, done=drawn(here, [p for p in parts if p.arm == "base"]))
    assert report(some) == report(here)  # what nobody drew is drawn now


def test_a_part_that_is_missing_is_no_smaller_evaluation(here: DrawnHere) -> None:
    parts = plan(here, n_photos=len(PHOTOS), n_parts=100)
    pictures = DrawnBefore(here=here, done=drawn(here, parts[1:]))
    with pytest.raises(HcpError, match="3 pictures of the base, the evaluation needs 6"):
        list(pictures.pictures("base", MAIN))
    maps = DrawnBefore(here=here, done=drawn(here, parts[:-1]))
    with pytest.raises(HcpError, match="needs 6"):
        maps.maps("candidate", PHOTOS)


def test_the_base_s_pictures_are_kept_where_the_same_kind_of_machine_drew_them(
    here: DrawnHere, tmp_path: Path
) -> None:
    def kept(name: str) -> DrawnHere:
        folder = str(tmp_path / name)
        pictures = BasePictures(
            folder=folder, base="0" * 32, config=CONFIG, device="cpu", dtype=torch.float32
        )
        return replace(here, kept=pictures)

    parts = [part for part in plan(here, n_photos=0, n_parts=9) if part.arm == "base"]
    for name, device in (("same", here.device), ("other", "a card of another kind")):
        before = DrawnBefore(here=kept(name), done=drawn(here, parts, device=device))
        images = list(before.pictures("base", MAIN))
        assert np.array_equal(images, list(here.pictures("base", MAIN)))
    assert [path.name for path in tmp_path.iterdir()] == ["same"]
    again = plan(kept("same"), n_photos=0, n_parts=9)
    assert {part.arm for part in again} == {"candidate"}  # the base's are there


def test_what_is_drawn_is_what_the_measures_ask_for(
    here: DrawnHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hcp.evaluation.bias_measure import BiasTools, bias_measure
    from hcp.evaluation.out_of_domain import out_of_domain_measure

    (tmp_path / "set").write_text("things: a car\npeople abroad: a man\n")
    bias = BiasConfig(enabled=True, prompts=("a person", "a man"), seeds=(4,), n_permutations=9)
    config = EvaluationConfig(
        prompts=CONFIG.prompts, seeds=(3,), steps=1, n_resamples=9, bias=bias,
        out_of_domain=str(tmp_path / "set"),
    )  # fmt: skip
    here, asked = replace(here, config=config), list[tuple[str, PictureSet]]()
    pictures: Callable[..., object] = DrawnHere.pictures

    def note(self: DrawnHere, arm: str, wanted: PictureSet, **more: object) -> object:
        asked.append((arm, wanted))
        return pictures(self, arm, wanted, **more)

    monkeypatch.setattr(DrawnHere, "pictures", note)
    candidate = here.trained["candidate"]
    tools = BiasTools(detector=detector)
    evaluate(
        here.pipeline, candidate, config=config, detector=detector, drawing=here,
        measures=[
            out_of_domain_measure(here.pipeline, here.trained, config=config, drawing=here),
            bias_measure(here.pipeline, candidate, tools, config, drawing=here),
        ],
    )  # fmt: skip
    expected = drawn_sets(config, ("base", "candidate"))
    assert len(asked) == len(expected) == 6
    assert set(asked) == set(expected)
