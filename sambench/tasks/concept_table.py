"""What the table of the concept task shows and says, and what its runs are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from sambench.notes import by_dataset
from sambench.tasks.concept_scores import COUNT_COLUMNS, SET_METRICS, counted, set_value
from sambench.tasks.object_measures import ObjectMeasure, column
from sambench.tasks.set_measures import SetMeasure, SumMeasure
from sambench.tasks.table_columns import Measure

if TYPE_CHECKING:
    import pandas as pd

    from sambench.tasks.settings.concepts import ConceptSettings
    from sambench.tasks.task import Cell

IOU_BEST = "iou_best"


def concept_measures() -> list[Measure]:
    """cgF1 with its interval and parts, AP, the IoU of the best mask, and the calibration error."""
    return [
        Measure("cgf1", "cgF1", "percent", "cgf1", ""),
        Measure("cgf1_ci", "CI", "interval", "cgf1", ""),
        Measure("cgf1@50", "cgF1@50", "percent", "cgf1", "", threshold=0.5),
        Measure("pmf1", "pmF1", "percent", "pmf1", ""),
        Measure("il_mcc", "IL_MCC", "number", "il_mcc", ""),
        Measure("il_fpr", "IL_FPR", "percent", "il_fpr", ""),
        Measure("ap", "AP", "percent", "ap", ""),
        Measure("ap50", "AP50", "percent", "ap", "", threshold=0.5),
        Measure("miou", "mIoU", "percent", "miou", ""),
        Measure("ece", "ECE", "percent", "ece", ""),
    ]


def concept_notes(settings: ConceptSettings, cells: Sequence[Cell]) -> list[str]:
    """What the numbers are, and which phrases count for some of them only."""
    pairs = []
    one_sided = several = False
    for cell in cells:
        found = cell.values(["exhaustive", "n_truth", "n_annotators"])
        flags, truth, annotators = found["exhaustive"], found["n_truth"], found["n_annotators"]
        known = [(e, t) for e, t in zip(flags, truth, strict=True) if e is not None]
        several |= any((n or 0) > 1 for n in annotators)
        loose = sum(not e for e, _ in known)
        if loose:
            text = f"{loose:,} of {len(known):,} phrases are not annotated exhaustively, and count only for AP and mIoU"
            pairs.append((cell.dataset, text))
        there = {t > 0 for e, t in known if e}
        one_sided |= len(there) == 1
    notes = [
        "cgF1 = pmF1 x IL_MCC, in percent but for IL_MCC, over IoU .50 to .95 where no threshold is named; masks of a score of "
        f"{settings.threshold:g} and more count, for AP and ECE all; intervals by a bootstrap over clusters.",
        "mIoU: of present phrases, the best mask that counts; ECE: how far scores are from the share of masks that are right.",
        *by_dataset(dict.fromkeys(pairs)),
    ]
    if several:
        notes.append(
            "Of several annotators the one with the best F1 of a phrase counts; people: each of them against the others by the "
            "same rule, the mean over annotators."
        )
    if one_sided:
        notes.append("where every phrase is present, or every one absent, IL_MCC is 0 by the evaluator's rule, and cgF1 with it")
    return notes


def object_measures() -> dict[str, ObjectMeasure]:
    """By phrase: the best IoU, of phrases that are there."""
    return {IOU_BEST: ObjectMeasure((IOU_BEST,), column(IOU_BEST), objects=_present)}


def _present(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame[IOU_BEST].notna()]


def set_measures() -> dict[str, SetMeasure]:
    """By the whole set: cgF1 first."""
    return {name: SumMeasure(COUNT_COLUMNS, counted, partial(set_value, name), name) for name in SET_METRICS}
