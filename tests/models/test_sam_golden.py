"""SAM against outputs of the reference implementation under deterministic weights (tests/golden_weights.py).

Tolerances are in units of the golden array's standard deviation unless said otherwise: decoder alone 4e-5, embedding 1e-4, low-res
logits of the whole pipeline 2e-3 (5e-3 with a mask input), predicted IoU 1e-4 absolute, at most 2 x near-zero + 10 other pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sambench.models.sam.build import build_sam, build_sam_model
from sambench.models.sam.segmenter import SamState, preprocess, resized_size
from sambench.pixels.candidates import LogitMasks
from sambench.types import Prediction, Prompt
from tests.helpers import GOLDEN
from tests.helpers import golden_weights as rule

ARRAYS = GOLDEN / "sam"


def load(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    with np.load(ARRAYS / f"{name}.npz") as z:
        arrays = {k: z[k] for k in z.files}
    return arrays, json.loads(str(arrays.pop("meta")))


def error(got: Any, golden: np.ndarray) -> float:
    """Largest absolute difference, in units of the golden array's standard deviation."""
    got = np.asarray(got)
    assert got.shape == golden.shape
    return float(np.abs(got.astype(np.float64) - golden).max() / golden.std())


class Traced:
    """A segmenter, its state of the procedural image, and what its parts put out on the way."""

    def __init__(self, arch: str) -> None:
        self.segmenter = build_sam(arch, weights=rule.golden_state_dict(arch))
        self.trace: dict[str, torch.Tensor] = {}
        model = self.segmenter.model
        encoder = model.image_encoder
        named = {"patch_embed": encoder.patch_embed}
        named |= {f"block{i}": b for i, b in enumerate(encoder.blocks)} | {f"neck{i}": encoder.neck[i] for i in range(3)}
        named |= {"layer0": model.mask_decoder.transformer.layers[0], "transformer": model.mask_decoder.transformer}
        for name, module in named.items():
            module.register_forward_hook(lambda _m, _i, out, name=name: self.trace.__setitem__(name, out))
        self.state: SamState = self.segmenter.encode(rule.procedural_image())


@pytest.fixture(scope="session")
def vit_b() -> Iterator[Traced]:
    threads = torch.get_num_threads()
    torch.set_num_threads(min(2, threads))
    yield Traced("vit_b")
    torch.set_num_threads(threads)


@pytest.mark.parametrize("arch", ["vit_b", "vit_l", "vit_h"])
def test_state_dict_has_the_official_names_and_shapes(arch: str) -> None:
    with torch.device("meta"):
        model = build_sam_model(arch)
    assert {k: tuple(t.shape) for k, t in model.state_dict().items()} == rule.manifest(arch)
    assert {t.dtype for t in model.state_dict().values()} == {torch.float32}


def test_preprocessing_equals_the_reference() -> None:
    golden, meta = load("sam_vit_b")
    image = rule.procedural_image()
    assert hashlib.sha256(image.tobytes()).hexdigest() == meta["proc"]["image_sha256"]
    assert list(resized_size(*image.shape[:2], 1024)) == meta["proc"]["input_size"]
    resized = np.asarray(Image.fromarray(image).resize((1024, 768), Image.Resampling.BILINEAR))
    assert hashlib.sha256(resized.tobytes()).hexdigest() == meta["proc"]["resized_sha256"]
    assert np.array_equal(resized[::16, ::16], golden["proc/resized_sample"])
    np.testing.assert_allclose(preprocess(image, 1024)[0, :, ::32, ::32], golden["proc/preprocessed_sample"], atol=1e-6)


def _check_encoder(traced: Traced, golden: dict[str, np.ndarray]) -> None:
    assert error(traced.trace["patch_embed"][0, ::8, ::8, ::16], golden["proc/trace/patch_embed"]) < 1e-4
    blocks = [k for k in golden if k.startswith("proc/trace/block")]
    assert len(blocks) == 5
    for name in blocks:
        assert error(traced.trace[name.rpartition("/")[2]][0, ::8, ::8, ::16], golden[name]) < 1e-4, name
    for i in range(3):
        assert error(traced.trace[f"neck{i}"][0, ::16, ::8, ::8], golden[f"proc/trace/neck{i}"]) < 1e-4
    embedding = traced.state.embedding.numpy().astype(np.float64)
    assert error(embedding[0, ::4, ::4, ::4], golden["proc/embedding_sample"]) < 1e-4
    assert error(embedding[0].mean((1, 2)), golden["proc/embedding_channel_mean"]) < 1e-4
    assert error(embedding[0].std((1, 2), ddof=1), golden["proc/embedding_channel_std"]) < 1e-4
    stats = [embedding.mean(), embedding.std(), embedding.min(), embedding.max(), np.abs(embedding).sum()]
    np.testing.assert_allclose(stats, golden["proc/embedding_stats"], rtol=1e-5, atol=1e-5)
    prompt = traced.segmenter.model.prompt_encoder
    dense_pe = prompt.dense_pe().T.reshape(256, 64, 64)
    assert error(dense_pe[::4, ::8, ::8], golden["dense_pe_sample"]) < 1e-5
    with torch.inference_mode():
        dense = prompt.dense(torch.from_numpy(rule.synthetic_mask_input())[None])[0].T.reshape(256, 64, 64)
    assert error(dense[::4, ::8, ::8], golden["dense_mask_sample"]) < 1e-5


def test_vit_b_encoder(vit_b: Traced) -> None:
    _check_encoder(vit_b, load("sam_vit_b")[0])


@pytest.mark.slow
def test_vit_l_encoder() -> None:
    _check_encoder(Traced("vit_l"), load("sam_vit_l")[0])


def _prompts(case: dict[str, Any], carry: Any) -> list[Prompt]:
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


def _decode(traced: Traced, name: str, cases: dict[str, Any]) -> list[Prediction]:
    case, carry = cases[name], None
    if case.get("mask") == "synth":
        carry = torch.from_numpy(rule.synthetic_mask_input())[0]
    elif case.get("mask"):
        first = name.partition("/")[0] + "/" + case["mask"].removeprefix("prev:")
        [before] = _decode(traced, first, cases)
        carry = before.carry[cases[name + "/mask_from"]]  # type: ignore[index]
    return traced.segmenter.decode(traced.state, _prompts(case, carry))


CASES = {k: v for k, v in load("sam_vit_b")[1]["cases"].items() if k.startswith("proc/") and not k.endswith("mask_from")}


@pytest.mark.parametrize("name", CASES)
def test_vit_b_prompts(vit_b: Traced, name: str) -> None:
    golden, meta = load("sam_vit_b")
    case = CASES[name]
    predictions = _decode(vit_b, name, meta["cases"])
    batched = len(case["mask_shape"]) == 4

    def shaped(per_prompt: list[np.ndarray]) -> np.ndarray:
        return np.stack(per_prompt) if batched else per_prompt[0]

    assert np.abs(shaped([p.scores for p in predictions]) - golden[f"{name}/iou"]).max() < 1e-4
    masks = [p.masks for p in predictions]
    assert all(isinstance(m, LogitMasks) for m in masks)
    low = shaped([m.low_res for m in masks])  # type: ignore[attr-defined]
    tolerance = 5e-3 if "mask" in case else 2e-3
    assert error(low[..., 1::3, 1::3], golden[f"{name}/low_res"]) < tolerance
    stats = np.stack([low.mean((-2, -1)), low.std((-2, -1)), low.min((-2, -1)), low.max((-2, -1))], -1)
    assert np.abs(stats - golden[f"{name}/low_res_stats"]).max() < tolerance * golden[f"{name}/low_res"].std()
    if f"{name}/low_res_full_f16" in golden:
        full = golden[f"{name}/low_res_full_f16"].astype(np.float32)
        np.testing.assert_allclose(low, full, rtol=2e-3, atol=2e-3 * full.std())

    arrays = shaped([np.stack([m.array(i) for i in range(len(m))]) for m in masks])
    assert list(arrays.shape) == case["mask_shape"]
    expected = np.unpackbits(golden[f"{name}/packed"], axis=-1, count=arrays.shape[-1]).astype(bool)
    allowed = 2 * golden[f"{name}/near_zero"] + 10
    assert (np.count_nonzero(arrays != expected, axis=(-2, -1)) <= allowed).all()
    areas = shaped([m.area() for m in masks])
    assert (np.abs(areas - golden[f"{name}/area"]) <= allowed).all()
    overlap = (arrays & expected).sum((-2, -1)) / np.maximum((arrays | expected).sum((-2, -1)), 1)
    assert (overlap[golden[f"{name}/area"] > 1000] >= 0.999).all()


@pytest.mark.parametrize("name", ["proc/pt", "proc/box_pt"])
def test_vit_b_decoder_traces(vit_b: Traced, name: str) -> None:
    golden, meta = load("sam_vit_b")
    segmenter, model = vit_b.segmenter, vit_b.segmenter.model
    [prompt] = _prompts(meta["cases"][name], None)
    both = segmenter.decode(vit_b.state, [replace(prompt, multimask=m) for m in (False, True)])
    iou = np.concatenate([p.scores for p in both])
    assert np.abs(iou - golden[f"{name}/trace/iou_all"]).max() < 1e-4
    tokens, image = vit_b.trace["transformer"]
    assert error(tokens[0], golden[f"{name}/trace/tokens_out"]) < 2e-3
    assert error(image[0, ::64, ::4], golden[f"{name}/trace/keys_out"]) < 2e-3
    assert error(vit_b.trace["layer0"][0][0], golden[f"{name}/trace/layer0_queries"]) < 2e-3
    with torch.inference_mode():
        scale = np.array(vit_b.state.scale_xy)
        points = torch.tensor(prompt.points_xy * scale, dtype=torch.float32)[None]
        boxes = None
        if prompt.box_xyxy is not None:
            boxes = torch.tensor(np.array(prompt.box_xyxy) * np.tile(scale, 2), dtype=torch.float32)[None]
        sparse = model.prompt_encoder.sparse(points, torch.tensor(prompt.labels)[None], boxes)
        # One channel a mask: the identity in place of the hypernetworks puts the upscaled features in order.
        upscaled = model.mask_decoder.masks(torch.eye(32)[None], model.mask_decoder.upscale(image), (64, 64))
    assert error(sparse[0], golden[f"{name}/trace/sparse"]) < 1e-5
    assert error(upscaled[0, :, ::16, ::16], golden[f"{name}/trace/upscaled"]) < 2e-3


DECODER_PROMPTS = load("decoder_only")[1]["prompts"]


@pytest.fixture(scope="session")
def decoder() -> torch.nn.Module:
    """The prompt encoder and the decoder alone; all plain SAMs have the same under the weight rule."""
    model = build_sam_model("vit_b")
    for part in ("prompt_encoder", "mask_decoder"):
        names = {k.removeprefix(part + "."): v for k, v in rule.manifest("vit_b").items() if k.startswith(part)}
        state = {k: torch.from_numpy(rule.value(f"{part}.{k}", shape)) for k, shape in names.items()}
        getattr(model, part).load_state_dict(state)
    return model


@pytest.mark.parametrize("name", DECODER_PROMPTS)
def test_decoder_alone_to_the_strict_tolerance(decoder: Any, name: str) -> None:
    golden, _ = load("decoder_only")
    case = DECODER_PROMPTS[name]
    points, labels, boxes = (torch.tensor(case[k]) if k in case else None for k in ("points", "labels", "boxes"))
    with torch.inference_mode():
        state = decoder.decoder_input(torch.from_numpy(rule.synthetic_features("synthetic_image_embedding", 256)))
        assert error(state.image_pe.T.reshape(256, 64, 64)[::4, ::4, ::4], golden["dense_pe"]) < 1e-5
        sparse = decoder.prompt_encoder.sparse(points, labels, boxes)
        dense = decoder.prompt_encoder.no_mask_embed.weight[None]
        if "mask" in case:
            dense = decoder.prompt_encoder.dense(torch.from_numpy(rule.synthetic_mask_input())[None])
        np.testing.assert_allclose(sparse, golden[f"prompt/{name}/sparse"], atol=1e-5)
        full = dense.expand(1, 4096, -1)[0].T.reshape(1, 256, 64, 64)[:, ::8, ::8, ::8]
        np.testing.assert_allclose(full, golden[f"prompt/{name}/dense_sample"], atol=1e-5)
        for mode in ("single", "multi"):
            low, iou = decoder.mask_decoder(state, sparse, dense, multimask=mode == "multi")
            assert error(low[..., 1::4, 2::4], golden[f"sam/{name}/{mode}/low_res"]) < 4e-5
            np.testing.assert_allclose(iou, golden[f"sam/{name}/{mode}/iou"], atol=1e-4)
