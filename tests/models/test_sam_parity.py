"""SAM against PyPI's `segment-anything` 1.0 on random weights: other weights than the golden ones, same functions."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from sambench.errors import ModelError
from sambench.models.sam.build import build_sam_model
from sambench.models.sam.image_encoder import ImageEncoderViT
from sambench.models.sam.mask_decoder import MaskDecoder
from sambench.models.sam.model import Sam
from sambench.models.sam.prompt_encoder import PromptEncoder
from sambench.models.sam.segmenter import SamSegmenter
from sambench.pixels.candidates import LogitMasks
from sambench.types import Prompt
from tests.helpers.stubs import official_sam

SIZES = {"embed_dim": 64, "depth": 4, "num_heads": 4, "window_size": 6, "patch_size": 16}
WIDTH, SIDE = 64, 224  # a grid of 14: windows of 6 need padding


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Normal weights of fan-in scale, everywhere: fresh modules have zeros (positions) and ones (norms) that hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    for name, t in module.state_dict().items():
        noise = torch.randn(t.shape, generator=generator)
        fan_in = t[0].numel() if t.ndim > 1 and "embed" not in name and "rel_pos" not in name and "token" not in name else 1
        t.copy_(1 + 0.1 * noise if "norm" in name and name.endswith("weight") else noise / fan_in**0.5)


@pytest.fixture(scope="module")
def pair() -> tuple[SamSegmenter, Any]:
    """Ours and the reference's predictor, small and with the same random weights."""
    official = official_sam()
    from segment_anything import modeling

    grid = SIDE // SIZES["patch_size"]
    peer = modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            **SIZES,
            img_size=SIDE,
            mlp_ratio=4,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=(1, 3),
            out_chans=WIDTH,
        ),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=WIDTH, image_embedding_size=(grid, grid), input_image_size=(SIDE, SIDE), mask_in_chans=16
        ),
        mask_decoder=modeling.MaskDecoder(
            transformer_dim=WIDTH,
            transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=WIDTH, num_heads=8, mlp_dim=96),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=48,
        ),
    ).eval()
    randomise(peer, seed=0)
    ours = Sam(
        image_encoder=ImageEncoderViT(**SIZES, image_size=SIDE, global_attn_indexes=(1, 3), out_chans=WIDTH),
        prompt_encoder=PromptEncoder(embed_dim=WIDTH, embedding_size=(grid, grid), image_size=SIDE),
        mask_decoder=MaskDecoder(transformer_dim=WIDTH, mlp_dim=96, iou_head_hidden_dim=48),
    )
    ours.load_state_dict(peer.state_dict(), strict=True)
    predictor = official.SamPredictor(peer)
    # The reference's predictor takes its working size from the encoder.
    assert predictor.transform.target_length == SIDE
    return SamSegmenter(ours, name="small"), predictor


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
    fine = np.kron(coarse, np.ones((-(-height // 8), -(-width // 8), 1), np.uint8))[:height, :width]
    return np.ascontiguousarray(fine ^ rng.integers(0, 32, (height, width, 3), np.uint8))


PROMPTS: dict[str, dict[str, Any]] = {
    "point": {"points": [(30, 40)], "labels": [1], "multi": True},
    "single": {"points": [(30.5, 40.25)], "labels": [1], "multi": False},
    "both labels": {"points": [(30, 40), (100, 20), (64, 64)], "labels": [1, 0, 1], "multi": False},
    "box": {"box": (10, 20, 90, 70), "multi": True},
    "box and points": {"box": (10, 20, 90, 70), "points": [(40, 30), (80, 60)], "labels": [1, 0], "multi": False},
    "nine clicks": {"points": [(7 * k + 3, 5 * k + 9) for k in range(9)], "labels": [k % 2 for k in range(9)], "multi": False},
    "nothing": {"multi": True},
}


@pytest.mark.parametrize("feed_back", [False, True], ids=["fresh", "with mask"])
@pytest.mark.parametrize("name", PROMPTS)
def test_predictor(pair: tuple[SamSegmenter, Any], name: str, feed_back: bool) -> None:
    ours, predictor = pair
    case = PROMPTS[name]
    picture = image(96, 128)
    predictor.set_image(picture)
    state = ours.encode(picture)
    carry, mask_input = None, None
    if feed_back:
        [before] = ours.decode(state, [Prompt(np.array([[60, 50]], np.float32), np.array([1], np.int8))])
        _, _, low = predictor.predict(np.array([[60, 50]]), np.array([1]))
        carry, mask_input = before.carry[1], low[1:2]  # type: ignore[index]
    points = np.array(case.get("points", np.zeros((0, 2))), np.float32)
    labels = np.array(case.get("labels", []), np.int8)
    [got] = ours.decode(state, [Prompt(points, labels, case.get("box"), multimask=case["multi"], carry=carry)])
    masks, scores, low = predictor.predict(
        points if len(points) else None,
        labels if len(points) else None,
        np.array(case["box"]) if "box" in case else None,
        mask_input,
        multimask_output=case["multi"],
        return_logits=True,
    )
    assert isinstance(got.masks, LogitMasks)
    assert np.abs(got.masks.low_res - low).max() < 2e-4 * low.std()
    np.testing.assert_allclose(got.scores, scores, atol=1e-4)
    for i, logits in enumerate(masks):
        assert np.abs(got.masks.logits(i) - logits).max() < 2e-4 * low.std()
        for threshold in (0.0, float(np.median(logits))):  # the median makes half a mask of any logits
            near = np.count_nonzero(np.abs(logits - threshold) < 1e-3 * low.std())
            assert np.count_nonzero(got.masks.region(i, threshold).full() != (logits > threshold)) <= near


@pytest.mark.parametrize("size", [(96, 128), (128, 96), (300, 70), (224, 224), (51, 500)])
def test_embedding_of_any_aspect(pair: tuple[SamSegmenter, Any], size: tuple[int, int]) -> None:
    ours, predictor = pair
    picture = image(*size, seed=1)
    predictor.set_image(picture)
    expected = predictor.get_image_embedding()
    assert float((ours.encode(picture).embedding - expected).abs().max()) < 1e-4 * float(expected.std())


def test_order_and_batches_do_not_matter(pair: tuple[SamSegmenter, Any]) -> None:
    ours, _ = pair
    state = ours.encode(image(96, 128))
    rng = np.random.default_rng(2)
    prompts = []
    for i in range(30):
        n = int(rng.integers(0, 3))
        points = rng.uniform(0, 90, (n, 2)).astype(np.float32)
        box = (10.0, 5.0, 20.0 + i, 60.0) if i % 3 == 0 or n == 0 else None
        prompts.append(Prompt(points, rng.integers(0, 2, n).astype(np.int8), box, multimask=bool(i % 2)))
    together = ours.decode(state, prompts)
    for prompt, got in zip(prompts, together, strict=True):
        [alone] = ours.decode(state, [prompt])
        assert len(got.masks) == len(got.scores) == len(got.carry or ()) == (3 if prompt.multimask else 1)
        assert np.array_equal(got.scores, alone.scores)
        assert np.array_equal(got.masks.low_res, alone.masks.low_res)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("index", "window"), [(0, 14), pytest.param(2, 0, marks=pytest.mark.slow)], ids=["window", "global"])
def test_encoder_block_of_the_real_size(index: int, window: int) -> None:
    """64 x 64 patches, windows of 14 or none, ViT-B."""
    official_sam()
    from segment_anything.modeling.image_encoder import Block

    with torch.device("meta"):
        model = build_sam_model("vit_b")
    x = torch.randn(1, 64, 64, 768, generator=torch.Generator().manual_seed(0))
    ours = model.image_encoder.blocks[index].to_empty(device="cpu")
    randomise(ours, seed=index)
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    peer = Block(768, 12, norm_layer=norm, use_rel_pos=True, window_size=window, input_size=(64, 64))
    peer.load_state_dict(ours.state_dict(), strict=True)
    with torch.inference_mode():
        expected = peer(x)
        assert float((ours(x) - expected).abs().max()) < 2e-5 * float(expected.std())


def test_bf16_is_near_and_only_the_encoder(pair: tuple[SamSegmenter, Any]) -> None:
    ours, _ = pair
    picture = image(96, 128)
    exact = ours.encode(picture)
    half = SamSegmenter(copy.deepcopy(ours.model), name="small", precision="bf16")
    state = half.encode(picture)
    error = float((state.embedding - exact.embedding).abs().max()) / float(exact.embedding.std())
    assert 1e-4 < error < 0.2
    assert state.embedding.dtype == torch.float32
    assert {p.dtype for p in half.model.image_encoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in half.model.mask_decoder.parameters()} == {torch.float32}
    assert len(half.decode(state, [Prompt()])[0].masks) == 3


def test_what_it_can_not_read(pair: tuple[SamSegmenter, Any]) -> None:
    ours, _ = pair
    for shape, dtype in (((4, 5), "u1"), ((4, 5, 3), "f4"), ((4, 5, 4), "u1"), ((0, 5, 3), "u1")):
        with pytest.raises(ModelError, match="can't read"):
            ours.encode(np.zeros(shape, dtype))
    state = ours.encode(image(96, 128))
    with pytest.raises(ModelError, match="carry"):
        ours.decode(state, [Prompt(carry=np.zeros((56, 56)))])
    with pytest.raises(ModelError, match="carry"):
        ours.decode(state, [Prompt(carry=torch.zeros(3, 56, 56))])
    assert ours.decode(state, []) == []
