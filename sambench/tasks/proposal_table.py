"""What a table of proposal runs shows: recall by number of proposals, by reference set; and what they are compared by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.metrics.proposals import AREA_SETS, FREQUENCY_SETS, recalled
from sambench.tasks.object_measures import ObjectMeasure
from sambench.tasks.table_columns import Measure

if TYPE_CHECKING:
    import pandas as pd

    from sambench.tasks.settings.proposals import ProposalSettings


REFERENCE_SETS = (*AREA_SETS, *FREQUENCY_SETS)  # beside all objects, in the table's order


def numbers_of(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """The numbers of proposals in metric rows, ascending."""
    return sorted({int(r["max_dets"]) for r in rows if r["metric"] == "ar"})


def proposal_measures(rows: Sequence[Mapping[str, Any]]) -> list[Measure]:
    """Average recall by number of proposals, its interval at the largest, and there by the objects' area and frequency."""
    numbers = numbers_of(rows)
    measures = [Measure(f"ar@{n}", f"AR@{n}", "percent", "ar", "", max_dets=n) for n in reversed(numbers)]
    if not numbers:
        return measures
    most = numbers[-1]
    interval = Measure(f"ar@{most}_ci", "CI", "interval", "ar", "", max_dets=most, drawn_by=f"ar@{most}")
    by_group = [Measure(f"ar@{most}_{g}", g, "percent", "ar", "", max_dets=most, group=g) for g in REFERENCE_SETS]
    return [measures[0], interval, *by_group, *measures[1:]]


def recall_measures(max_dets: Sequence[int]) -> dict[str, ObjectMeasure]:
    """The share of IoU thresholds at which an object is among the first n, as `ar@1000`; the largest n first."""
    return {f"ar@{n}": _recall_at(n) for n in reversed(max_dets)}


def _recall_at(n: int) -> ObjectMeasure:
    def values(frame: pd.DataFrame) -> Any:
        ranks = np.array(frame["ranks_all"].to_list(), np.int32).reshape(len(frame), -1).T
        return recalled(ranks, n) if len(frame) else np.zeros(0)

    return ObjectMeasure(("ranks_all",), values, only=("kind", "object"))


def settings_note(settings: ProposalSettings, models: Sequence[Mapping[str, Any]]) -> str:
    """All that moves the numbers of cells, in words; of files of proposals only the number of them does.

    models: of each cell `Cell.proposals`.
    """
    files = [str(next(iter(m.values())))[:8] for m in models if m]
    most = f"At most {max(settings.max_dets)} proposals per image"
    of_files = f"; those of files by score (sha256 {', '.join(dict.fromkeys(files))})" if files else ""
    return f"{most}{of_files}" + (f"; {_of_segmenters(settings)}." if len(files) < len(models) else ".")


def _of_segmenters(settings: ProposalSettings) -> str:
    outputs = "all candidates" if settings.multimask else "the single output"
    filters = [
        f"{name} at least {value:g}"
        for name, value in (("predicted IoU", settings.pred_iou), ("stability", settings.stability))
        if value
    ]
    ranks = {
        "mean": "mean of predicted IoU and stability",
        "iou": "predicted IoU",
        "random": f"chance, seed {settings.seed}",
    }
    measured = f", stability at logits of +-{settings.stability_offset:g}" if settings.rank == "mean" or settings.stability else ""
    return (
        f"those of segmenters from {settings.grid} x {settings.grid} points on the whole image, {outputs}, "
        f"{' and '.join(filters) or 'no filter'}, box suppression at {settings.nms_iou:g}, "
        f"ranked by {ranks[settings.rank]}{measured}"
    )
