"""Maps: the released numbers, a plain transcription of the released loop, and the fast network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_network import GOLDEN, fill, needs_golden
from released_maps import released_loop

from c2am_plugin.errors import InputError
from c2am_plugin.network.inference import OneChannel, fast_copy
from c2am_plugin.network.maps import (
    SCALES,
    ScaleLogits,
    check_scales,
    default_scales,
    mean_logit,
    released_map,
    scale_logits,
)
from c2am_plugin.network.model import C2AM
from c2am_plugin.training.devices import pick_device, torch_threads


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise of several sizes, so that every scale sees something."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3))
    blocks = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    return (blocks + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)


def map_of(model: torch.nn.Module, image: np.ndarray, flag: bool) -> tuple[np.ndarray, np.ndarray]:
    return released_map(scale_logits(model, [image])[0], flag)


def trained(backbone: str = "squeezenet1_0", stride: int = 8) -> C2AM:
    """A network whose BatchNorms have seen something, so that folding them is no trifle."""
    torch.manual_seed(0)
    model = C2AM(backbone, stride)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        model.train()
        for _ in range(2):
            model.logits(torch.randn(2, 3, 64, 64))
    return model.eval()


@pytest.mark.slow
@needs_golden
def test_the_released_maps() -> None:
    stored = np.load(GOLDEN / "maps.npz")
    model = C2AM("resnet50").eval()
    with torch.no_grad():
        fill(model)
    fast = fast_copy(model)
    flags = set()
    for i in range(2):
        flag = bool(stored[f"{i}_flag"])
        strided, full = map_of(fast, stored[f"{i}_image"], flag)
        assert strided.dtype == full.dtype == np.float32
        np.testing.assert_allclose(strided, stored[f"{i}_cam"], atol=1e-5, rtol=0)
        np.testing.assert_allclose(full, stored[f"{i}_hr_cam"], atol=1e-5, rtol=0)
        flags.add(flag)
    assert flags == {False, True}


@pytest.mark.parametrize(("size", "bias"), [((3, 3), False), ((5, 1), True)])
def test_a_convolution_to_one_channel_is_its_taps_shifted_and_summed(
    size: tuple[int, int], bias: bool
) -> None:
    padding = (size[0] // 2, size[1] // 2)
    conv = torch.nn.Conv2d(7, 1, size, padding=padding, bias=bias)
    x = torch.randn(2, 7, 9, 12)
    torch.testing.assert_close(OneChannel(conv)(x), conv(x))


def test_the_head_of_a_fast_copy_is_one() -> None:
    heads = [module for module in fast_copy(trained()).modules() if isinstance(module, OneChannel)]
    assert len(heads) == 1


@pytest.mark.slow
@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("shape", [(75, 101), (64, 48)])
def test_maps_are_those_of_the_plain_loop(shape: tuple[int, int], flag: bool) -> None:
    model, image = trained(), photo(*shape)
    expected = released_loop(model, image, flag)
    for network in (model, fast_copy(model)):
        found = map_of(network, image, flag)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)
    assert found[1].std() > 0.01, "a flat map would prove nothing"


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_large", "densenet121"])
def test_folding_leaves_the_logits_and_the_model_alone(backbone: str) -> None:
    model = trained(backbone, 16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        plain, fast = model.logits(images), fast_copy(model).logits(images)
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)
    norms = sum(isinstance(m, torch.nn.BatchNorm2d) for m in fast_copy(model).modules())
    assert norms < sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    if backbone != "densenet121":  # which has BatchNorms that no convolution precedes
        assert norms == 0
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_model_in_training_is_copied_in_eval_mode() -> None:
    model = trained().train()
    assert not fast_copy(model).training
    assert model.training
    assert next(model.parameters()).requires_grad


@pytest.mark.slow
def test_bf16_is_near() -> None:
    model, image = trained(), photo(64, 80)
    exact = map_of(model, image, False)[1]
    rough = map_of(fast_copy(model, bf16=True), image, False)[1]
    assert 0 < np.abs(exact - rough).max() < 0.1


@pytest.mark.slow
def test_images_of_one_size_go_together() -> None:
    fast = fast_copy(trained())
    images = [photo(60, 44, seed) for seed in range(3)]
    together = scale_logits(fast, images)
    for image, logits in zip(images, together, strict=True):
        alone = scale_logits(fast, [image])[0]
        for pair, expected in zip(logits.pairs, alone.pairs, strict=True):
            torch.testing.assert_close(pair, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_a_mirrored_image_gives_the_mirrored_map() -> None:
    fast, image = fast_copy(trained()), photo(64, 96)
    plain = mean_logit(scale_logits(fast, [image])[0], False)
    mirrored = mean_logit(scale_logits(fast, [image[:, ::-1].copy()])[0], False)
    np.testing.assert_allclose(mirrored[:, ::-1], plain, atol=1e-3)


def test_the_mean_logit_is_the_mean_and_turns_with_the_flag() -> None:
    pairs = (torch.full((2, 3, 4), 2.0), torch.stack([torch.zeros(6, 8), torch.full((6, 8), 2.0)]))
    logits = ScaleLogits((1.0, 64.0), pairs, (24, 32))
    np.testing.assert_allclose(mean_logit(logits, False), np.full((24, 32), 1.5))
    np.testing.assert_allclose(mean_logit(logits, True), np.full((24, 32), -1.5))


def test_a_square_covers_the_whole_image() -> None:
    """Its map is stretched to H×W, while a factor's ends at the next multiple of 16."""
    step = torch.tensor([[0.0, 1.0]]).expand(2, 1, 2)
    square = released_map(ScaleLogits((32.0,), (step,), (17, 17)), False)[1][0, 0]
    np.testing.assert_allclose(square, square[::-1].max() - square[::-1], atol=1e-5)
    factor = released_map(ScaleLogits((1.0,), (step,), (17, 17)), False)[1][0, 0]
    assert factor[8] < square[8]


def test_a_map_that_is_nowhere_positive_is_zero() -> None:
    logits = ScaleLogits((1.0,), (torch.full((2, 2, 2), -3.0),), (20, 30))
    strided, full = released_map(logits, False)
    assert strided.shape == (1, 5, 8)
    assert not strided.any()
    assert not full.any()


def test_scales_follow_the_size_of_training() -> None:
    assert default_scales(None) == default_scales(512) == SCALES == (0.5, 1, 1.5, 2)
    assert default_scales(256) == (192, 256, 352)
    assert default_scales(128) == (96, 128, 176)
    assert check_scales(default_scales(8)) == (32, 32, 32)


@pytest.mark.parametrize("scales", [(), (0.0,), (-1.0,), (12.0,), (100.5,), (float("nan"),)])
def test_scales_that_mean_nothing_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="scale"):
        check_scales(scales)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InputError, match="warp"):
        pick_device("warp")


def test_torch_gets_its_threads_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(10_000):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
