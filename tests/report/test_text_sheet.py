"""Figure 12: masks of phrases, and a point where the phrase alone fails. The models know what they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sambench.automatic.text_masks import summary, text_masks
from sambench.concepts import ConceptAnnotation, ConceptInstance, ConceptPrediction, ConceptTruth
from sambench.pixels.region import Region
from sambench.types import Prediction, Sample
from tests.helpers.inprocess import Cli

H, W = 40, 60
BOXES = {"left": (2, 4, 20, 30), "right": (35, 4, 55, 30)}  # x0, y0, x1, y1, the last ones beyond


def _mask(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    out = np.zeros((H, W), bool)
    out[y0:y1, x0:x1] = True
    return out


def _sample() -> Sample:
    """Phrases of two things; `both` is of both, `nothing` of none."""
    things = {name: ConceptInstance.of(Region.from_array(_mask(*box))) for name, box in BOXES.items()}
    held = {"left": ("left",), "right": ("right",), "both": ("left", "right"), "nothing": ()}
    concepts = tuple(
        ConceptTruth(phrase, phrase, (ConceptAnnotation(tuple(things[n] for n in names)),)) for phrase, names in held.items()
    )
    return Sample("d", "one", H, W, (), lambda: np.zeros((H, W, 3), np.uint8), concepts=concepts)


class Reads:
    """`left` is answered well, `right` by a strip of it, `both` not at all."""

    def encode(self, image: np.ndarray) -> None:
        return None

    def concepts(self, state: None, prompts: list[Any]) -> list[ConceptPrediction]:
        return [self._one(p.phrase) for p in prompts]

    def _one(self, phrase: str) -> ConceptPrediction:
        masks = {"left": [_mask(0, 30, 5, 40), _mask(*BOXES["left"])], "right": [_mask(35, 4, 38, 30)]}.get(phrase, [])
        return ConceptPrediction(np.array(masks, bool).reshape(-1, H, W), np.array([0.2, 0.9][-len(masks) :] if masks else []))  # type: ignore[arg-type]


class Clicked:
    """Answers a click with the box of the thing under it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def encode(self, image: np.ndarray) -> None:
        return None

    def decode(self, state: None, prompts: list[Any]) -> list[Prediction]:
        self.asked += prompts
        found = []
        for p in prompts:
            x, y = p.points_xy[0]
            box = next(b for b in BOXES.values() if b[0] <= x < b[2] and b[1] <= y < b[3])
            found.append(Prediction(np.array([np.zeros((H, W), bool), _mask(*box)]), np.array([0.1, 0.8], np.float32)))  # type: ignore[arg-type]
        return found


def test_a_point_is_given_where_the_phrase_fails_and_nowhere_else() -> None:
    clicked = Clicked()
    found = {t.concept.phrase: t for t in text_masks(Reads(), clicked, [_sample()], n=10)}
    assert set(found) == {"left", "right", "both"}  # an absent phrase has nothing to point at
    assert (found["left"].iou_text, found["left"].iou_point, found["left"].point_xy) == (1.0, None, None)
    assert found["right"].iou_text == pytest.approx(3 / 20)
    assert found["right"].iou_point == 1.0
    assert found["both"].by_text is None
    assert (found["both"].iou_text, found["both"].iou_point) == (0.0, 1.0)
    assert found["both"].target.area == 20 * 26  # the larger of the two
    boxes = [p.box_xyxy for p in clicked.asked]
    assert sorted(boxes, key=str) == sorted([(35.0, 4.0, 37.0, 29.0), None], key=str)  # of an answer that meets it, else none
    mean, n_failed, before, after = summary(list(found.values()))
    assert (mean, n_failed, before, after) == (pytest.approx((1 + 0.15) / 3), 2, pytest.approx(0.075), 1.0)
    assert not [t for t in text_masks(Reads(), Clicked(), [_sample()], n=10, fails_below=0.0) if t.point_xy is not None]
    assert len(text_masks(Reads(), Clicked(), [_sample()], n=2)) == 2


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    cli = Cli(monkeypatch, capsys)
    flags = ("--images", "1", "-n", "2", "--segmenter", "otsu", "--format", "csv")
    ended = cli("text", "demo:concepts", *flags)
    assert ended.code == 0, ended.err
    rows = [line.split(",") for line in Path("text/figures/fig12.csv").read_text().splitlines()[1:]]
    assert len(rows) == 2
    assert all((float(r[2]) < 0.5) == bool(r[3]) for r in rows)
    assert "there are no phrases" in cli("text", "demo", *flags).err
    assert "a model reads no phrases" in cli("text", "demo:concepts", "--model", "otsu").err
    assert "takes no clicks" in cli("text", "demo:concepts", "--segmenter", "colour_words").err
