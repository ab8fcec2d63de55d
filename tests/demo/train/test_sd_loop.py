"""The tiny pipeline's training loop: resume, averages, processes."""

from pathlib import Path

import torch

from demo.train import sd_loop
from demo.train.schedule import Budget


def _fit(path: Path, steps: int, *, total: int) -> torch.nn.Linear:
    """A linear model trained to ``steps`` of a schedule of ``total``, resuming from path."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)

    def loss_of(step: int, rank: int) -> torch.Tensor:
        if step == steps:
            raise KeyboardInterrupt
        return (model(torch.randn(8, 3)) - 1).square().mean()

    config = sd_loop.LoopConfig(
        budget=Budget(steps=total, minutes=60), ema_decay=0.5, checkpoint_every_s=-1
    )
    try:
        sd_loop.train({"m": model}, loss_of, config=config, team=sd_loop.Team(), checkpoint=path)
    except KeyboardInterrupt:
        return model
    return model


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = _fit(tmp_path / "whole.pt", 99, total=12)
    _fit(tmp_path / "cut.pt", 5, total=12)
    resumed = _fit(tmp_path / "cut.pt", 99, total=12)
    assert torch.equal(whole.weight, resumed.weight)


def test_gradients_of_a_team_are_averaged() -> None:
    """With one process the average is the process's own; extras come back after the gradients."""
    param = torch.nn.Parameter(torch.zeros(3))
    param.grad = torch.tensor([1.0, 2.0, 3.0])
    extra = sd_loop._average_gradients([param], torch.tensor([7.0, 8.0]), sd_loop.Team())
    assert extra.tolist() == [7.0, 8.0]
    assert param.grad.tolist() == [1.0, 2.0, 3.0]


def test_averages_follow_the_parameters_and_forget_early_steps_faster() -> None:
    param = torch.nn.Parameter(torch.zeros(1))
    averages = sd_loop.Averages([param])
    with torch.no_grad():
        param.fill_(1.0)
    averages.update([param], decay=0.99, step=0)
    assert averages.values[0].item() > 0.8  # a rate of 0.9, not of 0.01
    averages.copy_to([param])
    assert param.item() == averages.values[0].item()


def test_a_checkpoint_shows_the_averages_and_training_goes_on_without_them(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    seen: list[float] = []
    steps: list[float] = []

    def loss_of(step: int, rank: int) -> torch.Tensor:
        steps.append(model.weight.item())
        return (model(torch.ones(1, 1)) - 5).square().mean()

    config = sd_loop.LoopConfig(
        budget=Budget(steps=4, minutes=60), peak_lr=0.5, ema_decay=0.9, checkpoint_every_s=-1
    )
    done = sd_loop.train(
        {"m": model}, loss_of, config=config, team=sd_loop.Team(),
        checkpoint=tmp_path / "state.pt", on_checkpoint=lambda: seen.append(model.weight.item()),
    )  # fmt: skip
    assert done["steps"] == len(seen) == 4
    assert model.weight.item() == seen[-1]  # the averages are what training leaves
    assert all(average != value for average, value in zip(seen, steps[1:], strict=False))


def test_chunks_cover_a_range() -> None:
    parts = list(sd_loop.chunks(7, 3))
    assert [i for part in parts for i in range(7)[part]] == list(range(7))
    assert [part.stop - part.start for part in parts] == [3, 3, 1]
