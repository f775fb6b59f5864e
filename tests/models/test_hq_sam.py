"""HQ-SAM against outputs of the authors' code under deterministic weights; single-output SAM; and their checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sambench.errors import CheckpointError, ModelError, UsageError
from sambench.models.hq_sam.build import build_hq_sam, build_hq_sam_model, vit_b
from sambench.models.sam.build import build_sam, build_sam_model, vit_encoder
from sambench.models.sam.segmenter import SamSegmenter
from sambench.sources import models
from sambench.types import Prompt
from tests.helpers import golden_weights as rule
from tests.helpers import sam_family as family

TINY = family.load("sam_hq_vit_tiny")
ARCHITECTURES = ("vit_b", "vit_l", "vit_h", "vit_tiny")
PARAMETERS = {"vit_b": 94_806_576, "vit_l": 313_676_080, "vit_h": 642_686_000, "vit_tiny": 10_578_604}
CASES = [k for k in TINY.meta["cases"] if k.startswith("proc/") and not k.endswith("mask_from")]


class TracedHq(family.Traced):
    """Also as `hq_token_only`: the same module, asked otherwise."""

    def decode(self, golden: family.Golden, name: str) -> list[Any]:
        decoder = self.segmenter.model.mask_decoder
        decoder.hq_token_only = name.endswith("hqonly")  # type: ignore[assignment]
        try:
            return family.decode(self, name, golden.meta["cases"])
        finally:
            decoder.hq_token_only = False  # type: ignore[assignment]


def traced_of(arch: str) -> Iterator[TracedHq]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TracedHq(build_hq_sam(arch, weights=family.state_dict(f"sam_hq_{arch}")))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny() -> Iterator[TracedHq]:
    yield from traced_of("vit_tiny")


@pytest.fixture(scope="module")
def base() -> Iterator[TracedHq]:
    yield from traced_of("vit_b")


def check_fusion(traced: TracedHq, golden: family.Golden, name: str) -> None:
    """The high-quality branch's maps: early and final features, and SAM's own map sharpened."""
    decoder: Any = traced.segmenter.model.mask_decoder
    _, image = traced.trace["transformer"]
    with torch.inference_mode():
        upscaled = decoder.masks(torch.eye(32)[None], decoder.upscale(image), (64, 64))
        sharp = decoder.sharpened(upscaled.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        final = decoder.of_embedding(traced.state.embedding).permute(0, 3, 1, 2)
    fine = traced.state.decoder.fine.permute(0, 3, 1, 2)  # type: ignore[attr-defined]
    assert golden.error(upscaled[0, :, ::16, ::16], f"{name}/trace/upscaled") < 2e-3
    assert golden.error(final[0, :, ::16, ::16], f"{name}/trace/embedding_encoder") < 2e-3
    assert golden.error((fine - final)[0, :, ::16, ::16], f"{name}/trace/compress_vit_feat") < 2e-3
    # The golden value is what the two convolutions put out, before the fused map is added.
    assert golden.error(sharp[0, :, ::16, ::16], f"{name}/trace/embedding_maskfeature") < 2e-3


def check_early(traced: TracedHq, golden: family.Golden, layer: str) -> None:
    early = traced.trace[layer]
    assert golden.error(early[0, ::8, ::8, ::8], "proc/interm0_sample") < 1e-4


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_state_dict_has_the_official_names_and_shapes(arch: str) -> None:
    with torch.device("meta"):
        model = build_hq_sam_model(arch)
    assert {k: tuple(t.shape) for k, t in model.state_dict().items()} == family.manifest(f"sam_hq_{arch}")
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[arch]


def test_light_encoder(tiny: TracedHq) -> None:
    family.check_encoder(tiny, TINY)
    family.check_tiny_vit(tiny, TINY)
    check_early(tiny, TINY, "layer1")


@pytest.mark.parametrize("name", CASES)
def test_light_prompts(tiny: TracedHq, name: str) -> None:
    predictions = tiny.decode(TINY, name)
    assert all(len(p.masks) == len(p.scores) == 1 for p in predictions)
    family.check_case(TINY, name, predictions)


@pytest.mark.parametrize("name", ["proc/pt", "proc/box_pt"])
def test_light_decoder_traces(tiny: TracedHq, name: str) -> None:
    family.check_traces(tiny, TINY, name)
    check_fusion(tiny, TINY, name)


@pytest.mark.shared
def test_every_golden_value_of_light(tiny: TracedHq, shared: Path) -> None:
    golden = family.load("sam_hq_vit_tiny", shared / "golden" / "sam")
    family.check_encoder(tiny, golden)
    family.check_tiny_vit(tiny, golden)
    check_early(tiny, golden, "layer1")
    for name in CASES:
        family.check_case(golden, name, tiny.decode(golden, name))
    for name in ("proc/pt", "proc/box_pt"):
        family.check_traces(tiny, golden, name)
        check_fusion(tiny, golden, name)


@pytest.mark.slow
def test_vit_b(base: TracedHq) -> None:
    golden = family.load("sam_hq_vit_b")
    _check_vit_b(base, golden)


@pytest.mark.slow
@pytest.mark.shared
def test_every_golden_value_of_vit_b(base: TracedHq, shared: Path) -> None:
    _check_vit_b(base, family.load("sam_hq_vit_b", shared / "golden" / "sam"))


def _check_vit_b(base: TracedHq, golden: family.Golden) -> None:
    family.check_encoder(base, golden)
    family.check_vit(base, golden)
    check_early(base, golden, "block2")
    for name in CASES:
        family.check_case(golden, name, base.decode(golden, name))
    for name in ("proc/pt", "proc/box_pt"):
        family.check_traces(base, golden, name)
        check_fusion(base, golden, name)


@pytest.mark.slow
def test_vit_l_encoder() -> None:
    golden = family.load("sam_hq_vit_l")
    for traced in traced_of("vit_l"):
        family.check_encoder(traced, golden)
        family.check_vit(traced, golden)
        check_early(traced, golden, "block5")


DECODER = family.load("hq_decoder_only")
EVERY = 13  # of the decoder's golden values


@pytest.mark.parametrize(
    ("arch", "names"),
    [
        ("vit_tiny", ("pt", "box_mask", "bpts_pad")),
        ("vit_h", ("box",)),
        *(pytest.param(arch, tuple(DECODER.meta["prompts"]), marks=pytest.mark.slow) for arch in ARCHITECTURES),
    ],
)
def test_decoder_alone_to_the_strict_tolerance(arch: str, names: tuple[str, ...]) -> None:
    width = family.EARLY_DIM[arch]
    with torch.device("meta"):
        model = build_hq_sam_model(arch)
    for part in ("prompt_encoder", "mask_decoder"):
        keys = {k.removeprefix(part + "."): v for k, v in family.manifest(f"sam_hq_{arch}").items() if k.startswith(part)}
        module = getattr(model, part).to_empty(device="cpu")
        module.load_state_dict({k: torch.from_numpy(rule.value(f"{part}.{k}", shape)) for k, shape in keys.items()})
    decoder = model.mask_decoder
    with torch.inference_mode():
        early = torch.from_numpy(rule.synthetic_features(f"synthetic_interm_{width}", width)).permute(0, 2, 3, 1)
        state = model.hq_input(torch.from_numpy(rule.synthetic_features("synthetic_image_embedding", 256)), early)
        for name in names:
            case = DECODER.meta["prompts"][name]
            points, labels, boxes = (torch.tensor(case[k]) if k in case else None for k in ("points", "labels", "boxes"))
            sparse = model.prompt_encoder.sparse(points, labels, boxes)
            dense = model.prompt_encoder.no_mask_embed.weight[None]
            if "mask" in case:
                dense = model.prompt_encoder.dense(torch.from_numpy(rule.synthetic_mask_input())[None])
            for mode in ("single", "multi", "single_hqonly"):
                decoder.hq_token_only = mode.endswith("hqonly")
                low, iou = decoder(state, sparse, dense, multimask=mode == "multi")
                golden = DECODER[f"hq{width}/{name}/{mode}/low_res"]
                got = low[..., 1::4, 2::4].reshape(-1)[::EVERY].numpy()
                assert np.abs(got - golden).max() / golden.std() < 4e-5, (name, mode)
                np.testing.assert_allclose(iou, DECODER[f"hq{width}/{name}/{mode}/iou"], atol=1e-4)


def test_prompts_of_several_shapes_and_batches(tiny: TracedHq) -> None:
    point = Prompt(points_xy=np.array([[400, 300]], np.float32), labels=np.array([1], np.int8))
    box = Prompt(box_xyxy=(100, 80, 380, 330), multimask=False)
    together = tiny.segmenter.decode(tiny.state, [point, box, point])
    [alone] = tiny.segmenter.decode(tiny.state, [box])
    assert np.array_equal(together[1].masks.low_res, alone.masks.low_res)  # type: ignore[attr-defined]
    assert np.array_equal(together[0].masks.low_res, together[2].masks.low_res)  # type: ignore[attr-defined]
    fed = tiny.segmenter.decode(tiny.state, [replace(box, carry=alone.carry[0])])  # type: ignore[index]
    assert not np.array_equal(fed[0].masks.low_res, alone.masks.low_res)  # type: ignore[attr-defined]


def test_options_are_in_the_identity(tiny: TracedHq) -> None:
    assert tiny.segmenter.identity == {"model": "sam_hq_vit_tiny", "image_size": 1024, "hq_token_only": False}
    other = build_hq_sam("vit_tiny", weights=None, hq_token_only=True, squash=True)
    assert other.identity == {"model": "sam_hq_vit_tiny", "image_size": 1024, "hq_token_only": True, "squash": True}


def fake_checkpoint(path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """A file of the right names and shapes that takes no room: every tensor is one value, repeated."""
    torch.save({k: torch.zeros(1).expand(shape) if shape else torch.tensor(0) for k, shape in shapes.items()}, path)
    return path


@pytest.mark.parametrize("name", ["sam_vit_b", "sam_hq_vit_l", "mobile_sam", "sam_hq_vit_tiny"])
def test_checkpoint_of_the_wrong_family_is_named(name: str, tmp_path: Path) -> None:
    shapes = rule.manifest("vit_b") if name == "sam_vit_b" else family.manifest(name)
    path = fake_checkpoint(tmp_path / "weights.pth", shapes)
    with pytest.raises(CheckpointError, match=f"looks like {name}$|looks like {name}\n"):
        vit_b(weights=path, device="cpu", precision="fp32")


def test_training_checkpoint_of_the_decoder_alone_is_told(tmp_path: Path) -> None:
    """HQ-SAM's training writes the decoder alone; the released files hold the whole model."""
    shapes = {k.removeprefix("mask_decoder."): v for k, v in family.manifest("sam_hq_vit_b").items() if "mask_decoder" in k}
    path = fake_checkpoint(tmp_path / "epoch_11.pth", shapes)
    with pytest.raises(CheckpointError, match="only a mask decoder"):
        vit_b(weights=path, device="cpu", precision="fp32")


def test_unknown_architecture() -> None:
    with pytest.raises(UsageError, match="vit_huge"):
        build_hq_sam("vit_huge", weights=None)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_cards(arch: str) -> None:
    card = models.cards.model_card(f"sam_hq_{arch}")
    factory = models.cards.load_entry(card.factory, where="card")
    assert factory.build.args == (arch,)
    assert card.gives == "single_mask"
    assert set(card.overlaps) == {"dis5k_vd", "thinobject5k_test"}
    assert card.options == {"hq_token_only": False}


class _Constant(torch.nn.Module):
    """An image encoder that takes no time: the embedding of every image is one seeded map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(rule.synthetic_features("synthetic_image_embedding", 256))


@pytest.fixture(scope="module")
def sam_state() -> dict[str, torch.Tensor]:
    return {k: torch.from_numpy(rule.value(k, s)) for k, s in rule.manifest("vit_b").items() if not k.startswith("image_encoder")}


def small_sam(state: dict[str, torch.Tensor], *, num_masks: int, single_output: bool) -> SamSegmenter:
    with torch.device("meta"):
        model = build_sam_model("vit_b", num_masks=num_masks)
    model.image_encoder = torch.nn.Identity()
    model.to_empty(device="cpu").load_state_dict(state)
    model.image_encoder = _Constant()
    return SamSegmenter(model, name="constant", single_output=single_output)


def one_token(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A checkpoint with one mask a prompt, made of a released one's first mask token."""
    decoder = "mask_decoder."
    kept = {k: v for k, v in state.items() if not k.startswith(tuple(f"{decoder}output_hypernetworks_mlps.{i}" for i in (1, 2, 3)))}
    last = f"{decoder}iou_prediction_head.layers.2"
    cut = (f"{decoder}mask_tokens.weight", f"{last}.weight", f"{last}.bias")
    return {k: v[:1] if k in cut else v for k, v in kept.items()}


def test_stand_in_for_the_single_output_model_is_the_first_mask_token(sam_state: dict[str, torch.Tensor]) -> None:
    image = rule.procedural_image(60, 80)
    usual = small_sam(sam_state, num_masks=4, single_output=False)
    single = small_sam(sam_state, num_masks=4, single_output=True)
    prompt = Prompt(points_xy=np.array([[40, 30]], np.float32), labels=np.array([1], np.int8))
    [expected] = usual.decode(usual.encode(image), [replace(prompt, multimask=False)])
    [got] = single.decode(single.encode(image), [prompt])
    assert np.array_equal(got.masks.low_res, expected.masks.low_res)  # type: ignore[attr-defined]
    assert got.scores.tolist() == [1.0]
    assert single.identity["single_output"] is True
    assert "single_output" not in usual.identity


def test_checkpoint_with_one_mask_token(sam_state: dict[str, torch.Tensor]) -> None:
    segmenter = small_sam(one_token(sam_state), num_masks=1, single_output=True)
    prompt = Prompt(points_xy=np.array([[40, 30]], np.float32), labels=np.array([1], np.int8))
    [first] = segmenter.decode(segmenter.encode(rule.procedural_image(60, 80)), [prompt])
    assert len(first.masks) == 1
    assert first.scores.tolist() == [1.0]
    four = small_sam(sam_state, num_masks=4, single_output=True)
    [other] = four.decode(four.encode(rule.procedural_image(60, 80)), [prompt])
    # Three tokens less take part in the self-attention: alike, not equal.
    assert not np.array_equal(first.masks.low_res, other.masks.low_res)  # type: ignore[attr-defined]


def test_a_one_token_checkpoint_needs_the_option(tmp_path: Path) -> None:
    state = one_token({k: torch.zeros(1).expand(s) for k, s in rule.manifest("vit_b").items()})
    shapes = {k: tuple(v.shape) for k, v in state.items()}
    with pytest.raises(CheckpointError, match="single_output=true"):
        build_sam("vit_b", weights=state)
    with torch.device("meta"):
        assert {k: tuple(t.shape) for k, t in build_sam_model("vit_b", num_masks=1).state_dict().items()} == shapes
    segmenter = build_sam("vit_b", weights=state, single_output=True)
    assert segmenter.model.mask_decoder.num_mask_tokens == 1
    assert segmenter.single_output


def test_the_papers_single_output_model_is_unavailable() -> None:
    with pytest.raises(ModelError, match="never released") as told:
        models.resolve("sam_single_output", {}, device="cpu", precision="fp32")
    assert "sam_vit_h_token0" in str(told.value)
    card = models.cards.model_card("sam_vit_h_token0")
    assert card.gives == "single_mask"
    assert card.options == {"single_output": True}
    assert card.weights == models.cards.model_card("sam_vit_h").weights


def test_vit_encoder_reports_its_first_global_block() -> None:
    with torch.device("meta"):
        for arch, block in (("vit_b", 2), ("vit_l", 5), ("vit_h", 7)):
            assert build_hq_sam_model(arch).early_layer == block
            assert vit_encoder(arch).blocks[block].attn.side == 64
            assert all(b.attn.side == 14 for b in vit_encoder(arch).blocks[:block])
