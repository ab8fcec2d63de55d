"""Every method in the same loop: what trains, what stays, what is resumed, what is saved."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTokenizer

from hcp import HcpAdapter, HcpConfig
from hcp.checkpoint import METHOD_CARD
from hcp.config import AlignmentConfig
from hcp.training.batches import Batch, LoaderState, collate, iter_batches
from hcp.training.config import DataConfig, LoraConfig, TrainConfig
from hcp.training.methods import load_trained
from hcp.training.methods.lora import LORA_FILE
from hcp.training.methods.names import METHODS
from hcp.training.metrics import StepMetrics
from hcp.training.state import load_checkpoint, save_checkpoint
from hcp.training.trainer import Trainer, train_steps
from storage.checkpoints import listed_files
from storage.errors import CheckpointError
from tests.hcp.layouts import PIXELS, Layout, layout_pipeline
from tests.hcp.samples import epoch_source, make_sample

CONFIG = TrainConfig(
    batch_size=2,
    learning_rate=1e-2,
    warmup_steps=1,
    ema_decay=0.5,
    data=DataConfig(resolution_px=32, caption_dropout=0.0, decode_threads=1),
    hcp=HcpConfig(width=16),
    lora=LoraConfig(rank=2, alpha=4.0),
)
SAMPLES = [make_sample(i, caption=c) for i, c in enumerate(("a woman doing yoga", "two people"))]
VARIED = ("hcp+value+gate", "attention+full", "region+full")
EVERY = (*METHODS, *(pytest.param(name, marks=pytest.mark.slow) for name in VARIED))
OTHERS = ("lora", "attention", "region", "full")

MakePipeline = Callable[[int], StableDiffusionPipeline]


def trainer_of(pipeline: StableDiffusionPipeline, method: str, **changes: object) -> Trainer:
    config = dataclasses.replace(CONFIG, method=method, **changes)
    return Trainer(pipeline, config, base_model="tiny", dataset_version="v1", teachers=("d1",))


def stream(trainer: Trainer) -> Iterator[tuple[Batch, LoaderState]]:
    return iter_batches(
        epoch_source(SAMPLES),
        lambda examples: collate(examples, tokenizer=trainer.pipeline.tokenizer),
        batch_size=2, config=trainer.config.data, seed=0, state=trainer.loader,
    )  # fmt: skip


def run(trainer: Trainer, until: int) -> list[StepMetrics]:
    metrics = list(train_steps(trainer, stream(trainer), until=until))
    unlike = {"images_per_s": 0.0, "data_wait": 0.0, "device_memory_mib": 0.0}
    return [dataclasses.replace(m, **unlike) for m in metrics]


def state_of(pipeline: StableDiffusionPipeline, *parts: str) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": tensor.clone()
        for part in parts
        for name, tensor in getattr(pipeline, part).state_dict().items()
    }


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def draw(pipeline: StableDiffusionPipeline, prompt: str = "a woman doing yoga") -> np.ndarray:
    generator = torch.Generator().manual_seed(5)
    return pipeline(prompt, num_inference_steps=2, generator=generator, output_type="np").images


@pytest.mark.parametrize("method", EVERY)
def test_what_is_named_trains_and_nothing_else(
    pipeline: StableDiffusionPipeline, method: str
) -> None:
    frozen = ("vae", "text_encoder") if "full" in method else ("unet", "vae", "text_encoder")
    before = state_of(pipeline, *frozen)
    trainer = trainer_of(pipeline, method)
    named = trainer.method.named_parameters()
    start = {name: parameter.detach().clone() for name, parameter in named}
    assert [p for _, p in named] == trainer.parameters
    assert len(start) == len(named)
    modules = [pipeline.unet, pipeline.vae, pipeline.text_encoder]
    if not method.startswith("hcp"):
        trains = [p for module in modules for p in module.parameters() if p.requires_grad]
        assert {id(p) for p in trains} == {id(p) for p in trainer.parameters}
    run(trainer, 2)
    moved = [name for name, p in named if not torch.equal(p, start[name])]
    assert moved == list(start)
    trainer.close()
    assert same(state_of(pipeline, *frozen), before)
    assert not any(p.requires_grad for module in modules for p in module.parameters())


@pytest.mark.parametrize("method", EVERY)
def test_a_resumed_run_takes_the_same_steps(
    make_pipeline: MakePipeline, tmp_path: Path, method: str
) -> None:
    whole_trainer = trainer_of(make_pipeline(0), method)
    whole = run(whole_trainer, 4)
    first = trainer_of(make_pipeline(0), method)
    head = run(first, 2)
    save_checkpoint(tmp_path / "step-2", first)
    second = trainer_of(make_pipeline(0), method)
    load_checkpoint(tmp_path / "step-2", second)
    assert head + run(second, 4) == whole
    for a, b in zip(whole_trainer.parameters, second.parameters, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("method", EVERY)
def test_what_was_trained_draws_the_same_after_loading(
    make_pipeline: MakePipeline, tmp_path: Path, method: str
) -> None:
    trainer = trainer_of(make_pipeline(0), method, ema_decay=None)
    run(trainer, 2)
    save_checkpoint(tmp_path / "c", trainer)
    if method.startswith("hcp"):
        trainer.close()
        trainer.method.adapter.attach(trainer.pipeline)
    trained = draw(trainer.pipeline)

    pipeline = make_pipeline(0)
    base, weights = draw(pipeline), state_of(pipeline, "unet")
    loaded = load_trained(str(tmp_path / "c"))
    card = loaded.card
    assert (card.method, card.step, card.base_model) == (method, 2, "tiny")
    assert (card.dataset_version, card.teachers) == ("v1", ("d1",))
    assert sum(loaded.parameter_count().values()) == sum(p.numel() for p in trainer.parameters)
    loaded.attach(pipeline)
    with pytest.raises(ValueError, match="attached already"):
        loaded.attach(pipeline)
    drawn = draw(pipeline)
    np.testing.assert_allclose(drawn, trained, atol=1e-5)
    assert not np.array_equal(drawn, base)
    with loaded.at_strength(0.0):
        assert np.array_equal(draw(pipeline), base)
    loaded.strength = 0.5
    half = draw(pipeline)
    assert not np.array_equal(half, base)
    assert not np.array_equal(half, drawn)
    loaded.strength = 1.0
    assert np.array_equal(draw(pipeline), drawn)
    loaded.detach()
    loaded.detach()
    assert np.array_equal(draw(pipeline), base)
    assert same(state_of(pipeline, "unet"), weights)


@pytest.mark.parametrize("method", OTHERS)
def test_another_base_is_refused(make_pipeline: MakePipeline, tmp_path: Path, method: str) -> None:
    trainer = trainer_of(make_pipeline(0), method)
    save_checkpoint(tmp_path / "c", trainer)
    loaded, other = load_trained(tmp_path / "c"), make_pipeline(1)
    with pytest.raises(CheckpointError, match="other weights"):
        loaded.attach(other)
    loaded.attach(other, any_base=True).detach()


@pytest.mark.parametrize("method", OTHERS)
def test_an_hcp_adapter_is_not_made_of_it(
    pipeline: StableDiffusionPipeline, tmp_path: Path, method: str
) -> None:
    save_checkpoint(tmp_path / "c", trainer_of(pipeline, method))
    with pytest.raises(CheckpointError, match=rf"method '{method}': load it with .*load_trained"):
        HcpAdapter.from_pretrained(tmp_path / "c")


@pytest.mark.parametrize("method", ["lora", "attention", "region"])
def test_diffusers_reads_the_lora_itself(
    make_pipeline: MakePipeline, tmp_path: Path, method: str
) -> None:
    trainer = trainer_of(make_pipeline(0), method, ema_decay=None)
    run(trainer, 2)
    save_checkpoint(tmp_path / "c", trainer)
    pipeline = make_pipeline(0)
    pipeline.load_lora_weights(tmp_path / "c")
    np.testing.assert_allclose(draw(pipeline), draw(trainer.pipeline), atol=1e-5)


def test_diffusers_reads_the_whole_unet_itself(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    trainer = trainer_of(pipeline, "full", ema_decay=None)
    run(trainer, 1)
    save_checkpoint(tmp_path / "c", trainer)
    read = UNet2DConditionModel.from_pretrained(tmp_path / "c", subfolder="unet")
    assert same(read.state_dict(), pipeline.unet.state_dict())


def test_it_stands_beside_another_lora(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    trainer = trainer_of(make_pipeline(0), "lora", ema_decay=None)
    run(trainer, 2)
    save_checkpoint(tmp_path / "c", trainer)
    pipeline = make_pipeline(0)
    pipeline.load_lora_weights(tmp_path / "c", adapter_name="mine")
    pipeline.set_adapters(["mine"], [0.5])
    one = draw(pipeline)
    loaded = load_trained(tmp_path / "c").attach(pipeline)
    assert not np.array_equal(draw(pipeline), one)
    loaded.strength = 0.0
    assert np.array_equal(draw(pipeline), one)
    loaded.detach()
    assert np.array_equal(draw(pipeline), one)
    assert pipeline.get_active_adapters() == ["mine"]


def test_the_state_of_another_method_is_refused(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "lora", trainer_of(make_pipeline(0), "lora"))
    for other in ("hcp", "attention", "full"):
        with pytest.raises(CheckpointError, match=f"by the method 'lora', this run is '{other}'"):
            load_checkpoint(tmp_path / "lora", trainer_of(make_pipeline(0), other))
    wider = trainer_of(make_pipeline(0), "lora", lora=LoraConfig(rank=3))
    with pytest.raises(CheckpointError, match="other settings of the method 'lora': lora"):
        load_checkpoint(tmp_path / "lora", wider)


@pytest.mark.parametrize("method", [*OTHERS, "hcp"])
def test_a_training_begins_from_another_s_weights(
    make_pipeline: MakePipeline, tmp_path: Path, method: str
) -> None:
    first = trainer_of(make_pipeline(0), method, ema_decay=None)
    run(first, 1)
    save_checkpoint(tmp_path / "c", first)
    second = trainer_of(make_pipeline(0), method)
    second.start_from(str(tmp_path / "c"))
    for a, b in zip(first.parameters, second.parameters, strict=True):
        torch.testing.assert_close(a, b)


def test_a_begin_from_what_does_not_fit_is_refused(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "lora", trainer_of(make_pipeline(0), "lora"))
    save_checkpoint(tmp_path / "hcp", trainer_of(make_pipeline(0), "hcp"))
    before = trainer_of(make_pipeline(0), "lora", lora=LoraConfig(rank=3))
    start = [p.detach().clone() for p in before.parameters]
    with pytest.raises(CheckpointError, match=r"init_from .*another layout"):
        before.start_from(str(tmp_path / "lora"))
    assert all(torch.equal(a, b) for a, b in zip(start, before.parameters, strict=True))
    with pytest.raises(CheckpointError, match="other weights"):
        trainer_of(make_pipeline(1), "attention").start_from(str(tmp_path / "lora"))
    for method, file in (("full", "unet/.*safetensors"), ("lora", "pytorch_lora_weights")):
        trainer = trainer_of(make_pipeline(0), method)
        with pytest.raises(CheckpointError, match=f"{method!r} begins with {file}.*not there"):
            trainer.start_from(str(tmp_path / "hcp"))
    with pytest.raises(CheckpointError, match="no HcP adapter but of the method 'lora'"):
        trainer_of(make_pipeline(0), "hcp").start_from(str(tmp_path / "lora"))


def test_noise_data_and_first_loss_are_the_same_for_all(make_pipeline: MakePipeline) -> None:
    first = {
        method: run(trainer_of(make_pipeline(0), method), 1)[0]
        for method in ("hcp+gate", "lora", "attention", "full")
    }
    losses = {method: step.denoise for method, step in first.items()}
    # A closed gate and a B of zeros are the base; so are the weights that have not moved.
    assert list(losses.values()) == pytest.approx([losses["lora"]] * 4, rel=1e-5)


def test_attention_is_pulled_to_people(pipeline: StableDiffusionPipeline) -> None:
    hcp = HcpConfig(alignment=AlignmentConfig(alpha=50.0, distance="centred_cosine"))
    trainer = trainer_of(pipeline, "attention", hcp=hcp, lora=LoraConfig(rank=8))
    batch = next(stream(trainer))
    first = trainer.step([batch])
    for _ in range(30):
        trainer.step_done = 0  # the same noise every time
        last = trainer.step([batch])
    assert last.alignment < 0.9 * first.alignment
    assert first.attention_share is not None
    assert last.attention_share is not None
    assert last.attention_share > first.attention_share
    assert set(last.alignment_by_stage) == {"mid", "up"}


@pytest.mark.parametrize("method", ["attention", "attention+full", "full", "lora"])
def test_gradient_checkpointing_changes_no_gradient(
    make_pipeline: MakePipeline, method: str
) -> None:
    grads: list[list[torch.Tensor]] = []
    for checkpointing in (False, True):
        trainer = trainer_of(make_pipeline(0), method, gradient_checkpointing=checkpointing)
        trainer.step([next(stream(trainer))])
        grads.append([p.grad for p in trainer.parameters if p.grad is not None])
        trainer.close()
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_layers_of_new_matrices_are_seeded(make_pipeline: MakePipeline) -> None:
    torch.manual_seed(1)
    one = trainer_of(make_pipeline(0), "lora").parameters
    torch.manual_seed(2)
    other = trainer_of(make_pipeline(0), "lora").parameters
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    seeded = trainer_of(make_pipeline(0), "lora", lora=LoraConfig(rank=2, init_seed=1)).parameters
    assert not torch.equal(one[0], seeded[0])


def test_targets_that_are_no_layers_are_refused(pipeline: StableDiffusionPipeline) -> None:
    with pytest.raises(ValueError, match="to_nothing"):
        trainer_of(pipeline, "lora", lora=LoraConfig(targets=("to_nothing",)))


def test_files_for_use(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", trainer_of(pipeline, "attention"))
    files = listed_files(str(tmp_path / "c"))
    assert {name for name in files if "trainer_state" not in name} == {LORA_FILE, METHOD_CARD}
    card = json.loads((tmp_path / "c" / METHOD_CARD).read_text())
    assert card["settings"]["lora"]["rank"] == 2
    assert set(card["settings"]) == {"lora", "alignment", "layers"}


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["sd2", "sdxl"])
@pytest.mark.parametrize("method", ["attention", "full"])
def test_other_layouts_train_and_load(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path, method: str, layout: Layout
) -> None:
    first, second = (layout_pipeline(layout, tiny_tokenizer) for _ in range(2))
    data = dataclasses.replace(CONFIG.data, resolution_px=PIXELS)
    trainer = trainer_of(first, method, ema_decay=None, data=data)
    run(trainer, 2)
    save_checkpoint(tmp_path / "c", trainer)
    base, trained = draw(second), draw(first)
    loaded = load_trained(tmp_path / "c").attach(second)
    np.testing.assert_allclose(draw(second), trained, atol=1e-5)
    loaded.detach()
    assert np.array_equal(draw(second), base)
    if method == "attention":
        second.load_lora_weights(tmp_path / "c")
        np.testing.assert_allclose(draw(second), trained, atol=1e-5)
