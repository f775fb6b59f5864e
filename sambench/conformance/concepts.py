"""Conformance of models that answer phrases: form, determinism, phrases alone and together, odd phrases, small images.

Whether a phrase finds what it names can only be seen of a model that finds plain shapes: of others it is skipped. See
:mod:`sambench.conformance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sambench.concepts import ConceptPrediction, ConceptPrompt
from sambench.conformance import scenes
from sambench.conformance.findings import Check, Finding, Probe
from sambench.models.answers import as_concept_predictions
from sambench.models.contract import examine
from sambench.pixels.region import Region
from sambench.tasks.prompted import pixels_for
from sambench.types import Sample

SIZES = ((8, 8), (3, 60), (97, 31))
DISCS = ("orange disc", "light blue disc")  # of `scenes.two_discs`, in its order
PHRASES = (*DISCS, "disc", "giraffe")
ODD = ("A DISC", "disc.", "a disc, or what may look like one to who has never seen it " * 4, "größere Scheibe", "円盤", " ")
CLOSE = 1e-5  # of scores of one phrase asked alone and among others, in one precision


def _finding(name: str, ok: bool, found: str, expected: str = "", remedy: str = "") -> Finding:
    return Finding(name, "pass" if ok else "fail", found, expected, remedy)


def _ask(probe: Probe, sample: Sample, phrases: Sequence[str], *, together: bool = True) -> list[ConceptPrediction]:
    """The picture encoded anew, and asked in one call, or in one for each phrase."""
    state = probe.model.encode(pixels_for(probe.model, sample))
    calls = [list(phrases)] if together else [[p] for p in phrases]
    out: list[ConceptPrediction] = []
    for call in calls:
        answers = probe.model.concepts(state, [ConceptPrompt(p) for p in call])
        out += as_concept_predictions(answers, len(call), sample.height, sample.width, where=f"scene {sample.image_id}")
    return out


def _form(probe: Probe) -> Iterator[Finding]:
    answers = _ask(probe, scenes.two_discs(), PHRASES)
    counts = ", ".join(f"{len(a.scores)} for {p!r}" for p, a in zip(PHRASES, answers, strict=True))
    yield _finding("answers", True, f"instances: {counts}")
    yield _finding("attributes", True, f"identity holds {', '.join(examine(probe.model).identity) or 'nothing'}")
    shown = [a.presence for a in answers if a.presence is not None]
    yield _finding("presence", True, "of every phrase" if len(shown) == len(answers) else "of none" if not shown else "of some")


def _same(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    first = _ask(probe, sample, PHRASES)
    _ask(probe, scenes.plain(60, 80), ("ellipse",))  # what it remembers of one picture must not reach the next
    again = _ask(probe, sample, PHRASES)
    wrong = _difference(first, again, 0.0)
    yield _finding("determinism", not wrong, wrong or "the same answers twice, with another image between", "the same answers")


def _alone(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    wrong = _difference(_ask(probe, sample, PHRASES), _ask(probe, sample, PHRASES, together=False), CLOSE)
    remedy = "a phrase's answer must not depend on the phrases beside it: ask the model for each by itself"
    yield _finding("phrases alone", not wrong, wrong or "as among others", "the same instances for a phrase alone", remedy)


def _difference(one: Sequence[ConceptPrediction], other: Sequence[ConceptPrediction], close: float) -> str:
    """What differs between two answers to PHRASES; '' for nothing."""
    for phrase, a, b in zip(PHRASES, one, other, strict=True):
        if len(a.scores) != len(b.scores):
            return f"{len(a.scores)} and {len(b.scores)} instances for {phrase!r}"
        if len(a.scores) and float(np.abs(a.scores - b.scores).max()) > close:
            return f"scores for {phrase!r} differ by up to {np.abs(a.scores - b.scores).max():.2g}"
        if not close and any(a.masks.rle(i) != b.masks.rle(i) for i in range(len(a.scores))):
            return f"other masks for {phrase!r}"
    return ""


def _odd(probe: Probe) -> Iterator[Finding]:
    _ask(probe, scenes.two_discs(), ODD)
    yield _finding("odd phrases", True, "long, foreign and capital ones are answered")


def _named(probe: Probe) -> Iterator[Finding]:
    """Each colour finds its own disc, which lies at the other's (y, x)."""
    sample = scenes.two_discs()
    answers = _ask(probe, sample, DISCS)
    overlaps = [[_best(a, i.region) for i in sample.instances] for a in answers]
    found = [max(row) for row in overlaps]
    if max(found) < 0.5:
        yield Finding("finds what is named", "skip", "no plain disc is found by its colour: nothing can be said")
        return
    right = [row[k] >= max(row) for k, row in enumerate(overlaps) if max(row) >= 0.5]
    text = "; ".join(f"{p!r}: IoU {row[0]:.2f} and {row[1]:.2f}" for p, row in zip(DISCS, overlaps, strict=True))
    remedy = "look at the order of colours (RGB) and at that of coordinates"
    yield _finding("finds what is named", all(right), text, "each phrase's own disc before the other", remedy)


def _best(answer: ConceptPrediction, region: Region) -> float:
    return float(answer.masks.iou(region).max()) if len(answer.scores) else 0.0


def _sizes(probe: Probe) -> Iterator[Finding]:
    for height, width in SIZES:
        _ask(probe, scenes.plain(height, width), ("ellipse", "giraffe"))
        yield _finding(f"image of {height} x {width}", True, "answered")


CONCEPT_CHECKS: tuple[tuple[str, Check], ...] = (
    ("answers", _form),
    ("determinism", _same),
    ("phrases alone", _alone),
    ("odd phrases", _odd),
    ("finds what is named", _named),
    ("image sizes", _sizes),
)
