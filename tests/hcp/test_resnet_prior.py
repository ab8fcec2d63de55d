"""The ResNet-50 prior: its sizes, where it responds, its weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from hcp.resnet_prior import ResnetPrior
from storage.errors import WeightsError
from tests.left_files import LEFT

pytest.importorskip("torchvision", reason="the core does not bring it")


@pytest.fixture(scope="module")
def resnet() -> ResnetPrior:
    return ResnetPrior(None, seed=0)


def _pose_image() -> Tensor:
    image = torch.zeros(1, 3, 64, 64)
    image[0, 0, 10:14, 8:40] = 1
    image[0, 1, 10:50, 20:24] = 0.8
    return image


@pytest.mark.parametrize("side", [16, 8, 4, 2])
def test_there_is_a_stage_for_each_map_size(resnet: ResnetPrior, side: int) -> None:
    found = resnet(_pose_image(), map_size=(side, side))
    assert found.shape == (1, side, side)
    assert (found >= 0).all()
    assert found.max() > 0


def test_it_sees_nothing_in_black_and_resizes_other_shapes(resnet: ResnetPrior) -> None:
    assert (resnet(torch.zeros(2, 3, 64, 64), map_size=(16, 16)) == 0).all()
    assert resnet(_pose_image(), map_size=(6, 9)).shape == (1, 6, 9)


def test_the_response_is_where_the_skeleton_is(resnet: ResnetPrior) -> None:
    image = torch.zeros(1, 3, 64, 64)
    image[0, :, 4:12, 4:12] = 1
    found = resnet(image, map_size=(16, 16))[0]
    assert found[:6, :6].mean() > 10 * found[10:, 10:].mean()


def test_it_stays_frozen_and_in_evaluation_mode(resnet: ResnetPrior) -> None:
    before = resnet(_pose_image(), map_size=(8, 8))
    resnet.train()
    assert torch.equal(resnet(_pose_image(), map_size=(8, 8)), before)
    assert not any(p.requires_grad for p in resnet.parameters())


def test_unusable_weights_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("weights")
    torch.save({"fc.weight": torch.zeros(2)}, folder / "other.pth")
    for name in (folder / "absent.safetensors", folder / "other.pth", "NO_SUCH_NAME"):
        with pytest.raises(WeightsError, match="ResNet-50"):
            ResnetPrior(name)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_load_from_a_file(
    resnet: ResnetPrior, tmp_path_factory: pytest.TempPathFactory, suffix: str
) -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / f"resnet.{suffix}"
    state = resnet50(weights=None).state_dict()
    (torch.save if suffix == "pth" else save_file)(state, path)
    assert torch.equal(
        ResnetPrior(path)(_pose_image(), map_size=(8, 8)), resnet(_pose_image(), map_size=(8, 8))
    )


def test_weights_load_by_their_torchvision_name(
    resnet: ResnetPrior, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torchvision.models import ResNet50_Weights, resnet50

    torch.manual_seed(0)
    name = ResNet50_Weights.IMAGENET1K_V2
    stored = tmp_path / "hub" / "checkpoints" / name.url.rsplit("/", 1)[1]
    stored.parent.mkdir(parents=True)
    torch.save(resnet50(weights=None).state_dict(), stored)  # where torch.hub keeps downloads
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = ResnetPrior("IMAGENET1K_V2")(_pose_image(), map_size=(8, 8))
    assert torch.equal(found, resnet(_pose_image(), map_size=(8, 8)))


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "bin"])
@pytest.mark.parametrize("kind", ["lfs", "html", "text", "empty", "garbage"])
def test_b03_what_a_download_left_is_named(kind: str, suffix: str, tmp_path: Path) -> None:
    data, said = LEFT.get(kind, (b"\x80\x02garbage\xff\xfe\x00", "ResNet-50 weights"))
    path = tmp_path / f"resnet50.{suffix}"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=said) as refused:
        ResnetPrior(path)
    assert "ResNet-50" in str(refused.value)
    assert str(path) in str(refused.value)
