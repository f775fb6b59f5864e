"""The gallery of the concept task: absent phrases that were answered, present ones of the lowest F1, and where two runs
disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.concepts import ConceptInstance, ConceptTruth
from sambench.metrics.concepts import PairCount
from sambench.pixels.region import Region
from sambench.provenance import keyed_hash
from sambench.report import overlays
from sambench.report.galleries import DISAGREEMENT, Asked, Pick, View
from sambench.report.galleries._found import with_samples
from sambench.results.names import model_names
from sambench.store.views import CellView
from sambench.text import counted
from sambench.types import Sample, Window

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = (
    "image_id", "object_id", "category", "annotator", "height", "width", "n_truth", "n_found", "hits", "scores", "iou_best",
    "found_rles",
)  # fmt: skip
_KINDS = {
    "worst": "Present phrases, lowest F1",
    "false_positives": "Absent phrases that were answered",
    DISAGREEMENT: "Phrases on which two runs disagree most",
}
_COLOURS = "Green: the annotator that counts; orange: masks that count."
_NOTES = {
    "worst": f"Lowest mean F1 first; left what is annotated, right what was answered. {_COLOURS}",
    "false_positives": f"Highest score first; the number of masks that count. {_COLOURS}",
    DISAGREEMENT: f"Largest difference of F1 first; the first run's answer, then the second's. {_COLOURS}",
}


@dataclass(frozen=True)
class _Panel:
    """What is annotated, in outline or filled, and what was answered."""

    caption: str
    truth: Sequence[ConceptInstance]
    found: Sequence[Region]
    fill: bool = False


def _rows(cell: CellView) -> pd.DataFrame:
    """Rows with stored masks, and `f1`, the mean local F1 of each pair (1 where nothing is there and nothing was answered)."""
    frame = cell.scored(COLUMNS)
    frame = frame[frame["found_rles"].notna()].copy()
    frame["f1"] = [_f1(r) for r in frame.to_dict("records")]
    return frame


def _f1(row: Mapping[Any, Any]) -> float:
    local = PairCount(int(row["n_truth"]), int(row["n_found"]), np.asarray(row["hits"], np.int64)).local_f1
    return 1.0 if local is None else float(local.mean())


def _picks(cell: CellView, asked: Asked) -> list[Pick]:
    frame, kind, partner = _rows(cell), asked.kind, asked.partner
    if kind == "worst":
        frame = frame[frame["iou_best"].notna()]
        frame["rank"] = 1 - frame["f1"]
    elif kind == "false_positives":
        frame = frame[frame["iou_best"].isna() & (frame["n_found"] > 0)]
        frame["rank"] = [max(s) for s in frame["scores"]]
    elif partner is not None:
        keys, theirs = ["image_id", "object_id"], _rows(partner)
        frame = frame.merge(theirs, on=keys, suffixes=("", "_other"), validate="one_to_one")
        frame["rank"] = (frame["f1"] - frame["f1_other"]).abs()
        frame = frame[frame["rank"] > 0]
    # Many have the same F1: which of them are shown is drawn, by their ids, so that a sheet is not of the first images alone.
    frame["drawn"] = [keyed_hash(i, o) for i, o in zip(frame["image_id"], frame["object_id"], strict=True)]
    frame = frame.sort_values(["rank", "drawn"], ascending=[False, True], kind="stable").head(asked.n)
    names = model_names([c for c in (cell, partner) if c])
    out, threshold = [], float(cell.task.settings.threshold)
    for row, sample in with_samples(frame, cell, asked):
        concept = next((c for c in sample.concepts if c.concept_id == row["object_id"]), None)
        if concept is not None:
            panels = _panels(concept, row, kind, threshold, names)
            drawn = tuple(partial(_draw_panel, sample=sample, panel=panel) for panel in panels)
            out.append(Pick(drawn, _data(row)))
    return out


def _panels(
    concept: ConceptTruth, row: Mapping[str, Any], kind: str, threshold: float, names: list[str]
) -> tuple[_Panel, ...]:
    head = f"{overlays.short(concept.phrase, 26)}\n{overlays.short(str(row['image_id']))}"
    truth, found = concept.annotations[int(row["annotator"])].instances, _found(row, threshold)
    if kind == "false_positives":
        return (_Panel(f"{head}\n{counted(len(found), 'mask')}, score {max(row['scores']):.2f}", (), found),)
    if kind == "worst":
        return _Panel(head, truth, (), fill=True), _Panel(f"{overlays.short(names[0], 24)}\n{_said(row)}", truth, found)
    other = {c.removesuffix("_other"): v for c, v in row.items() if c.endswith("_other")}
    other |= {"height": row["height"], "width": row["width"]}
    theirs, drawn = _found(other, threshold), concept.annotations[int(other["annotator"])].instances
    ours = _Panel(f"{head}\n{overlays.short(names[0], 24)}\n{_said(row)}", truth, found)
    return ours, _Panel(f"\n\n{overlays.short(names[1], 24)}\n{_said(other)}", drawn, theirs)


def _said(row: Mapping[str, Any]) -> str:
    """As "3 masks, 2 instances, F1 55 %"; of an absent phrase "3 masks, 0 instances"."""
    n, truth = int(row["n_found"]), int(row["n_truth"])
    return f"{counted(n, 'mask')}, {counted(truth, 'instance')}" + (f", F1 {100 * row['f1']:.0f} %" if truth else "")


def _found(row: Mapping[str, Any], threshold: float) -> list[Region]:
    """The masks that count."""
    size = [int(row["height"]), int(row["width"])]
    kept = [c for c, s in zip(row["found_rles"], row["scores"], strict=True) if s >= threshold]
    return [Region.from_rle({"size": size, "counts": c}) for c in kept]


def _data(row: Mapping[str, Any]) -> tuple[Any, ...]:
    counts = int(row["n_truth"]), int(row["n_found"])
    return (row["image_id"], row["object_id"], row["category"], *counts, row["f1"], float(row["rank"]))


def _draw_panel(axes: Axes, sample: Sample, panel: _Panel) -> None:
    window = Window(0, 0, sample.height, sample.width)
    overlays.draw_image(axes, sample.image, window)
    for region in panel.found:
        overlays.outline(axes, region, overlays.MASK, fill=True)
    for instance in panel.truth:
        if instance.region is not None:
            overlays.outline(axes, instance.region, overlays.TRUTH, fill=panel.fill)
        else:
            x0, y0, x1, y1 = instance.box_xyxy
            axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=overlays.TRUTH, lw=1.1)
    overlays.finish_panel(axes, window, panel.caption)


VIEW = View(
    kinds=_KINDS,
    usual=("worst", "false_positives"),
    notes=_NOTES,
    header=("image_id", "phrase_id", "phrase", "n_truth", "n_found", "f1", "score"),
    picks=_picks,
    across=lambda kind: 1 if kind == "false_positives" else 2,
    what="phrases",
    panel_in=1.75,
)
