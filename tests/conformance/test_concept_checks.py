"""`sambench check model` of models that answer phrases: a sound one passes, each broken one is caught by the check meant for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sambench.concepts import ConceptPrediction, ConceptPrompt
from sambench.conformance import Finding, check_model, summary
from sambench.models.colour_words import ColourWords
from sambench.pixels.candidates import DenseMasks


class Sound(ColourWords):
    """The baseline; what a subclass changes is its flaw."""


class TooSure(Sound):
    def concepts(self, state: Any, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        return [ConceptPrediction(a.masks, a.scores * 2) for a in super().concepts(state, prompts)]


class TooFew(Sound):
    def concepts(self, state: Any, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        return super().concepts(state, prompts[:1])


class Wavers(Sound):
    calls = 0

    def concepts(self, state: Any, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        self.calls += 1
        return [ConceptPrediction(a.masks, a.scores / self.calls) for a in super().concepts(state, prompts)]


class Shares(Sound):
    """Its scores depend on how many phrases are asked together, as a softmax over them would."""

    def concepts(self, state: Any, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        return [ConceptPrediction(a.masks, a.scores / len(prompts)) for a in super().concepts(state, prompts)]


class SwapsXY(Sound):
    def encode(self, image: np.ndarray) -> Any:
        square = np.zeros((max(image.shape[:2]),) * 2 + (3,), np.uint8)
        square[: image.shape[1], : image.shape[0]] = image.transpose(1, 0, 2)
        return (super().encode(square), image.shape[:2])

    def concepts(self, state: Any, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        inner, (height, width) = state
        out = []
        for a in super().concepts(inner, prompts):
            masks = np.stack([a.masks.array(i)[:height, :width] for i in range(len(a.scores))]) if len(a.scores) else []
            out.append(ConceptPrediction(DenseMasks(masks) if len(a.scores) else a.masks, a.scores))
        return out


class Literal(Sound):
    def concepts(self, state: Any, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        for p in prompts:
            p.phrase.encode("ascii")  # type: ignore[union-attr]
        return super().concepts(state, prompts)


def failed(findings: list[Finding]) -> set[str]:
    return {f.name for f in findings if f.status == "fail"}


def test_a_sound_model_passes() -> None:
    findings = check_model(Sound())
    assert summary(findings)["fail"] == 0, [f.text() for f in findings]
    assert "finds what is named" in {f.name for f in findings if f.status == "pass"}


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (TooSure, "answers"),
        (TooFew, "answers"),
        (Wavers, "determinism"),
        (Shares, "phrases alone"),
        (SwapsXY, "finds what is named"),
        (Literal, "odd phrases"),
    ],
)
def test_each_flaw_is_found(broken: type[Sound], check: str) -> None:
    assert check in failed(check_model(broken()))
