"""MobileSAM against outputs of the authors' code under deterministic weights, and its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sambench.errors import CheckpointError
from sambench.models.mobile_sam.build import build_mobile_sam, build_mobile_sam_model, mobile_sam
from sambench.models.mobile_sam.tiny_vit import Attention, TinyViT
from sambench.models.sam.segmenter import preprocess_squashed, squashed_boxes
from sambench.sources import models
from tests.helpers import golden_weights as rule
from tests.helpers import sam_family as family

GOLDEN = family.load("mobile_sam")
CASES = [k for k in GOLDEN.meta["cases"] if k.startswith("proc/") and not k.endswith("mask_from")]


@pytest.fixture(scope="module")
def traced() -> Iterator[family.Traced]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield family.Traced(build_mobile_sam(weights=family.state_dict("mobile_sam")))
    torch.set_num_threads(threads)


def test_state_dict_has_the_official_names_and_shapes() -> None:
    with torch.device("meta"):
        model = build_mobile_sam_model()
    state = model.state_dict()
    assert {k: tuple(t.shape) for k, t in state.items()} == family.manifest("mobile_sam")
    assert sum(p.numel() for p in model.parameters()) == 10_130_092
    kinds = {k: t.dtype for k, t in state.items()}
    assert {d for k, d in kinds.items() if k.endswith("num_batches_tracked")} == {torch.int64}
    assert {d for k, d in kinds.items() if not k.endswith("num_batches_tracked")} == {torch.float32}


def test_encoder(traced: family.Traced) -> None:
    family.check_encoder(traced, GOLDEN)
    family.check_tiny_vit(traced, GOLDEN)


@pytest.mark.parametrize("name", CASES)
def test_prompts(traced: family.Traced, name: str) -> None:
    family.check_case(GOLDEN, name, family.decode(traced, name, GOLDEN.meta["cases"]))


@pytest.mark.parametrize("name", ["proc/pt", "proc/box_pt"])
def test_decoder_traces(traced: family.Traced, name: str) -> None:
    family.check_traces(traced, GOLDEN, name)


@pytest.mark.shared
def test_every_golden_value(traced: family.Traced, shared: Path) -> None:
    golden = family.load("mobile_sam", shared / "golden" / "sam")
    family.check_encoder(traced, golden)
    family.check_tiny_vit(traced, golden)
    for name in CASES:
        family.check_case(golden, name, family.decode(traced, name, golden.meta["cases"]))
    for name in ("proc/pt", "proc/box_pt"):
        family.check_traces(traced, golden, name)


def test_attention_bias_is_by_absolute_distance() -> None:
    attention = Attention(dim=64, side=3)
    with torch.no_grad():
        attention.attention_biases.copy_(torch.arange(18.0).view(2, 9))
    bias = attention.bias()
    assert bias.shape == (2, 9, 9)
    for q in range(9):
        for k in range(9):
            apart = (abs(q // 3 - k // 3), abs(q % 3 - k % 3))
            assert bias[0, q, k] == 3 * apart[0] + apart[1]
            assert bias[1, q, k] == 9 + 3 * apart[0] + apart[1]


def test_padded_windows_attend_to_the_norms_bias() -> None:
    """A map of 4 x 5 in windows of 3: the same as attending on a zero-padded map and cutting it off."""
    torch.manual_seed(0)
    attention = Attention(dim=32, side=3)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.normal_()
    x = torch.randn(2, 4, 5, 32)
    padded = torch.zeros(2, 6, 6, 32)
    padded[:, :4, :5] = x
    with torch.inference_mode():
        torch.testing.assert_close(attention(x), attention(padded)[:, :4, :5])


def test_the_norm_in_a_convolution_is_torchs() -> None:
    torch.manual_seed(0)
    layer = TinyViT(dims=(32, 32, 32, 32), depths=(1, 1, 1, 1)).layers[0].blocks[0].conv2
    with torch.no_grad():
        for t in (*layer.parameters(), layer.bn.running_mean):
            t.normal_()
        layer.bn.running_var.uniform_(0.5, 2)
    x = torch.randn(2, layer.c.in_channels, 8, 9)
    torch.testing.assert_close(layer(x), layer.bn.eval()(layer.c(x)), rtol=1e-4, atol=1e-5)


def test_weights_that_come_later_count() -> None:
    """The released code keeps a copy of the attention biases from before loading; nothing here does."""
    torch.manual_seed(0)
    model = TinyViT(image_size=64).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = model(x)
        for parameter in (p for n, p in model.named_parameters() if n.endswith("attention_biases")):
            parameter.normal_()
        assert not torch.allclose(before, model(x))


def test_squashed_masks_go_back_to_the_whole_image(traced: family.Traced) -> None:
    segmenter = build_mobile_sam(weights=traced.segmenter.model.state_dict(), squash=True)
    assert segmenter.identity == {"model": "mobile_sam", "image_size": 1024, "squash": True}
    image = rule.procedural_image(60, 200)
    state = segmenter.encode(image)
    assert state.scale_xy == (1024 / 200, 1024 / 60)
    assert state.geometry.square is None
    # By hand: every pixel's box goes to the square by its own factor, and masks come back in one bilinear step.
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    pixels = torch.nn.functional.interpolate(pixels, (1024, 1024), mode="bilinear", align_corners=False).to(torch.uint8)
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    normal = (pixels[0].permute(1, 2, 0) - mean) / std
    torch.testing.assert_close(preprocess_squashed(image, 1024)[0], normal.permute(2, 0, 1))
    [prompt] = family.prompts_of({"box": [20, 5, 90, 50], "multi": False}, None)
    [found] = segmenter.decode(state, [prompt])
    low = torch.from_numpy(found.masks.low_res)[None]  # type: ignore[attr-defined]
    full = torch.nn.functional.interpolate(low, (60, 200), mode="bilinear", align_corners=False)[0, 0]
    assert np.count_nonzero(found.masks.array(0) != (full > 0).numpy()) <= 2


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(5, 90), st.integers(5, 90)),
    corners=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4),
    side=st.sampled_from([16, 32, 64]),
)
def test_squashed_boxes_are_those_of_the_squashed_map(
    size: tuple[int, int], corners: tuple[float, float, float, float], side: int
) -> None:
    """Against the way itself: fill the box, squash it, take what is above 128."""
    height, width = size
    (x0, x1), (y0, y1) = sorted(int(c * width) for c in corners[:2]), sorted(int(c * height) for c in corners[2:])
    filled = torch.zeros(1, 1, height, width)
    filled[:, :, y0 : y1 + 1, x0 : x1 + 1] = 255
    small = torch.nn.functional.interpolate(filled, (side, side), mode="bilinear", align_corners=False)[0, 0]
    # Along each axis alone: in a corner the two interpolations multiply.
    columns, rows = (np.flatnonzero(small.amax(axis).numpy() > 128) for axis in (0, 1))
    scale = np.array([side / width, side / height])
    [got] = squashed_boxes(np.array([[x0, y0, x1, y1]], np.float64), scale)
    if small.max() == 255:  # else the box is thinner than a pixel of the square
        np.testing.assert_allclose(got, [columns[0], rows[0], columns[-1], rows[-1]])


def test_a_box_that_vanishes_is_scaled() -> None:
    [got] = squashed_boxes(np.array([[101.0, 40, 101, 140]]), np.array([0.1, 0.1]))
    np.testing.assert_allclose(got, [10.1, 4, 10.1, 13])


def test_checkpoint_of_the_wrong_family_is_named(tmp_path: Path) -> None:
    path = tmp_path / "light.pth"
    with torch.device("meta"):
        shapes = family.manifest("sam_hq_vit_tiny")
    torch.save({k: torch.zeros(1).expand(shape) if shape else torch.tensor(0) for k, shape in shapes.items()}, path)
    with pytest.raises(CheckpointError, match="looks like sam_hq_vit_tiny") as told:
        mobile_sam(weights=path, device="cpu", precision="fp32")
    assert "25 unknown names" in str(told.value)


def test_card() -> None:
    card = models.cards.model_card("mobile_sam")
    assert card.gives == "masks"
    assert models.cards.load_entry(card.factory, where="card") is mobile_sam
    assert card.weights is not None
    assert card.weights.sha256 == "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"
    with pytest.raises(CheckpointError, match="no weights"):
        mobile_sam(weights=None, device="cpu", precision="fp32")
