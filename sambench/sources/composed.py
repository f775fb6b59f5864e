"""`DETECTOR+SEGMENTER`: a detector that finds phrases and a segmenter that its boxes prompt, as one model of the concept task.

    --model gdino+sam_vit_b -M detector.threshold=0.2 -M segmenter.weights=tuned.pth -M working_point=0.3

The one place where such names are read. The detector is a card's (`gives = "boxes"`) or an `hf:` name, the segmenter any model of
masks but those of `python:`, whose identity is known too late. Each part has its identity in that of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sambench import cards
from sambench.errors import UsageError, shown
from sambench.models.composed import WORKING_POINT, Composed
from sambench.sources import hf
from sambench.sources.base import ModelSpec, Progress, ResolvedModel, label_of
from sambench.types import Dataset, Gives

SIGN: Final = "+"
MAX_BATCH: Final = 16  # phrases a call
_PARTS: Final = ("detector", "segmenter")


def parts_of(name: str) -> tuple[str, str] | None:
    """The names of detector and segmenter, where a name is a composition's: what stands before a plus is a detector's.

    A folder or file whose own name has a plus is none, nor is one whose first part is no card and no `hf:` name.
    """
    if name.startswith(hf.PREFIX) and hf.is_folder(name) and not _lost(name):
        return None
    for i, sign in enumerate(name):
        left, right = name[:i], name[i + 1 :]
        if sign == SIGN and right and _is_detector(left):
            return left, right
    return None


def _lost(name: str) -> bool:
    """Whether an `hf:` name that looks like a path is that of nothing."""
    from sambench.sources.inputs import place_of

    return not place_of(name, hf.PREFIX).exists()


def _is_detector(name: str) -> bool:
    if name.startswith(hf.PREFIX):
        return len(name) > len(hf.PREFIX) and not (hf.is_folder(name) and _lost(name))
    return name in cards.model_cards()


class ComposedSource:
    """A `ModelSource`."""

    form = f"DETECTOR{SIGN}SEGMENTER"
    stored = False

    def gives(self, name: str) -> Gives | None:
        return "concepts"

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> ResolvedModel:
        """Find both parts. Raises UsageError where one is no detector, or the other no segmenter; and what the parts raise."""
        from sambench.sources import models

        own, given = _sorted_options(options)
        names = parts_of(name) or ("", "")
        found = [
            models.resolve(part, given[what], device=device, precision=precision, progress=progress)
            for what, part in zip(_PARTS, names, strict=True)
        ]
        detector, segmenter = (_checked(m, part, i) for i, (m, part) in enumerate(zip(found, names, strict=True)))
        identity = {
            "composed": {"detector": detector.identity, "segmenter": segmenter.identity, **own},
            "max_batch": MAX_BATCH,
            "precision": detector.identity["precision"],
            "device_kind": detector.identity["device_kind"],
        }
        spec = ModelSpec(
            f"{detector.spec.name}{SIGN}{segmenter.spec.name}",
            dict(options),
            detector.spec.device,
            detector.spec.precision,
            contents={"detector": asdict(detector.spec), "segmenter": asdict(segmenter.spec)},
        )
        label = f"{detector.id}{SIGN}{segmenter.id}"
        return ResolvedModel(
            spec,
            label_of(label),
            f"{detector.title} with {segmenter.title}",
            identity,
            True,
            detector.weights_bytes + segmenter.weights_bytes,
            gives="concepts",
            notes=(*detector.notes, *segmenter.notes),
        )

    def build(self, spec: ModelSpec) -> Composed:
        from sambench.sources import models

        own, _ = _sorted_options(spec.options)
        detector, segmenter = (models.build(ModelSpec(**spec.contents[what])) for what in _PARTS)
        model = Composed(detector, segmenter, working_point=own["working_point"])
        model.max_batch = MAX_BATCH
        return model

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        from sambench.sources import models

        specs = [ModelSpec(**spec.contents[what]) for what in _PARTS]
        return [note for s in specs for note in models.source_of(s.name).check(s, dataset, image_ids)]


SOURCE = ComposedSource()


def _sorted_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Options of the whole, and those of the parts by part. Raises UsageError for one that belongs to none."""
    own: dict[str, Any] = {"working_point": WORKING_POINT}
    given: dict[str, dict[str, Any]] = {what: {} for what in _PARTS}
    for key, value in options.items():
        what, dot, rest = key.partition(".")
        if dot and rest and what in given:
            given[what][rest] = value
        elif key == "working_point":
            own[key] = _working_point(value)
        else:
            raise UsageError(
                "an option belongs to no part of a composition",
                where="-M",
                expected="detector.KEY=VALUE, segmenter.KEY=VALUE, or working_point=VALUE",
                found=shown(key),
            )
    return own, given


def _working_point(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        expected = "a number between 0 and 1: the detector's score from which a box counts"
        raise UsageError("an option does not fit", where="-M working_point", expected=expected, found=shown(repr(value)))
    return float(value)


def _checked(model: ResolvedModel, name: str, part: int) -> ResolvedModel:
    """Raises UsageError where a model cannot be that part."""
    wanted = ("boxes",) if part == 0 else ("masks", "single_mask")
    if model.gives in wanted and model.identity:
        return model
    detectors = [c.id for c in cards.model_cards().values() if c.gives == "boxes"]
    late = model.gives in wanted  # its identity is known once it is built
    expected = "a model of masks, by card or hf:" if part else f"a detector that finds phrases: {', '.join(detectors)}, or hf:..."
    raise UsageError(
        f"{name!r} cannot be the {_PARTS[part]} of a composition",
        where="--model",
        expected=expected,
        found="a model whose identity is known too late" if late else f"one that gives {model.gives}",
    )
