"""Golden outputs of MobileSAM and HQ-SAM under the weight rule of `golden_weights`, and comparing with them.

In the repository lie thinned arrays (every 7th value of the long ones); the full ones are read where a `shared` folder stands
beside the checkout. What we compute is thinned like the golden array that it is compared with. Tolerances are in units of the
golden array's standard deviation: embedding 1e-4, low-resolution logits of the whole pipeline 2e-3 (5e-3 with a mask input), the
decoder alone 4e-5.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sambench.models.sam.segmenter import SamSegmenter, SamState
from sambench.pixels.candidates import LogitMasks
from sambench.types import Prediction, Prompt
from tests.helpers import GOLDEN
from tests.helpers import golden_weights as rule

FOLDER = GOLDEN / "sam"
EVERY = 7  # of the values of an array, in order
EVERY_PIXEL = 23
SHORT = 1024
EARLY_DIM = {"vit_b": 768, "vit_l": 1024, "vit_h": 1280, "vit_tiny": 160}


@dataclass(frozen=True)
class Golden:
    """Arrays by name and the prompts of every case. thinned: the repository's own arrays, masks as flat bits."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    thinned: bool

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def error(self, got: Any, name: str) -> float:
        """Largest absolute difference, in units of the golden array's standard deviation."""
        golden = self.arrays[name]
        got = thin(np.asarray(got)) if self.thinned else np.asarray(got)
        assert got.shape == golden.shape, name
        return float(np.abs(got.astype(np.float64) - golden).max() / golden.std())

    def masks(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A case's golden masks, bool, with those axes of `shape` that `sampled` leaves."""
        bits = self.arrays[f"{name}/packed"]
        if self.thinned:
            n = len(range(0, shape[-2] * shape[-1], EVERY_PIXEL))
            return np.unpackbits(bits, axis=-1, count=n).astype(bool)
        return np.unpackbits(bits, axis=-1, count=shape[-1]).astype(bool)

    def sampled(self, masks: np.ndarray) -> np.ndarray:
        """Our masks [..., H, W] as `masks` has the golden ones."""
        return thin_masks(masks) if self.thinned else masks


def thin(array: np.ndarray) -> np.ndarray:
    return array if array.size <= SHORT else np.ascontiguousarray(array).reshape(-1)[::EVERY]


def thin_masks(masks: np.ndarray) -> np.ndarray:
    return masks.reshape(*masks.shape[:-2], -1)[..., ::EVERY_PIXEL]


def load(name: str, folder: Path | None = None) -> Golden:
    """`name`'s golden outputs: the repository's, or those of the `shared` folder."""
    with np.load((folder or FOLDER) / f"{name}.npz") as z:
        arrays = {k: z[k] for k in z.files}
    return Golden(arrays, json.loads(str(arrays.pop("meta"))), folder is None)


def manifest(name: str) -> dict[str, tuple[int, ...]]:
    """{key: shape} of a released checkpoint: `mobile_sam`, `sam_hq_vit_b`, ..._l, ..._h, ..._tiny.

    HQ-SAM's files hold SAM's keys (MobileSAM's, for vit_tiny) and 25 of their own.
    """
    arch = name.removeprefix("sam_hq_")
    mobile = json.loads((FOLDER / "manifest_mobile_sam.json").read_text())
    if name == "mobile_sam":
        return {k: tuple(v) for k, v in mobile.items()}
    base = manifest("mobile_sam") if arch == "vit_tiny" else rule.manifest(arch)
    extra = json.loads((FOLDER / "manifest_hq_decoder.json").read_text())
    return base | {k: tuple(EARLY_DIM[arch] if n == "early_dim" else n for n in v) for k, v in extra.items()}


def state_dict(name: str) -> dict[str, torch.Tensor]:
    return {k: torch.from_numpy(np.asarray(rule.value(k, shape))) for k, shape in manifest(name).items()}


class Traced:
    """A segmenter, its state of the procedural image, and what its parts put out on the way."""

    def __init__(self, segmenter: SamSegmenter) -> None:
        self.segmenter = segmenter
        self.trace: dict[str, Any] = {}
        model = segmenter.model
        decoder, encoder = model.mask_decoder, model.image_encoder
        named = {"patch_embed": encoder.patch_embed, "iou": decoder.iou_prediction_head}
        named |= {f"neck{i}": encoder.neck[i] for i in range(3)}
        named |= {"decoder_layer0": decoder.transformer.layers[0], "transformer": decoder.transformer}
        if hasattr(encoder, "blocks"):
            named |= {f"block{i}": block for i, block in enumerate(encoder.blocks)}
        else:
            named |= {f"layer{i}": stage for i, stage in enumerate(encoder.layers)}
            named |= {f"layer{i}_block0": encoder.layers[i].blocks[0] for i in (1, 2)}
        for name, module in named.items():
            module.register_forward_hook(lambda _m, _i, out, name=name: self.trace.__setitem__(name, out))
        self.state: SamState = segmenter.encode(rule.procedural_image())


def prompts_of(case: dict[str, Any], carry: Any) -> list[Prompt]:
    """A case's prompts, batched or not."""
    points, labels, boxes = case.get("points"), case.get("labels"), case.get("boxes")
    if not case.get("batch"):
        points, labels = points and [points], labels and [labels]
        boxes = [case["box"]] if "box" in case else None
    n = len(points or boxes or [None])
    return [
        Prompt(
            points_xy=np.array(points[i] if points else np.zeros((0, 2)), np.float32),
            labels=np.array(labels[i] if labels else [], np.int8),
            box_xyxy=tuple(boxes[i]) if boxes else None,
            multimask=case["multi"],
            carry=carry,
        )
        for i in range(n)
    ]


def decode(traced: Traced, name: str, cases: dict[str, Any]) -> list[Prediction]:
    """Our predictions for a case; one with a mask input decodes first the case that the mask comes from."""
    case, carry = cases[name], None
    if case.get("mask") == "synth":
        carry = torch.from_numpy(rule.synthetic_mask_input())[0]
    elif case.get("mask"):
        [before] = decode(traced, name.partition("/")[0] + "/" + case["mask"].removeprefix("prev:"), cases)
        carry = before.carry[cases[name + "/mask_from"]]  # type: ignore[index]
    return traced.segmenter.decode(traced.state, prompts_of(case, carry))


def check_encoder(traced: Traced, golden: Golden) -> None:
    """Embedding and neck, and the statistics of the whole embedding."""
    for i in range(3):
        assert golden.error(traced.trace[f"neck{i}"][0, ::16, ::8, ::8], f"proc/trace/neck{i}") < 1e-4
    embedding = traced.state.embedding.numpy().astype(np.float64)
    assert golden.error(embedding[0, ::4, ::4, ::4], "proc/embedding_sample") < 1e-4
    assert golden.error(embedding[0].mean((1, 2)), "proc/embedding_channel_mean") < 1e-4
    assert golden.error(embedding[0].std((1, 2), ddof=1), "proc/embedding_channel_std") < 1e-4
    stats = [embedding.mean(), embedding.std(), embedding.min(), embedding.max(), np.abs(embedding).sum()]
    np.testing.assert_allclose(stats, golden["proc/embedding_stats"], rtol=1e-5, atol=1e-5)
    prompt = traced.segmenter.model.prompt_encoder
    assert golden.error(prompt.dense_pe().T.reshape(256, 64, 64)[::4, ::8, ::8], "dense_pe_sample") < 1e-5
    with torch.inference_mode():
        dense = prompt.dense(torch.from_numpy(rule.synthetic_mask_input())[None])[0].T.reshape(256, 64, 64)
    assert golden.error(dense[::4, ::8, ::8], "dense_mask_sample") < 1e-5


def check_tiny_vit(traced: Traced, golden: Golden) -> None:
    """What TinyViT's parts put out."""
    patches = traced.trace["patch_embed"].permute(0, 3, 1, 2)
    assert golden.error(patches[0, ::4, ::32, ::32], "proc/trace/patch_embed") < 1e-4
    for name in ("layer0", "layer1", "layer2", "layer3", "layer1_block0", "layer2_block0"):
        every = 256 if name == "layer1_block0" else 64
        assert golden.error(traced.trace[name].flatten(1, 2)[0, ::every, ::4], f"proc/trace/{name}") < 1e-4, name


def check_vit(traced: Traced, golden: Golden) -> None:
    """What ViT's parts put out."""
    blocks = [k.rpartition("/")[2] for k in golden.arrays if k.startswith("proc/trace/block")]
    assert len(blocks) == 5
    for name in ("patch_embed", *blocks):
        assert golden.error(traced.trace[name][0, ::8, ::8, ::16], f"proc/trace/{name}") < 1e-4, name


def check_case(golden: Golden, name: str, predictions: list[Prediction]) -> None:
    """Scores, low-resolution logits and masks of one case."""
    case = golden.meta["cases"][name]
    batched = len(case["mask_shape"]) == 4

    def shaped(per_prompt: list[Any]) -> Any:
        return np.stack(per_prompt) if batched else per_prompt[0]

    assert np.abs(shaped([p.scores for p in predictions]) - golden[f"{name}/iou"]).max() < 1e-4
    masks = [p.masks for p in predictions]
    assert all(isinstance(m, LogitMasks) for m in masks)
    low = shaped([m.low_res for m in masks])  # type: ignore[attr-defined]
    tolerance = 5e-3 if "mask" in case else 2e-3
    assert golden.error(low[..., 1::3, 1::3], f"{name}/low_res") < tolerance
    stats = np.stack([low.mean((-2, -1)), low.std((-2, -1)), low.min((-2, -1)), low.max((-2, -1))], -1)
    assert np.abs(stats - golden[f"{name}/low_res_stats"]).max() < tolerance * golden[f"{name}/low_res"].std()
    if f"{name}/low_res_full_f16" in golden.arrays:
        full = golden[f"{name}/low_res_full_f16"].astype(np.float32)
        np.testing.assert_allclose(low, full, rtol=2e-3, atol=2e-3 * full.std())
    arrays = shaped([np.stack([m.array(i) for i in range(len(m))]) for m in masks])
    assert list(arrays.shape) == case["mask_shape"]
    allowed = 2 * golden[f"{name}/near_zero"] + 10
    areas = shaped([m.area() for m in masks])
    assert (np.abs(areas - golden[f"{name}/area"]) <= allowed).all()
    got, expected = golden.sampled(arrays), golden.masks(name, arrays.shape)
    axes = (-1,) if golden.thinned else (-2, -1)
    assert (np.count_nonzero(got != expected, axis=axes) <= allowed).all()
    overlap = (got & expected).sum(axes) / np.maximum((got | expected).sum(axes), 1)
    assert (overlap[golden[f"{name}/area"] > 1000] >= 0.999).all()


def check_traces(traced: Traced, golden: Golden, name: str) -> None:
    """The decoder's inner tensors of one case."""
    case = golden.meta["cases"][name]
    [prompt] = prompts_of(case, None)
    traced.segmenter.decode(traced.state, [prompt])
    np.testing.assert_allclose(traced.trace["iou"][0], golden[f"{name}/trace/iou_all"].reshape(-1), atol=1e-4)
    tokens, image = traced.trace["transformer"]
    assert golden.error(tokens[0], f"{name}/trace/tokens_out") < 2e-3
    assert golden.error(image[0, ::64, ::4], f"{name}/trace/keys_out") < 2e-3
    assert golden.error(traced.trace["decoder_layer0"][0][0], f"{name}/trace/layer0_queries") < 2e-3
