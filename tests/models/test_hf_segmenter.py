"""SAM 2's kin behind our protocol, against what transformers computes when it is asked rightly, and the traps on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sambench.errors import ModelError, UsageError
from sambench.models.hf.segmenter import Sam2Segmenter, squashed
from sambench.models.hf.settings import Settings
from sambench.sources import models
from sambench.types import Prompt
from tests.helpers import hf_folders
from tests.helpers.stubs import timm_for_transformers

SEEDS = {"sam2": 6, "sam3_tracker": 6, "edgetam": 10}  # under which not all first choices are the first token's
ROOT = Path(__file__).resolve().parents[2]
PICTURE = np.kron(np.random.default_rng(0).integers(0, 255, (10, 15, 3), np.uint8), np.ones((6, 6, 1), np.uint8))
FAMILIES = ("sam2", "sam3_tracker", pytest.param("edgetam", marks=pytest.mark.slow))


def clicks(*points: tuple[float, float, int], **rest: Any) -> Prompt:
    return Prompt(np.array([p[:2] for p in points], np.float32), np.array([p[2] for p in points], np.int8), **rest)


def built(folder: Path, precision: str = "fp32", **options: Any) -> Sam2Segmenter:
    segmenter = models.build(models.resolve(f"hf:{folder}", options, device="cpu", precision=precision).spec)
    assert isinstance(segmenter, Sam2Segmenter)
    return segmenter


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of each family."""
    with pytest.MonkeyPatch.context() as monkey:
        if request.param == "edgetam":  # which asks for torchvision
            timm_for_transformers()
            for module in ("sources.hf", "models.hf.library"):
                monkey.setattr(f"sambench.{module}.check_installed", lambda kind: None)
        path = tmp_path_factory.mktemp("hf") / request.param
        getattr(hf_folders, request.param)(path, seed=SEEDS[request.param])
        yield path


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Sam2Segmenter:
    return built(folder)


PROMPTS = {
    "click": clicks((30, 20, 1)),
    "single": clicks((30.5, 20.25, 1), multimask=False),
    "clicks": clicks((30, 20, 1), (60, 40, 0), (3, 4, 1)),
    "box": Prompt(box_xyxy=(10.0, 5.0, 70.0, 50.0)),
    "box and clicks": clicks((30, 20, 1), (60, 40, 0), box_xyxy=(10.0, 5.0, 70.0, 50.0), multimask=False),
    "nothing": Prompt(),
}


def by_transformers(segmenter: Sam2Segmenter, prompt: Prompt, mask: torch.Tensor | None = None) -> Any:
    """The model's answer to one prompt, asked as its documentation says."""
    height, width = PICTURE.shape[:2]
    scale = torch.tensor([segmenter.side / width, segmenter.side / height])
    given: dict[str, Any] = {"multimask_output": prompt.multimask}
    if len(prompt.labels):
        given["input_points"] = (torch.tensor(prompt.points_xy) * scale)[None, None]
        given["input_labels"] = torch.tensor(prompt.labels, dtype=torch.int64)[None, None]
    if prompt.box_xyxy is not None:
        given["input_boxes"] = (torch.tensor(prompt.box_xyxy).view(2, 2) * scale).view(1, 1, 4)
    if mask is not None:
        given["input_masks"] = mask[None, None]
    pixels = squashed(PICTURE, segmenter.side, segmenter.settings, torch.device("cpu"))
    with torch.no_grad():
        return segmenter.model(pixel_values=pixels, **given)


@pytest.mark.parametrize("name", PROMPTS)
def test_answers_are_the_models(segmenter: Sam2Segmenter, name: str) -> None:
    """From the picture on, without the maps that are kept between prompts."""
    [got] = segmenter.decode(segmenter.encode(PICTURE), [PROMPTS[name]])
    expected = by_transformers(segmenter, PROMPTS[name])
    low = expected.pred_masks[0, 0].numpy()
    assert np.abs(got.masks.low_res - low).max() < 1e-5 * low.std()  # type: ignore[attr-defined]
    np.testing.assert_allclose(got.scores, expected.iou_scores[0, 0].numpy(), atol=1e-6)
    whole = torch.nn.functional.interpolate(expected.pred_masks[0], PICTURE.shape[:2], mode="bilinear", align_corners=False)[0]
    for i, logits in enumerate(whole.numpy()):
        sure = np.abs(logits) > 1e-4 * low.std()
        assert np.array_equal(got.masks.array(i)[sure], logits[sure] > 0)


def test_the_order_of_scores_is_not_that_of_tokens(segmenter: Sam2Segmenter) -> None:
    """Candidates stand in the order of the tokens, unranked: the model's first choice is that of the highest predicted IoU."""
    state = segmenter.encode(PICTURE)
    prompts = [clicks((x, y, 1)) for x in range(5, 90, 14) for y in range(5, 60, 14)]
    answers = segmenter.decode(state, prompts)
    assert {a.top_index for a in answers} - {0}
    for prompt, answer in zip(prompts[:3], answers, strict=False):
        scores = by_transformers(segmenter, prompt).iou_scores[0, 0]
        assert answer.top_index == int(scores.argmax())


def test_prompts_of_different_lengths_are_not_padded(segmenter: Sam2Segmenter) -> None:
    """A padding point takes part in the attention, and changes the answer a little."""
    state = segmenter.encode(PICTURE)
    short, long = clicks((30, 20, 1)), clicks((30, 20, 1), (60, 40, 0), (5, 5, 1))
    [alone] = segmenter.decode(state, [short])
    step, segmenter.step = segmenter.step, 64
    [beside, _] = segmenter.decode(state, [short, long])
    segmenter.step = step
    assert np.array_equal(beside.masks.low_res, alone.masks.low_res)  # type: ignore[attr-defined]
    scale = torch.tensor(state.scale_xy, dtype=torch.float32)
    points = torch.tensor(short.points_xy) * scale
    padded = torch.cat([points, torch.full((2, 2), -10.0)])[None, None]
    with torch.no_grad():
        labels = torch.tensor([[[1, -10, -10]]])
        other = segmenter.model(image_embeddings=list(state.maps), input_points=padded, input_labels=labels)
    low = alone.masks.low_res  # type: ignore[attr-defined]
    assert np.abs(other.pred_masks[0, 0].numpy() - low).max() > 1e-4 * low.std()


def test_objects_with_masks_of_their_own_go_together(segmenter: Sam2Segmenter) -> None:
    """A mask is fed back for an image: two objects are two images to the model. On a CPU they go one by one; here together."""
    state = segmenter.encode(PICTURE)
    first = segmenter.decode(state, [clicks((30, 20, 1)), clicks((70, 50, 1)), clicks((5, 50, 1))])
    masks = [p.carry[p.top_index] for p in first]  # type: ignore[index]
    again = [clicks((30, 20, 1), (40 + 9 * i, 30, 0), carry=m, multimask=False) for i, m in enumerate(masks)]
    alone = segmenter.decode(state, again)
    step, segmenter.step = segmenter.step, 64
    together = segmenter.decode(state, again)
    segmenter.step = step
    for prompt, one, other, mask in zip(again, alone, together, masks, strict=True):
        expected = by_transformers(segmenter, prompt, mask).pred_masks[0, 0].numpy()
        for got in (one, other):
            assert np.abs(got.masks.low_res - expected).max() < 2e-5 * expected.std()  # type: ignore[attr-defined]


def test_logits_are_fed_back_within_bounds(folder: Path, tmp_path: Path) -> None:
    """Unclamped, saturated logits drive the mask embedding far away from what the official predictor computes."""
    strong = tmp_path / "strong"
    model = getattr(hf_folders, folder.name)(strong)
    heads = tuple(k for k in model.state_dict() if "hypernetworks" in k and "proj_out" in k)
    hf_folders.rename(strong, lambda s: {k: t * (100 if k.endswith(heads) else 1) for k, t in s.items()})
    segmenter = built(strong)
    state = segmenter.encode(PICTURE)
    [first] = segmenter.decode(state, [clicks((30, 20, 1))])
    low, carry = first.masks.low_res, first.carry  # type: ignore[attr-defined]
    assert np.abs(low).max() > 100
    assert carry is not None
    assert all(float(c.abs().max()) <= 32 for c in carry)
    again = clicks((30, 20, 1), (60, 40, 0), carry=carry[0], multimask=False)
    [got] = segmenter.decode(state, [again])
    expected = by_transformers(segmenter, again, torch.tensor(low[0]).clamp(-32, 32)).pred_masks[0, 0].numpy()
    unclamped = by_transformers(segmenter, again, torch.tensor(low[0])).pred_masks[0, 0].numpy()
    assert np.abs(got.masks.low_res - expected).max() < 1e-5 * expected.std()  # type: ignore[attr-defined]
    assert np.abs(unclamped - expected).max() > 1e-3 * expected.std()


def test_the_dynamic_single_output_is_part_of_the_identity(folder: Path, tmp_path: Path) -> None:
    """Where the first mask is not stable the model answers with the best of the others, silently."""
    weak = tmp_path / "weak"
    model = getattr(hf_folders, folder.name)(weak)
    heads = tuple(k for k in model.state_dict() if "hypernetworks" in k and "proj_out" in k)
    hf_folders.rename(weak, lambda s: {k: t * (1e-3 if k.endswith(heads) else 1) for k, t in s.items()})
    on, off = (models.resolve(f"hf:{weak}", o, device="cpu", precision="fp32") for o in ({}, {"dynamic": False}))
    assert on.identity["hf"]["dynamic_multimask"] == {"delta": 0.05, "threshold": 0.98}
    assert off.identity["hf"]["dynamic_multimask"] is False
    segmenter, plain = models.build(on.spec), models.build(off.spec)
    assert segmenter.identity["dynamic_multimask"] == on.identity["hf"]["dynamic_multimask"]
    single, several = clicks((30, 20, 1), multimask=False), clicks((30, 20, 1))
    [dynamic, three] = segmenter.decode(segmenter.encode(PICTURE), [single, several])
    [first] = plain.decode(plain.encode(PICTURE), [single])
    assert np.array_equal(dynamic.masks.low_res[0], three.masks.low_res[three.top_index])
    assert not np.array_equal(first.masks.low_res[0], dynamic.masks.low_res[0])


def test_the_configs_own_dynamic_output_is_used(tmp_path: Path) -> None:
    hf_folders.sam2(tmp_path / "a", dynamic_multimask_via_stability=False)
    hf_folders.sam2(tmp_path / "b", dynamic_multimask_stability_delta=0.5, dynamic_multimask_stability_thresh=0.9)
    assert built(tmp_path / "a").identity["dynamic_multimask"] is False
    segmenter = built(tmp_path / "b")
    assert segmenter.identity["dynamic_multimask"] == {"delta": 0.5, "threshold": 0.9}
    assert segmenter.model.mask_decoder.dynamic_multimask_stability_delta == 0.5
    hf_folders.sam2(tmp_path / "c", dynamic_multimask_stability_delta=0.5)
    hf_folders.reconfigure(tmp_path / "c", mask_decoder_config={"dynamic_multimask_stability_delta": "half"})
    with pytest.raises(ModelError, match="dynamic_multimask_stability"):
        built(tmp_path / "c")


@pytest.mark.parametrize("size", [(60, 90), (300, 200), (128, 128), (3, 500)])
def test_pictures_are_resized_in_floating_point(size: tuple[int, int]) -> None:
    """Against Pillow's filter on floats; transformers' processors round to whole grey levels in between."""
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (*size, 3), np.uint8)
    settings = Settings((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), None)
    got = squashed(picture, 128, settings, torch.device("cpu"))[0].numpy()
    mean, std = (np.array(v)[:, None, None] for v in (settings.mean, settings.std))
    grey = 255 * (got * std + mean)
    for channel in range(3):
        plane = Image.fromarray(picture[..., channel].astype(np.float32), mode="F")
        expected = np.asarray(plane.resize((128, 128), Image.Resampling.BILINEAR))
        assert np.abs(grey[channel] - expected).max() < 0.01
    if size != (128, 128):
        assert np.abs(grey - grey.round()).max() > 0.4


def test_points_are_exact_in_bf16(folder: Path, segmenter: Sam2Segmenter) -> None:
    """In bf16 itself a position of 100.6 is 100.5: prompts and decoder stay in fp32, the image encoder does not."""
    half = built(folder, precision="bf16")
    assert {p.dtype for p in half.model.vision_encoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in half.model.mask_decoder.parameters()} == {torch.float32}
    exact, state = segmenter.encode(PICTURE), half.encode(PICTURE)
    for a, b in zip(exact.maps, state.maps, strict=True):
        assert b.dtype == torch.float32
        assert 0 < float((a - b).abs().max()) < 0.3 * float(a.std()) + 0.3
    prompt = clicks((70.75, 20.3, 1))
    [got], [expected] = half.decode(exact, [prompt]), segmenter.decode(exact, [prompt])
    assert np.array_equal(got.masks.low_res, expected.masks.low_res)  # type: ignore[attr-defined]
    assert half.identity == segmenter.identity
    assert half.precision == "bf16"


def test_what_it_can_not_read(segmenter: Sam2Segmenter) -> None:
    for shape, dtype in (((4, 5), "u1"), ((4, 5, 3), "f4"), ((4, 5, 4), "u1"), ((0, 5, 3), "u1")):
        with pytest.raises(ModelError, match="can't read"):
            segmenter.encode(np.zeros(shape, dtype))
    state = segmenter.encode(PICTURE)
    for carry in (np.zeros((32, 32), np.float32), torch.zeros(5, 5)):
        with pytest.raises(ModelError, match="carry"):
            segmenter.decode(state, [Prompt(carry=carry)])
    assert segmenter.decode(state, []) == []
    with pytest.raises(UsageError, match="precision"):
        Sam2Segmenter(segmenter.model, segmenter.settings, name="x", precision="fp8")


BESIDE_A_BROKEN_ONE = """
import sys
from sambench.sources import models
spec = models.resolve("hf:" + sys.argv[1], {}, device="cpu", precision="fp32").spec
assert "transformers" not in sys.modules and "torch" not in sys.modules, "resolved without them"
try:
    models.build(spec)
except Exception as e:
    print(type(e).__name__, e)
"""


def test_a_broken_torchvision_is_named(tmp_path: Path) -> None:
    """PyPI's wheel of it beside a CPU build of torch makes transformers' import fail, with the name of an operator."""
    hf_folders.sam2(tmp_path / "tiny")
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")\n')
    info = tmp_path / "torchvision-0.99.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.99\n")
    path = os.pathsep.join(map(str, [ROOT, tmp_path]))
    command = [sys.executable, "-c", BESIDE_A_BROKEN_ONE, tmp_path / "tiny"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    said = done.stdout
    assert said.startswith("ModelError transformers cannot give ")
    assert "operator torchvision::nms does not exist" in said
    assert "uninstall torchvision" in said
