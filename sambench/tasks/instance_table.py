"""What the table of the instance task says beside its numbers: which boxes, which variant, and what the images' rows counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from sambench.notes import by_dataset
from sambench.tasks.proposal_table import REFERENCE_SETS
from sambench.tasks.table_columns import Measure

if TYPE_CHECKING:
    from sambench.tasks.settings.instances import InstanceSettings
    from sambench.tasks.task import Cell

COUNTS = {
    "n_cut": "beyond the number that counts were left out, those of lowest score",
    "n_outside": "have a box without a pixel of their image, for which no model is asked",
    "n_duplicates": "stand in the file more than once; each counts",
    "n_empty": "have an empty mask: COCO's evaluator counts each as a false positive, LVIS's leaves it out",
}
_SHOWN_HASH = 8
_OWN = "detections"
_VARIANTS = {
    "refine": "the best-ranked of a model's masks on the box (SAM: three) is fed back once, for a single one",
    "no_refine": "the best-ranked of a model's masks on the box (SAM: three) counts",
    "single": "a model's single output, fed back once",
}


def instance_measures() -> list[Measure]:
    """Mask AP, at IoU .5 and .75, by area and (federated datasets) by frequency; boundary AP where asked for; AP of the boxes."""
    return [
        Measure("ap", "AP", "percent", "ap", "mask"),
        Measure("ap_ci", "CI", "interval", "ap", "mask", drawn_by="ap"),
        *(Measure(f"ap{100 * t:.0f}", f"AP{100 * t:.0f}", "percent", "ap", "mask", threshold=t) for t in (0.5, 0.75)),
        *(Measure(f"ap_{g}", f"AP {g}", "percent", "ap", "mask", group=g) for g in REFERENCE_SETS),
        Measure("boundary_ap", "boundary AP", "percent", "ap", "boundary"),
        Measure("box_ap", "box AP", "percent", "ap", "box"),
    ]


def instance_settings(settings: InstanceSettings, cells: Sequence[Cell]) -> list[str]:
    """The settings that move the numbers, as sentences. cells: of these settings."""
    limit = settings.max_dets if settings.max_dets is not None else "100 (300 where annotation is federated)"
    name = PurePath(settings.boxes).name
    prompted = [c for c in cells if c.model != _OWN]
    how = f"; {_VARIANTS[settings.variant]}; class and score are the detection's" if prompted else ""
    official = "the area that COCO's evaluator assigns to them"
    areas = "the mask's area, of boxes by the box's" if settings.areas == "own" else official
    return [
        "AP in percent, the mean over IoU .50 to .95 and categories.",
        f"Detections are small, medium or large by {areas}.",
        f"Detections of {name} (sha256 {settings.boxes_sha256[:_SHOWN_HASH]}), at most {limit} per image{how}.",
    ]


def count_notes(cells: Sequence[Cell]) -> list[str]:
    """What was counted of detections that are not as they should be, by dataset (and model, where that decides)."""
    pairs = []
    for cell in cells:
        found = cell.values(["n_detections", *COUNTS], ("kind", "image"))
        n = sum(v or 0 for v in found["n_detections"])
        for counted, text in COUNTS.items():
            count = sum(v or 0 for v in found[counted])
            if count:
                name = f"{cell.dataset} ({cell.label})" if counted == "n_empty" else cell.dataset
                pairs.append((name, f"{count:,} of {n:,} detections {text}"))
    return by_dataset(dict.fromkeys(pairs))
