"""`sambench check model`: sound models pass, and every deliberately broken one is caught by the check that is meant for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sambench
from sambench.cli.app import app
from sambench.conformance import Finding, check_model, scenes, summary
from sambench.conformance.masks import MASK_CHECKS
from sambench.models.edges.gradients import canny
from sambench.models.grabcut import grabcut
from sambench.models.otsu import Otsu, otsu
from sambench.types import Prediction, Prompt


class Wrapped:
    """Otsu's threshold behind an adapter, as users write them; what a subclass changes is its flaw."""

    def __init__(self) -> None:
        self.inner = Otsu()
        self.identity = {"model": "wrapped"}

    def encode(self, image: np.ndarray) -> Any:
        return self.inner.encode(image)

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        return [self.answer(p.masks.array(0)) for p in self.inner.decode(state, prompts)]

    def answer(self, mask: np.ndarray) -> Prediction:
        return Prediction(mask[None], np.ones(1, np.float32))


class SwapsXY(Wrapped):
    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        return super().decode(state, [Prompt(p.points_xy[:, ::-1].copy(), p.labels, p.box_xyxy) for p in prompts])


class SwapsLabels(Wrapped):
    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        flipped = [(1 - p.labels).astype(np.int8) if len(p.labels) > 1 else p.labels for p in prompts]
        return super().decode(state, [Prompt(p.points_xy, x, p.box_xyxy) for p, x in zip(prompts, flipped, strict=True)])


class ReadsBGR(Wrapped):
    def encode(self, image: np.ndarray) -> Any:
        return super().encode(np.ascontiguousarray(image[..., ::-1]))


class TransposesMasks(Wrapped):
    def answer(self, mask: np.ndarray) -> Prediction:
        return super().answer(mask.T)


class IsRandom(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(0)

    def answer(self, mask: np.ndarray) -> Prediction:
        return super().answer(mask ^ (self.random.random(mask.shape) < 0.01))


class IsRandomInScores(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(0)

    def answer(self, mask: np.ndarray) -> Prediction:
        return Prediction(mask[None], self.random.random(1).astype(np.float32) * 1e-6)


class DependsOnBatch(Wrapped):
    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        masks = [p.masks.array(0) for p in self.inner.decode(state, prompts)]
        return [self.answer(m if len(masks) == 1 else m & ~masks[-1] | masks[0]) for m in masks]


class MixesUpTheOrder(Wrapped):
    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        return super().decode(state, prompts)[::-1]


class KeepsStateInItself(Wrapped):
    def encode(self, image: np.ndarray) -> Any:
        self.state = self.inner.encode(image)
        return image.shape

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        height, width = state[:2]
        masks = [p.masks.array(0) for p in self.inner.decode(self.state, prompts)]
        out = np.zeros((len(masks), height, width), np.bool_)
        for o, m in zip(out, masks, strict=True):
            o[: m.shape[0], : m.shape[1]] = m[:height, :width]
        return [self.answer(m) for m in out]


class WritesIntoTheImage(Wrapped):
    def encode(self, image: np.ndarray) -> Any:
        image[0, 0] = 255 - image[0, 0]
        return super().encode(image)


class ScoresNaN(Wrapped):
    def answer(self, mask: np.ndarray) -> Prediction:
        return Prediction(mask[None], np.full(1, np.inf, np.float32))


class ManyForSingle(Wrapped):
    def answer(self, mask: np.ndarray) -> Prediction:
        return Prediction(np.stack([mask, mask]), np.ones(2, np.float32))


class FailsOnSmallImages(Wrapped):
    def encode(self, image: np.ndarray) -> Any:
        return super().encode(image if len(image) > 20 else image[:-1])


class SeesItsLastClickAlone(Wrapped):
    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        last = [Prompt(p.points_xy[-1:], p.labels[-1:]) if len(p.labels) > 1 else p for p in prompts]
        return super().decode(state, last)


class WearsOutItsCarry(Wrapped):
    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        out = []
        for p, prompt in zip(super().decode(state, prompts), prompts, strict=True):
            mask = p.masks[0].copy()
            if prompt.carry is not None:
                mask &= prompt.carry
                prompt.carry[::2] = False
            out.append(Prediction(mask[None], np.ones(1, np.float32), carry=[p.masks[0].copy()]))
        return out


class HasNoMethods:
    pass


BROKEN = [
    (SwapsXY, "xy order"),
    (SwapsLabels, "labels"),
    (ReadsBGR, "RGB order"),
    (TransposesMasks, "answers"),
    (IsRandom, "determinism"),
    (IsRandomInScores, "determinism"),
    (DependsOnBatch, "batch"),
    (MixesUpTheOrder, "batch"),
    (KeepsStateInItself, "state"),
    (WritesIntoTheImage, "image"),
    (ScoresNaN, "answers"),
    (ManyForSingle, "single output"),
    (FailsOnSmallImages, "image of 8 x 8"),
    (SeesItsLastClickAlone, "more clicks"),
    (WearsOutItsCarry, "carry"),
    (HasNoMethods, "methods"),
]


def failed(findings: list[Finding]) -> list[str]:
    return [f.name for f in findings if f.status == "fail"]


def test_a_sound_adapter_passes_everything() -> None:
    findings = check_model(Wrapped())
    assert failed(findings) == []
    assert summary(findings)["skip"] == 0


@pytest.mark.parametrize(("model", "name"), BROKEN, ids=[m.__name__ for m, _ in BROKEN])
def test_each_flaw_is_caught_by_its_check(model: type, name: str) -> None:
    findings = check_model(model())
    assert name in failed(findings)
    (found,) = [f for f in findings if f.name == name]
    assert found.expected
    assert found.found
    assert found.text().startswith(f"FAIL  {name}: ")


def test_flaws_are_told_apart() -> None:
    """What is about coordinates fails for swapped coordinates, and what is not does not."""
    names = failed(check_model(SwapsXY()))
    assert {"determinism", "batch", "state", "single output", "RGB order"}.isdisjoint(names)
    assert failed(check_model(ReadsBGR())) == ["RGB order"]
    assert failed(check_model(SwapsLabels()))[0] == "labels"


def test_after_a_broken_answer_the_rest_is_said_to_be_unseen() -> None:
    findings = check_model(TransposesMasks())
    assert [f.status for f in findings] == ["fail", "skip"]
    assert all(name in findings[1].name for name, _ in MASK_CHECKS[1:])


def test_a_model_that_segments_nothing_is_not_blamed_for_what_cannot_be_told() -> None:
    class Blank(Wrapped):
        def answer(self, mask: np.ndarray) -> Prediction:
            return super().answer(np.zeros_like(mask))

    findings = {f.name: f for f in check_model(Blank())}
    assert not failed(list(findings.values()))
    assert {n for n, f in findings.items() if f.status == "skip"} == {"xy order", "labels", "RGB order", "more clicks", "boxes"}


def test_packaged_models_pass() -> None:
    assert sambench.check_model is check_model
    for model in (otsu(), grabcut(device="cpu", precision="fp32", weights=None)):
        assert failed(check_model(model)) == []


def test_edge_detectors() -> None:
    class Wide:
        def edges(self, image: np.ndarray) -> np.ndarray:
            return np.full(image.shape[:2], 1.5)

    class Unlike:
        def __init__(self) -> None:
            self.random = np.random.default_rng(0)

        def edges(self, image: np.ndarray) -> np.ndarray:
            return self.random.random(image.shape[:2])

    class Small:
        def edges(self, image: np.ndarray) -> np.ndarray:
            height, width = (n // 4 * 4 for n in image.shape[:2])
            return np.tile(np.arange(width) % 2, (height, 1)).astype(np.float32)

    assert failed(check_model(canny(device="cpu", precision="fp32", weights=None))) == []
    assert failed(check_model(Wide())) == ["map"]
    assert "determinism" in failed(check_model(Unlike()))
    assert "image of 97 x 31" in failed(check_model(Small()))


def test_the_scene_of_colours_says_what_it_claims() -> None:
    """Gray values as OpenCV rounds them: one of the pair is lost in either order of channels, the other is not."""
    weights = np.array([0.299, 0.587, 0.114])
    for colours, lost in ((scenes.SEEN_AS_RGB, -1), (scenes.SEEN_AS_BGR, 1)):
        a, b = (np.array(c, float) for c in colours)
        assert abs(weights @ a[::lost] - weights @ b[::lost]) < 0.5
        assert abs(weights @ a[::-lost] - weights @ b[::-lost]) > 20


def test_the_two_discs_lie_at_each_others_swapped_places() -> None:
    a, b = scenes.two_discs().instances
    box = np.array(a.box_xyxy)
    assert b.box_xyxy == tuple(box[[1, 0, 3, 2]])
    assert a.region.intersection(b.region) == 0


def test_command_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\nfrom sambench import Prediction\n"
        "class M:\n"
        "    def encode(self, image): return image.shape\n"
        "    def decode(self, state, prompts): return [Prediction(np.zeros((1, 5, 5), bool), np.ones(1)) for _ in prompts]\n"
        "def build(): return M()\n"
    )
    run = CliRunner().invoke(app, ["check", "model", f"python:{file}:build"])
    assert run.exit_code == 1
    for text in ("FAIL  answers: ", "expected: bool [C, 200, 300]", "1 failed"):
        assert text in run.output
    run = CliRunner().invoke(app, ["check", "model", "otsu"])
    assert run.exit_code == 0
    assert "0 failed" in run.output
