"""The adapter on whole pipelines: the properties 5.7 (a) to (e), training, and refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnAddedKVProcessor2_0
from numpy.typing import NDArray

from hcp.adapter import HcpAdapter
from hcp.config import AlignmentConfig, HcpConfig, StageTable
from hcp.objective import aligned_stages, alignment_terms
from hcp.targets import PriorBatch, build_targets
from hcp.tokens import human_token_kinds
from storage.errors import CheckpointError, RegistryError
from storage.registry import Registry

CONFIG = HcpConfig(width=32)
HUMAN = "a woman doing yoga on the beach"
OTHER = "a red car in the park with a dog running"


def _draw(pipeline: Any, prompt: str | list[str] | None, **settings: Any) -> NDArray[np.float32]:
    settings.setdefault("num_inference_steps", 3)
    return pipeline(
        prompt,
        generator=torch.Generator().manual_seed(7),
        output_type="np",
        **settings,
    ).images


def _loud(pipeline: Any, config: HcpConfig = CONFIG) -> HcpAdapter:
    """An adapter that changes a great deal wherever it acts."""
    adapter = HcpAdapter.create(pipeline.unet, config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return adapter


def test_a_prompt_without_human_tokens_gives_the_base_image(any_pipeline: Any) -> None:
    base = _draw(any_pipeline, OTHER)
    base_pair = _draw(any_pipeline, [OTHER, HUMAN], guidance_scale=1.0)
    adapter = _loud(any_pipeline).attach(any_pipeline)
    assert np.array_equal(_draw(any_pipeline, OTHER), base)
    pair = _draw(any_pipeline, [OTHER, HUMAN], guidance_scale=1.0)
    assert np.array_equal(pair[0], base_pair[0])
    assert not np.array_equal(pair[1], base_pair[1])
    adapter.detach()


def test_human_prompts_change_the_image(any_pipeline: Any) -> None:
    base = _draw(any_pipeline, HUMAN)
    _loud(any_pipeline).attach(any_pipeline)
    found = _draw(any_pipeline, HUMAN)
    assert np.isfinite(found).all()
    assert np.abs(found - base).max() > 1e-3
    assert np.array_equal(_draw(any_pipeline, HUMAN), found)


def test_unconditional_and_negative_rows_are_untouched(any_pipeline: Any) -> None:
    outputs: list[torch.Tensor] = []
    any_pipeline.unet.register_forward_hook(lambda _m, _a, out: outputs.append(out[0].clone()))
    settings: dict[str, Any] = {
        "negative_prompt": ["a man jumping"] * 2,
        "num_images_per_prompt": 2,
        "num_inference_steps": 1,
    }
    _draw(any_pipeline, [HUMAN, OTHER], **settings)
    _loud(any_pipeline).attach(any_pipeline)
    _draw(any_pipeline, [HUMAN, OTHER], **settings)
    base, found = outputs
    assert len(base) == 8
    same = [torch.equal(b, f) for b, f in zip(base, found, strict=True)]
    assert same == [True] * 4 + [False] * 2 + [True] * 2


def test_a_zero_gate_gives_the_base_image(any_pipeline: Any) -> None:
    base = _draw(any_pipeline, HUMAN)
    config = HcpConfig(width=32, gate="zero")
    HcpAdapter.create(any_pipeline.unet, config).attach(any_pipeline)
    assert np.array_equal(_draw(any_pipeline, HUMAN), base)


def test_save_load_generate_gives_the_same_image(any_pipeline: Any, tmp_path: Path) -> None:
    adapter = _loud(any_pipeline)
    adapter.save_pretrained(tmp_path / "a", step=12, dataset_version="v1", base_model="tiny")
    adapter.attach(any_pipeline)
    expected = _draw(any_pipeline, HUMAN)
    adapter.detach()
    loaded = HcpAdapter.from_pretrained(tmp_path / "a")
    assert (loaded.card.step, loaded.card.dataset_version) == (12, "v1")
    assert loaded.config == CONFIG
    loaded.attach(any_pipeline)
    assert np.array_equal(_draw(any_pipeline, HUMAN), expected)


@pytest.mark.parametrize(
    ("start", "value"),
    [("flat", "learned"), ("residual", "learned"), ("residual", "own"), ("residual", "pixel")],
)
def test_variants_keep_the_base_without_human_words_and_load_again(
    pipeline: StableDiffusionPipeline, start: Any, value: Any, tmp_path: Path
) -> None:
    base = {prompt: _draw(pipeline, prompt) for prompt in (HUMAN, OTHER)}
    config = HcpConfig(width=32, start=start, value=value)
    adapter = HcpAdapter.create(pipeline.unet, config)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(std=0.2)
    adapter.attach(pipeline)
    assert np.array_equal(_draw(pipeline, OTHER), base[OTHER])
    drawn = _draw(pipeline, HUMAN)
    assert np.abs(drawn - base[HUMAN]).max() > 1e-3
    adapter.detach()
    adapter.save_pretrained(tmp_path / "a")
    loaded = HcpAdapter.from_pretrained(tmp_path / "a")
    assert loaded.config == config
    loaded.attach(pipeline)
    assert np.array_equal(_draw(pipeline, HUMAN), drawn)


@pytest.mark.parametrize("value", ["own", "pixel"])
def test_values_of_ones_own_begin_as_the_base_whatever_gamma_is(
    pipeline: StableDiffusionPipeline, value: Any
) -> None:
    base = _draw(pipeline, HUMAN)
    HcpAdapter.create(pipeline.unet, HcpConfig(width=32, value=value, gamma=30.0)).attach(pipeline)
    assert np.array_equal(_draw(pipeline, HUMAN), base)


def test_strength_goes_from_the_base_to_what_was_trained(
    pipeline: StableDiffusionPipeline,
) -> None:
    base = _draw(pipeline, HUMAN)
    adapter = _loud(pipeline)
    adapter.strength = 0.5
    adapter.attach(pipeline)
    half = _draw(pipeline, HUMAN)
    adapter.strength = 1.0
    full = _draw(pipeline, HUMAN)
    adapter.strength = 0.501
    near = _draw(pipeline, HUMAN)
    adapter.strength = 0.0
    assert np.array_equal(_draw(pipeline, HUMAN), base)
    assert np.abs(near - half).max() < 0.1 * np.abs(full - half).max()
    with pytest.raises(ValueError, match="finite"):
        adapter.strength = float("nan")


def test_an_adapter_loads_from_an_fsspec_url(pipeline: StableDiffusionPipeline) -> None:
    adapter = _loud(pipeline)
    adapter.save_pretrained("memory://bucket/adapter", step=5)
    loaded = HcpAdapter.from_pretrained("memory://bucket/adapter")
    assert loaded.card.step == 5
    expected = adapter.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in loaded.state_dict().items())


def test_the_number_of_parameters_is_told_by_stage(pipeline: StableDiffusionPipeline) -> None:
    adapter = HcpAdapter.create(pipeline.unet, CONFIG)
    sizes = adapter.parameter_count()
    assert sum(sizes.values()) == sum(p.numel() for p in adapter.parameters())
    assert set(sizes) == {("mid", 4), ("up", 2), ("up", 1)}
    only_mid = HcpAdapter.create(pipeline.unet, HcpConfig(width=32, stages=("mid",)))
    assert only_mid.parameter_count() == {("mid", 4): sizes["mid", 4]}


def test_detaching_gives_the_original_pipeline(any_pipeline: Any) -> None:
    names, processors = dict(any_pipeline.__dict__), dict(any_pipeline.unet.attn_processors)
    base = _draw(any_pipeline, HUMAN)
    adapter = _loud(any_pipeline).attach(any_pipeline)
    _draw(any_pipeline, HUMAN)
    adapter.detach()
    adapter.detach()
    assert "encode_prompt" not in any_pipeline.__dict__
    assert set(any_pipeline.__dict__) == set(names) | {
        name for name in any_pipeline.__dict__ if name.startswith("_")
    }
    after = any_pipeline.unet.attn_processors
    assert all(after[name] is processor for name, processor in processors.items())
    assert np.array_equal(_draw(any_pipeline, HUMAN), base)
    adapter.attach(any_pipeline)


def test_keys_are_computed_once_per_prompt(pipeline: StableDiffusionPipeline) -> None:
    adapter = _loud(pipeline).attach(pipeline)
    calls: list[int] = []
    for layer in adapter.hcp.values():
        layer.register_forward_hook(lambda _m, args, _o: calls.append(len(args[0])))
    _draw(pipeline, HUMAN, num_inference_steps=5)
    assert calls == [1] * len(adapter.hcp)  # not the unconditional row, not once per step
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.neg_()
    before = len(calls)
    _draw(pipeline, HUMAN)
    assert len(calls) == 2 * before


def test_the_negative_prompt_of_a_batch_and_guidance_may_change(
    pipeline: StableDiffusionPipeline,
) -> None:
    _loud(pipeline).attach(pipeline)

    def drop_guidance(
        pipe: Any, step: int, _t: Any, state: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        if step == 0:
            pipe._guidance_scale = 0.0
            state["prompt_embeds"] = state["prompt_embeds"].chunk(2)[-1]
        return state

    found = _draw(
        pipeline,
        HUMAN,
        callback_on_step_end=drop_guidance,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
    )
    assert np.isfinite(found).all()


def test_another_pipeline_on_the_same_unet_finds_no_stale_mask(
    pipeline: StableDiffusionPipeline,
) -> None:
    other = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    adapter = _loud(pipeline).attach(pipeline)
    _draw(pipeline, HUMAN)
    photo = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="unknown"):
        other(HUMAN, image=photo, num_inference_steps=4)
    adapter.detach()
    base = _draw(other, HUMAN, image=photo, num_inference_steps=4)
    adapter.attach(other)
    assert not np.array_equal(_draw(other, HUMAN, image=photo, num_inference_steps=4), base)


def test_attach_refuses_what_it_would_break(pipeline: StableDiffusionPipeline) -> None:
    adapter = _loud(pipeline).attach(pipeline)
    with pytest.raises(ValueError, match="attached already"):
        adapter.attach(pipeline)
    pipeline.unet.set_attn_processor(AttnAddedKVProcessor2_0())
    with pytest.raises(ValueError, match="was replaced"):
        _draw(pipeline, HUMAN)
    adapter.detach()
    with pytest.raises(ValueError, match="attached adapter"), adapter.token_mask(torch.zeros(1, 1)):
        pass


def test_a_wrong_base_is_refused_with_what_differs(
    make_pipeline: Callable[[int], Any], tmp_path: Path
) -> None:
    right, other = make_pipeline(0), make_pipeline(1)
    _loud(right).save_pretrained(tmp_path)
    adapter = HcpAdapter.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="other weights"):
        adapter.attach(other)
    adapter.attach(other, any_base=True)
    adapter.detach()
    right.unet.to(torch.bfloat16)  # the same base, rounded
    adapter.attach(right)
    adapter.detach()
    wide = type(right.unet).from_config({**right.unet.config, "cross_attention_dim": 24})
    with pytest.raises(CheckpointError, match=r"adapter 32 -> .*base 24 -> "):
        adapter.inject(wide)
    shallow = type(right.unet).from_config({**right.unet.config, "layers_per_block": 2})
    with pytest.raises(CheckpointError, match="not in the adapter"):
        adapter.inject(shallow)


def test_a_registry_entry_loads(
    make_pipeline: Callable[[int], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="the core does not bring it")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    adapter = _loud(make_pipeline(0))
    adapter.save_pretrained(tmp_path / "a", step=3)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry = Registry(uri)
    entry = registry.register("hcp", checkpoint_uri=str(tmp_path / "a"), metrics={}, tags={})
    registry.promote("hcp", entry.version)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_URI"):
        HcpAdapter.from_pretrained("hcp-registry:hcp/champion")
    for name in ("hcp-registry:hcp/champion", entry.registry_uri):
        assert HcpAdapter.from_pretrained(name, tracking_uri=uri).card.step == 3
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        assert HcpAdapter.from_pretrained("hcp-registry:hcp/champion").card.step == 3
    assert not (tmp_path / "hcp-registry.db").exists()  # asking makes no registry
    (tmp_path / "mlflow.db").rename(tmp_path / "hcp-registry.db")
    assert HcpAdapter.from_pretrained("hcp-registry:hcp/champion").card.step == 3


def _train(pipeline: Any, *, steps: int, seed: int) -> tuple[list[float], list[float]]:
    """One fixed batch, alternating noise levels; the alignment and total loss of each step."""
    config = HcpConfig(
        width=64,
        alignment=AlignmentConfig(
            alpha=1.0,
            distance="centred_cosine",
            stages=StageTable(mid="constant", up="constant"),
        ),
    )
    adapter = HcpAdapter.create(pipeline.unet, config)
    injection = adapter.inject(pipeline.unet)
    generator = torch.Generator().manual_seed(seed)
    prompts = [HUMAN, "two people dancing"]
    with torch.no_grad():
        text = pipeline.encode_prompt(prompts, "cpu", 1, False)[0]
    side = pipeline.unet.config.sample_size
    keypoints = torch.rand(2, 1, 17, 3, generator=generator) * torch.tensor([64.0, 128.0, 0.0])
    keypoints[..., 2] = 1.0
    masks = torch.zeros(2, 128, 128, dtype=torch.uint8)
    masks[:, :, :64] = 1
    priors = PriorBatch(image_size=(128, 128), keypoints=keypoints, masks=masks)
    latents = torch.randn(2, 4, side, side, generator=generator)
    noise = torch.randn(2, 4, side, side, generator=generator)
    timesteps = torch.tensor([100, 700])
    noisy = pipeline.scheduler.add_noise(latents, noise, timesteps)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-2)
    aligned, totals = [], []
    kinds = human_token_kinds(pipeline.tokenizer, prompts)
    for _ in range(steps):
        with injection.tokens(kinds > 0, kinds=kinds, record=aligned_stages(config.alignment)):
            noise_pred = pipeline.unet(noisy, timesteps, encoder_hidden_states=text).sample
            maps, selection = injection.maps((side, side)), injection.selection()
        assert selection.kinds is not None
        targets = build_targets(
            priors,
            selection.kinds,
            [(layer.height, layer.width) for layer in maps],
            table=config.alignment.priors,
        )
        terms = alignment_terms(
            maps,
            targets,
            selection.valid,
            timesteps,
            config=config.alignment,
            num_train_timesteps=1000,
        )
        loss = (
            torch.nn.functional.mse_loss(noise_pred, noise) + config.alignment.alpha * terms.total
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        aligned.append(terms.total.item())
        totals.append(loss.item())
    injection.remove()
    return aligned, totals


def test_training_on_one_batch_halves_the_alignment_loss(
    make_pipeline: Callable[[int], Any],
) -> None:
    pipeline = make_pipeline(0)
    before = {name: t.clone() for name, t in pipeline.unet.state_dict().items()}
    aligned, totals = _train(pipeline, steps=40, seed=0)
    assert aligned[-1] <= aligned[0] / 2
    assert all(torch.equal(t, before[name]) for name, t in pipeline.unet.state_dict().items())
    assert _train(make_pipeline(0), steps=3, seed=0)[1] == totals[:3]
    assert _train(make_pipeline(0), steps=3, seed=1)[1] != totals[:3]
