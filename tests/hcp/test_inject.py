"""Injection into a U-Net: base-equality row by row, maps, gradients, removal."""

import copy
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from hcp.adapter import HcpAdapter
from hcp.attention import attention_probs
from hcp.config import AlignmentConfig, HcpConfig, StageTable
from hcp.inject import Injection
from hcp.layer import HcpLayer
from hcp.objective import aligned_stages, alignment_terms
from hcp.processor import HcpProcessor
from hcp.sites import find_sites

CONFIG = HcpConfig(width=32)
TOKENS = 16


def _mask(*rows: tuple[int, ...]) -> Tensor:
    mask = torch.zeros(len(rows), TOKENS, dtype=torch.bool)
    for row, columns in enumerate(rows):
        mask[row, list(columns)] = True
    return mask


def _inputs(batch: int = 3, *, side: int = 16) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(3)
    return {
        "sample": torch.randn(batch, 4, side, side, generator=generator),
        "timestep": torch.tensor([10, 400, 900])[:batch],
        "encoder_hidden_states": torch.randn(batch, TOKENS, 32, generator=generator),
    }


def _run(unet: UNet2DConditionModel, inputs: dict[str, Any]) -> Tensor:
    return unet(**inputs, return_dict=False)[0]


@pytest.fixture
def unet(pipeline: StableDiffusionPipeline) -> UNet2DConditionModel:
    return pipeline.unet


@pytest.fixture
def injected(unet: UNet2DConditionModel) -> tuple[UNet2DConditionModel, HcpAdapter, Injection]:
    adapter = HcpAdapter.create(unet, CONFIG)
    return unet, adapter, adapter.inject(unet)


def test_phi_of_stable_diffusion_has_the_computed_size() -> None:
    # 42,184,896 for all 16 cross-attentions of SD 1.5, less the last layers' biases, which a
    # softmax over keys cannot see.
    widths = [320] * 5 + [640] * 5 + [1280] * 6
    with torch.device("meta"):
        layers = [
            HcpLayer(768, inner, HcpConfig(width=1024, activation="gelu", gate="fixed"))
            for inner in widths
        ]
    assert sum(p.numel() for layer in layers for p in layer.parameters()) == 42_184_896 - sum(
        widths
    )


def test_rows_without_human_tokens_are_bit_equal_whatever_the_weights(
    unet: UNet2DConditionModel,
) -> None:
    inputs = _inputs()
    with torch.no_grad():
        base = _run(unet, inputs)
        adapter = HcpAdapter.create(unet, CONFIG)
        for parameter in adapter.parameters():
            parameter.fill_(5.0)
        injection = adapter.inject(unet)
        with injection.tokens(_mask((), (), ())):
            assert torch.equal(_run(unet, inputs), base)
        with injection.tokens(_mask((), (2, 3), ())):
            mixed = _run(unet, inputs)
    assert torch.equal(mixed[[0, 2]], base[[0, 2]])
    assert not torch.equal(mixed[1], base[1])


def test_rows_without_human_tokens_survive_broken_weights(unet: UNet2DConditionModel) -> None:
    inputs = _inputs()
    with torch.no_grad():
        base = _run(unet, inputs)
        adapter = HcpAdapter.create(unet, CONFIG)
        for parameter in adapter.parameters():
            parameter.fill_(torch.nan)
        with adapter.inject(unet).tokens(_mask((), (2,), (4,))):
            mixed = _run(unet, inputs)
    assert torch.equal(mixed[0], base[0])


def test_a_zero_gate_starts_as_the_base_and_learns(unet: UNet2DConditionModel) -> None:
    inputs = _inputs()
    with torch.no_grad():
        base = _run(unet, inputs)
    adapter = HcpAdapter.create(unet, HcpConfig(width=32, gate="zero"))
    with adapter.inject(unet).tokens(_mask((1,), (2, 3), (4,))):
        found = _run(unet, inputs)
    assert torch.equal(found, base)
    found.square().mean().backward()
    gates = [p for name, p in adapter.named_parameters() if name.endswith(".gate")]
    assert len(gates) == len(adapter.card.sites)
    assert all(gate.grad is not None and gate.grad != 0 for gate in gates)


def test_only_hcp_parameters_get_gradients(
    injected: tuple[UNet2DConditionModel, HcpAdapter, Injection],
) -> None:
    unet, adapter, injection = injected
    with injection.tokens(_mask((1,), (2, 3), ())):
        _run(unet, _inputs()).square().mean().backward()
    assert all(name.startswith("hcp.") for name, _ in adapter.named_parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in adapter.parameters())
    assert all(p.grad is None for p in unet.parameters())
    assert not any("hcp" in name for name in unet.state_dict())


def test_recorded_maps_are_the_human_columns(
    injected: tuple[UNet2DConditionModel, HcpAdapter, Injection],
) -> None:
    unet, adapter, injection = injected
    inputs = _inputs()
    kinds = torch.zeros(3, TOKENS, dtype=torch.long)
    kinds[0, 1], kinds[1, 2], kinds[1, 3] = 1, 1, 2
    seen: dict[str, Tensor] = {}
    site = next(s for s in adapter.card.sites if s.stage == "mid")
    attn = unet.get_submodule(site.name)
    handle = attn.register_forward_pre_hook(lambda _m, args: seen.update(hidden=args[0]))
    with injection.tokens(_mask((1,), (2, 3), ()), kinds=kinds, record=("mid", "up")):
        _run(unet, inputs)
        maps = {layer.site: layer for layer in injection.maps((16, 16))}
        selection = injection.selection()
    handle.remove()
    assert len(maps) == len(adapter.card.sites)
    assert selection.columns.tolist() == [[1, 0], [2, 3], [0, 0]]
    assert selection.valid.tolist() == [[True, False], [True, True], [False, False]]
    assert selection.kinds is not None
    assert selection.kinds.tolist() == [[1, 0], [1, 2], [0, 0]]
    layer = maps[site.name]
    assert (layer.height, layer.width, layer.stage) == (4, 4, "mid")

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

    whole = attention_probs(
        heads(attn.to_q(seen["hidden"])),
        heads(adapter.hcp[site.name.replace(".", "-")](inputs["encoder_hidden_states"])),
    ).mean(dim=1)
    assert torch.allclose(layer.attn_map[1], whole[1][:, [2, 3]], atol=1e-6)
    assert torch.allclose(layer.attn_map[0, :, 0], whole[0][:, 1], atol=1e-6)
    assert (layer.attn_map[2] == 0).all()


def test_maps_are_kept_only_where_asked(
    injected: tuple[UNet2DConditionModel, HcpAdapter, Injection],
) -> None:
    unet, _, injection = injected
    with injection.tokens(_mask((1,), (2,), ())):
        _run(unet, _inputs())
        assert injection.maps((16, 16)) == []
    with injection.tokens(_mask((1,), (2,), ()), record=("mid",)):
        _run(unet, _inputs())
        assert {layer.stage for layer in injection.maps((16, 16))} == {"mid"}
        with pytest.raises(ValueError, match="map pixels"):
            injection.maps((32, 32))
    assert injection.maps((16, 16)) == []
    with pytest.raises(ValueError, match="no batch"):
        injection.selection()


def test_latents_that_are_not_square_or_divisible(
    injected: tuple[UNet2DConditionModel, HcpAdapter, Injection],
) -> None:
    unet, _, injection = injected
    inputs = _inputs(1)
    inputs["sample"] = torch.randn(1, 4, 18, 12, generator=torch.Generator().manual_seed(0))
    with injection.tokens(_mask((1,)), record=("mid", "up")):
        _run(unet, inputs)
        sizes = {(layer.stage, layer.height, layer.width) for layer in injection.maps((18, 12))}
    assert sizes == {("mid", 5, 3), ("up", 9, 6), ("up", 18, 12)}


def _total(
    unet: UNet2DConditionModel, injection: Injection, *, inside: bool
) -> dict[str, Tensor | None]:
    config = AlignmentConfig(stages=StageTable(mid="constant", up="constant"))
    inputs = _inputs(2)
    targets = {
        (n, n): torch.rand(2, n * n, generator=torch.Generator().manual_seed(n)) for n in (4, 8, 16)
    }
    with injection.tokens(_mask((1,), (2, 3)), record=aligned_stages(config)):
        prediction = _run(unet, inputs)
        terms = alignment_terms(
            injection.maps((16, 16)),
            targets,
            injection.selection().valid,
            inputs["timestep"],
            config=config,
            num_train_timesteps=1000,
        )
        loss = prediction.square().mean() + config.alpha * terms.total
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    return {"loss": loss.detach()}


def test_gradient_checkpointing_gives_the_same_gradients(
    injected: tuple[UNet2DConditionModel, HcpAdapter, Injection],
) -> None:
    unet, adapter, injection = injected
    unet.train()
    _total(unet, injection, inside=False)
    plain = [p.grad.clone() for p in adapter.parameters() if p.grad is not None]
    adapter.zero_grad()
    unet.enable_gradient_checkpointing()
    _total(unet, injection, inside=True)
    again = [p.grad for p in adapter.parameters() if p.grad is not None]
    assert len(again) == len(plain)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(again, plain, strict=True))


def test_removal_restores_the_very_processors(unet: UNet2DConditionModel) -> None:
    before = dict(unet.attn_processors)
    state = {name: t.clone() for name, t in unet.state_dict().items()}
    injection = HcpAdapter.create(unet, CONFIG).inject(unet)
    assert dict(unet.attn_processors) != before
    injection.remove()
    after = dict(unet.attn_processors)
    assert all(after[name] is before[name] for name in before)
    assert all(torch.equal(t, state[name]) for name, t in unet.state_dict().items())


def test_an_unannounced_or_wrong_batch_is_refused(
    injected: tuple[UNet2DConditionModel, HcpAdapter, Injection],
) -> None:
    unet, _, injection = injected
    with pytest.raises(ValueError, match="which tokens are human is unknown"):
        _run(unet, _inputs())
    with injection.tokens(_mask((1,), (1,))), pytest.raises(ValueError, match="3 rows"):
        _run(unet, _inputs())
    with pytest.raises(ValueError, match=r"\[N, K\]"), injection.tokens(_mask((1,))[0]):
        pass


class Unknown(AttnProcessor):
    """A processor of somebody else, which may compute anything."""


def test_other_attention_processors_are_refused(unet: UNet2DConditionModel) -> None:
    adapter = HcpAdapter.create(unet, CONFIG)
    first = adapter.inject(unet)
    first.reinstall()
    unet.set_attn_processor(Unknown())
    with pytest.raises(ValueError, match="was replaced"):
        first.reinstall()
    first.remove()
    assert all(type(p) is Unknown for p in unet.attn_processors.values())
    with pytest.raises(ValueError, match="Unknown"):
        adapter.inject(unet)


def test_a_changed_standard_processor_is_taken_over(unet: UNet2DConditionModel) -> None:
    injection = HcpAdapter.create(unet, CONFIG).inject(unet)
    unet.set_attn_processor(AttnProcessor())
    injection.reinstall()
    sites = {f"{site.name}.processor" for site in find_sites(unet, CONFIG)}
    now = unet.attn_processors
    assert {name for name in now if isinstance(now[name], HcpProcessor)} == sites
    injection.remove()
    assert all(type(p) is AttnProcessor for p in unet.attn_processors.values())


def test_creation_depends_on_the_seed_alone(unet: UNet2DConditionModel) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = HcpAdapter.create(unet, CONFIG)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    two = HcpAdapter.create(unet, CONFIG)
    other = HcpAdapter.create(unet, HcpConfig(width=32, init_seed=1))
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_half_precision_bases_run_and_train(unet: UNet2DConditionModel) -> None:
    half = copy.deepcopy(unet).to(torch.bfloat16)
    adapter = HcpAdapter.create(unet, CONFIG)
    injection = adapter.inject(half)
    inputs = {
        name: value.to(torch.bfloat16) if value.is_floating_point() else value
        for name, value in _inputs(2).items()
    }
    with injection.tokens(_mask((1,), ()), record=("mid",)):
        found = _run(half, inputs)
        assert found.dtype == torch.bfloat16
        assert injection.maps((16, 16))[0].attn_map.dtype == torch.float32
        found.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in adapter.parameters())
