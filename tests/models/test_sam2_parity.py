"""SAM 2's official files in our segmenter against PyPI's `sam2` on the same random weights: the predictor, and whole loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sambench.models.hf.official import hiera_t
from sambench.models.hf.segmenter import Sam2Segmenter, Sam2State
from sambench.pixels.region import Region
from sambench.tasks.point import PointSettings, PointTask
from sambench.tasks.prompted import Context
from sambench.types import Instance, Prompt, Sample
from tests.helpers import golden_weights as rule
from tests.helpers.plain_clicks import plain_next_click
from tests.helpers.stubs import official_sam2

pytestmark = pytest.mark.slow

N_CLICKS = 5
PICTURE = rule.procedural_image()
BOXES = ((40, 380, 360, 570), (60, 50, 330, 320), (440, 280, 710, 530))


def value(name: str, t: torch.Tensor) -> torch.Tensor:
    """Deterministic weights, by name and shape, under which masks are blobs."""
    try:
        return torch.from_numpy(np.asarray(rule.value(name, tuple(t.shape))))
    except KeyError:  # of SAM 2 alone
        return torch.from_numpy(0.1 * np.random.default_rng(len(name)).standard_normal(tuple(t.shape)).astype(np.float32))


@pytest.fixture(scope="module", params=["sam2.1/sam2.1_hiera_t", "sam2/sam2_hiera_t"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sam2Segmenter, Any, Sam2State]:
    """Ours, of a file as the authors distribute it, and the official predictor, both with the picture."""
    predictor = official_sam2()
    from sam2.build_sam import build_sam2

    peer = build_sam2(f"configs/{request.param}.yaml", device="cpu")
    state = {k: value(k, t) for k, t in peer.state_dict().items()}
    peer.load_state_dict(state, strict=True)
    file = tmp_path_factory.mktemp("sam2") / "official.pt"
    torch.save({"model": state}, file)
    ours = hiera_t(weights=file, device="cpu", precision="fp32")
    official = predictor.SAM2ImagePredictor(peer)
    official.set_image(PICTURE)
    return ours, official, ours.encode(PICTURE)


PROMPTS: dict[str, dict[str, Any]] = {
    "point": {"points": [(200, 470)], "labels": [1], "multi": True},
    "single": {"points": [(200.5, 470.25)], "labels": [1], "multi": False},
    "points": {"points": [(200, 470), (500, 120), (64, 64)], "labels": [1, 0, 1], "multi": False},
    "box": {"box": (40, 380, 360, 570), "multi": True},
    "box single": {"box": (40, 380, 360, 570), "multi": False},
    "both": {"box": (40, 380, 360, 570), "points": [(200, 470), (300, 400)], "labels": [1, 0], "multi": False},
    "both multi": {"box": (40, 380, 360, 570), "points": [(200, 470)], "labels": [1], "multi": True},
}


def test_the_embedding(pair: tuple[Sam2Segmenter, Any, Sam2State]) -> None:
    _, predictor, state = pair
    expected = [*predictor._features["high_res_feats"], predictor.get_image_embedding()]
    for got, theirs in zip(state.maps, expected, strict=True):
        assert float((got - theirs).abs().max()) < 1e-5 * float(theirs.std())


@pytest.mark.parametrize("feed_back", [False, True], ids=["fresh", "with mask"])
@pytest.mark.parametrize("name", PROMPTS)
def test_predictor(pair: tuple[Sam2Segmenter, Any], name: str, feed_back: bool) -> None:
    ours, predictor, state = pair
    case = PROMPTS[name]
    carry = mask_input = None
    if feed_back:
        [before] = ours.decode(state, [Prompt(np.array([[60, 50]], np.float32), np.array([1], np.int8))])
        _, _, low = predictor.predict(np.array([[60, 50]]), np.array([1]))
        carry, mask_input = before.carry[1], low[1:2]  # type: ignore[index]
        assert np.abs(carry.numpy() - mask_input[0]).max() < 1e-4 * low.std()
    points = np.array(case.get("points", np.zeros((0, 2))), np.float32)
    labels = np.array(case.get("labels", []), np.int8)
    [got] = ours.decode(state, [Prompt(points, labels, case.get("box"), multimask=case["multi"], carry=carry)])
    logits, scores, low = predictor.predict(
        points if len(points) else None,
        labels if len(points) else None,
        np.array(case["box"]) if "box" in case else None,
        mask_input,
        multimask_output=case["multi"],
        return_logits=True,
    )
    own = got.masks.low_res  # type: ignore[attr-defined]
    assert np.abs(np.clip(own, -32, 32) - low).max() < 1e-4 * own.std()
    np.testing.assert_allclose(got.scores, scores, atol=1e-5)
    for i, whole in enumerate(logits):
        assert np.abs(got.masks.logits(i) - whole).max() < 1e-4 * whole.std()  # type: ignore[attr-defined]


def plain_loop(predictor: Any, gt: np.ndarray) -> tuple[list[tuple[int, int, bool]], list[np.ndarray]]:
    """Clicks and masks of one object, one prediction a call, masks at full size."""
    clicks = [plain_next_click(gt, np.zeros_like(gt), [])]
    masks, low = [], None
    for k in range(1, N_CLICKS + 1):
        xy = np.array([(x, y) for x, y, _ in clicks], np.float32)
        labels = np.array([p for *_, p in clicks], np.int32)
        found, scores, lows = predictor.predict(xy, labels, mask_input=low, multimask_output=k == 1)
        best = int(np.argmax(scores))
        low = lows[best : best + 1]
        masks.append(found[best] > 0)
        if k < N_CLICKS:
            clicks.append(plain_next_click(gt, masks[-1], clicks))
    return clicks, masks


def test_whole_loops_have_the_same_clicks(pair: tuple[Sam2Segmenter, Any, Sam2State]) -> None:
    ours, predictor, _ = pair
    objects = [predictor.predict(box=np.array(box), multimask_output=False)[0][0] > 0 for box in BOXES]
    instances = tuple(Instance(str(i), Region.from_array(m)) for i, m in enumerate(objects))
    sample = Sample("parity", "picture", *PICTURE.shape[:2], instances, lambda: PICTURE)
    rows = PointTask(PointSettings(clicks=tuple(range(1, N_CLICKS + 1)))).rows(sample, ours, Context())
    for i, gt in enumerate(objects):
        clicks, masks = plain_loop(predictor, gt)
        own = [r for r in rows if r["object_id"] == str(i)]
        xy = np.reshape(own[-1]["clicks_xy"], (-1, 2))
        assert [(int(x), int(y), bool(p)) for (x, y), p in zip(xy, own[-1]["clicks_label"], strict=True)] == clicks
        for k, (row, expected) in enumerate(zip(own, masks, strict=True)):
            which = row["top_index"] if k == 0 else 0
            size = [row["height"], row["width"]]
            mask = Region.from_rle({"size": size, "counts": row["mask_rles"][which]}).full()
            assert int((mask != expected).sum()) <= 10 + expected.size // 10_000
