"""Folders of SamModel and SamHQModel in our own SAM and HQ-SAM, against what transformers computes, where that is right."""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sambench.errors import CheckpointError, ModelError
from sambench.models.hf import names
from sambench.models.hq_sam.build import HqSegmenter, build_hq_sam_model
from sambench.models.sam.build import build_sam_model
from sambench.models.sam.segmenter import SamSegmenter, preprocess
from sambench.sources import models
from sambench.types import Prompt
from tests.helpers import golden_weights as rule
from tests.helpers import hf_folders
from tests.helpers import sam_family as family

PICTURE = np.kron(np.random.default_rng(0).integers(0, 255, (10, 15, 3), np.uint8), np.ones((6, 6, 1), np.uint8))
OTHER_MASK = torch.zeros(8, 8)
PROMPTS = {
    "click": Prompt(np.array([[30, 20]], np.float32), np.ones(1, np.int8)),
    "single": Prompt(np.array([[30.5, 20.25]], np.float32), np.ones(1, np.int8), multimask=False),
    "box": Prompt(box_xyxy=(10.0, 5.0, 70.0, 50.0)),
    "both": Prompt(np.array([[30, 20], [60, 40]], np.float32), np.array([1, 0], np.int8), (10.0, 5.0, 70.0, 50.0), multimask=False),
}


def built(folder: Path, **options: Any) -> SamSegmenter:
    segmenter = models.build(models.resolve(f"hf:{folder}", options, device="cpu", precision="fp32").spec)
    assert isinstance(segmenter, SamSegmenter)
    return segmenter


def with_official_norms(model: Any) -> Any:
    """The decoder's norms with the authors' epsilon; transformers has 1e-6."""
    for name, module in model.named_modules():
        if name.startswith("mask_decoder.transformer.layers") and name[:-1].endswith("layer_norm"):
            module.eps = 1e-5
    return model


def asked(model: Any, prompt: Prompt, scale: tuple[float, float], mask: torch.Tensor | None = None) -> Any:
    side = torch.tensor(scale, dtype=torch.float32)
    given: dict[str, Any] = {"multimask_output": prompt.multimask}
    if len(prompt.labels):
        given["input_points"] = (torch.tensor(prompt.points_xy) * side)[None, None]
        given["input_labels"] = torch.tensor(prompt.labels, dtype=torch.int64)[None, None]
    if prompt.box_xyxy is not None:
        given["input_boxes"] = (torch.tensor(prompt.box_xyxy).view(2, 2) * side).view(1, 1, 4)
    if mask is not None:
        given["input_masks"] = mask[None, None]
    with torch.no_grad():
        return model(pixel_values=preprocess(PICTURE, hf_folders.SIDE), **given)


@pytest.mark.parametrize("feed_back", [False, True], ids=["fresh", "with mask"])
@pytest.mark.parametrize("name", PROMPTS)
def test_sam(tmp_path: Path, name: str, feed_back: bool) -> None:
    model = with_official_norms(hf_folders.sam(tmp_path / "sam"))
    ours = built(tmp_path / "sam")
    state = ours.encode(PICTURE)
    prompt, mask = PROMPTS[name], None
    if feed_back:
        [before] = ours.decode(state, [PROMPTS["click"]])
        mask = before.carry[1]  # type: ignore[index]
        prompt = Prompt(prompt.points_xy, prompt.labels, prompt.box_xyxy, multimask=prompt.multimask, carry=mask)
    [got] = ours.decode(state, [prompt])
    expected = asked(model, prompt, state.scale_xy, mask)
    low = expected.pred_masks[0, 0].numpy()
    assert np.abs(got.masks.low_res - low).max() < 2e-5 * low.std()  # type: ignore[attr-defined]
    np.testing.assert_allclose(got.scores, expected.iou_scores[0, 0].numpy(), atol=1e-4)


def test_sam_takes_no_mask_of_another_size(tmp_path: Path) -> None:
    hf_folders.sam(tmp_path / "sam")
    ours = built(tmp_path / "sam")
    with pytest.raises(ModelError, match="carry"):
        ours.decode(ours.encode(PICTURE), [Prompt(carry=OTHER_MASK)])


def mended_forward(decoder: Any) -> Any:
    """SamHQMaskDecoder.forward with the transformer's second result kept, which upstream drops. Fails loudly once it does not."""
    source = textwrap.dedent(inspect.getsource(decoder.forward))
    wrong = "point_embedding, iou_token_out = self.transformer("
    assert source.count(wrong) == 1, "transformers has mended SamHQModel: compare with its own, and say so in models/hf/sam.py"
    module = sys.modules[decoder.__module__]
    scope: dict[str, Any] = {}
    exec(source.replace(wrong, "point_embedding, image_embeddings = self.transformer("), vars(module), scope)
    return scope["forward"]


@pytest.mark.parametrize("name", PROMPTS)
def test_sam_hq(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What transformers computes is wrong, and right once its mistake is mended: ours equals the latter."""
    from transformers.models.sam_hq.modeling_sam_hq import SamHQMaskDecoder

    model = with_official_norms(hf_folders.sam_hq(tmp_path / "hq"))
    ours = built(tmp_path / "hq")
    assert isinstance(ours, HqSegmenter)
    state = ours.encode(PICTURE)
    [got] = ours.decode(state, [PROMPTS[name]])
    wrong = asked(model, PROMPTS[name], state.scale_xy)
    monkeypatch.setattr(SamHQMaskDecoder, "forward", mended_forward(SamHQMaskDecoder))
    right = asked(model, PROMPTS[name], state.scale_xy)
    # Several masks are sorted by their IoU there; the authors' one is of the best.
    low = right.pred_masks[0, 0, :1].numpy()
    assert np.abs(got.masks.low_res - low).max() < 5e-5 * low.std()  # type: ignore[attr-defined]
    np.testing.assert_allclose(got.scores, right.iou_scores[0, 0, :1].numpy(), atol=1e-4)
    np.testing.assert_allclose(wrong.iou_scores.numpy(), right.iou_scores.numpy())
    assert np.abs(wrong.pred_masks[0, 0, :1].numpy() - low).max() > 0.1 * low.std()


def test_options_of_the_cards(tmp_path: Path) -> None:
    hf_folders.sam_hq(tmp_path / "hq")
    hf_folders.sam(tmp_path / "sam")
    assert built(tmp_path / "hq", hq_token_only=True).identity["hq_token_only"] is True
    assert built(tmp_path / "sam", squash=True).identity["squash"] is True
    single = models.resolve(f"hf:{tmp_path / 'sam'}", {"single_output": True}, device="cpu", precision="fp32")
    assert single.gives == "single_mask"
    hf_folders.rename(tmp_path / "sam", lambda s: {f"net.{k}": t for k, t in s.items()})
    with pytest.raises(CheckpointError, match=r"strip_prefix=net\."):
        built(tmp_path / "sam")
    assert built(tmp_path / "sam", strip_prefix="net.").model.image_size == hf_folders.SIDE


def test_weights_that_do_not_fit_are_named_as_the_folder_has_them(tmp_path: Path) -> None:
    hf_folders.sam(tmp_path / "sam")
    lost = "vision_encoder.layers.0.layer_norm1.bias"
    hf_folders.rename(tmp_path / "sam", lambda s: {**{k: t for k, t in s.items() if k != lost}, "head.weight": torch.zeros(2)})
    with pytest.raises(CheckpointError) as error:
        built(tmp_path / "sam")
    assert f"names missing ({lost}" in str(error.value)
    assert "1 unknown names (head.weight" in str(error.value)


def test_the_matrix_of_positions_may_stand_there_twice(tmp_path: Path) -> None:
    hf_folders.sam(tmp_path / "sam")
    shared, tied = "shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding"
    hf_folders.rename(tmp_path / "sam", lambda s: {**s, tied: s[shared].clone()})
    built(tmp_path / "sam")
    hf_folders.rename(tmp_path / "sam", lambda s: {k: t for k, t in s.items() if k != shared})
    built(tmp_path / "sam")
    hf_folders.rename(tmp_path / "sam", lambda s: {**s, shared: s[tied] + 1})
    with pytest.raises(CheckpointError, match="two matrices differ"):
        built(tmp_path / "sam")


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("vision_config", {"use_rel_pos": False}, "vision_config.use_rel_pos"),
        ("vision_config", {"image_size": 64}, "prompt_encoder_config.image_size"),
        ("vision_config", {"hidden_size": "wide"}, "vision_config.hidden_size"),
        ("vision_config", {"global_attn_indexes": 3}, "global_attn_indexes"),
        ("mask_decoder_config", {"hidden_act": "gelu"}, "mask_decoder_config.hidden_act"),
    ],
)
def test_configs_that_are_not_known(tmp_path: Path, part: str, change: dict[str, Any], said: str) -> None:
    hf_folders.sam(tmp_path / "sam")
    config = json.loads((tmp_path / "sam" / "config.json").read_text())
    hf_folders.reconfigure(tmp_path / "sam", **{part: {**config[part], **change}})
    with pytest.raises(ModelError, match=said):
        built(tmp_path / "sam")
    (tmp_path / "sam" / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0]}')
    with pytest.raises(ModelError, match="image_mean"):
        built(tmp_path / "sam")


def as_folder(folder: Path, config: Any, state: dict[str, torch.Tensor]) -> None:
    """Weights under the authors' names as a folder of transformers."""
    from safetensors.torch import save_file

    config.save_pretrained(folder)
    save_file({names.of_sam(k): t.contiguous() for k, t in state.items()}, folder / "model.safetensors")


def test_names_are_those_of_transformers() -> None:
    """Of the released models, without computing anything."""
    from transformers import SamConfig, SamHQConfig, SamHQModel, SamModel

    for ours, config, kind in (
        (build_sam_model, SamConfig(), SamModel),
        (build_hq_sam_model, SamHQConfig(), SamHQModel),
    ):
        with torch.device("meta"):
            theirs = {k: tuple(t.shape) for k, t in kind(config).state_dict().items()}
            own = {names.of_sam(k): tuple(t.shape) for k, t in ours("vit_b").state_dict().items()}
        theirs.pop("prompt_encoder.shared_embedding.positional_embedding")
        assert own == theirs


@pytest.mark.slow
def test_sam_vit_b_golden(tmp_path: Path) -> None:
    """A folder of the golden weights against the outputs of the authors' code."""
    from transformers import SamConfig

    config = SamConfig()
    config.architectures = ["SamModel"]
    as_folder(tmp_path, config, rule.golden_state_dict("vit_b"))
    traced, golden = family.Traced(built(tmp_path)), family.load("sam_vit_b", family.FOLDER)
    cases = [k for k in golden.meta["cases"] if k.startswith("proc/") and not k.endswith("mask_from")]
    for name in cases:
        family.check_case(golden, name, family.decode(traced, name, golden.meta["cases"]))


@pytest.mark.slow
def test_sam_hq_vit_b_golden(tmp_path: Path) -> None:
    from transformers import SamHQConfig

    config = SamHQConfig()
    config.architectures = ["SamHQModel"]
    as_folder(tmp_path, config, family.state_dict("sam_hq_vit_b"))
    traced, golden = family.Traced(built(tmp_path)), family.load("sam_hq_vit_b")
    cases = [k for k in golden.meta["cases"] if k.startswith("proc/") and not k.endswith("mask_from")]
    for name in cases:
        if not name.endswith("hqonly"):
            family.check_case(golden, name, family.decode(traced, name, golden.meta["cases"]))
