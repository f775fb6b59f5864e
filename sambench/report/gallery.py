"""The failure gallery: worst objects, largest oracle gaps, and largest disagreements of two runs, as sheets of masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from sambench import __version__
from sambench.errors import SambenchError, UsageError, unknown_name
from sambench.paper.evidence import Entry
from sambench.report import overlays
from sambench.report.concept_gallery import ConceptKind, concept_section
from sambench.report.document import Document, Picture, Section
from sambench.results.stored_masks import dataset_of
from sambench.store.views import CellView
from sambench.types import Sample

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

By = Literal["worst", "oracle_gap", "false_positives", "disagreement"]
KINDS: tuple[By, ...] = ("worst", "oracle_gap", "false_positives", "disagreement")
OF_OBJECTS: tuple[By, ...] = ("worst", "oracle_gap", "disagreement")
OF_PHRASES: tuple[ConceptKind, ...] = ("worst", "false_positives", "disagreement")
PANEL_IN = 1.45
_TITLES = {
    "worst": "Lowest IoU",
    "oracle_gap": "Largest gaps between the best mask and the one ranked first",
    "disagreement": "Largest disagreements",
}


@dataclass(frozen=True)
class _Pick:
    sample: Sample
    row: dict[str, Any]
    other: dict[str, Any] | None
    score: float


def gallery(
    cells: Sequence[CellView],
    others: Sequence[CellView] = (),
    *,
    by: Sequence[By] = (),
    k: int | None = None,
    n: int = 12,
    root: Path | None = None,
) -> Document:
    """A section for every cell and criterion, with prompt, ground truth and masks.

    others: the second run, for disagreements. by: criteria (OF_OBJECTS, OF_PHRASES); none: all that the run has. k: clicks
    (default: the first count; 0 by box). Cells without stored masks, or whose dataset is not here, have a section that says so.
    Raises UsageError where no cell is of a task with objects or phrases, a criterion is not one of its task's, or a disagreement
    is asked for with one run only.
    """
    kept = [c for c in cells if _of_objects(c) or _of_phrases(c)]
    if not kept:
        found = ", ".join(dict.fromkeys(f"{c.task.name} on {c.dataset}" for c in cells))
        raise UsageError("no gallery of these results", expected="runs of the point, box or concept task", found=found or "nothing")
    if "disagreement" in by and not others:
        raise UsageError("a disagreement needs a second run", where="--by disagreement", remedy="name two runs")
    partners = {Entry(c).dataset: c for c in others}
    sections = []
    for cell in kept:
        known: Sequence[By] = OF_PHRASES if _of_phrases(cell) else OF_OBJECTS
        for kind in by or [kind for kind in known if kind != "disagreement" or others]:
            partner = partners.get(Entry(cell).dataset) if kind == "disagreement" else None
            if kind not in known:
                raise unknown_name(f"criterion of the {cell.task.name} task", kind, known, where="--by")
            if _of_phrases(cell):
                sections.append(concept_section(cell, partner, cast(ConceptKind, kind), n, root))
            else:
                sections.append(_section(cell, partner, kind, k, n, root))
    title = "Gallery: " + ", ".join(dict.fromkeys(c.run_name for c in [*kept, *others]))
    return Document("gallery", title, tuple(sections), versions=f"sambench {__version__}")


def _of_objects(cell: CellView) -> bool:
    return "mask_rles" in cell.store.columns and "iou_top" in cell.store.columns


def _of_phrases(cell: CellView) -> bool:
    return "found_rles" in cell.store.columns


def _section(cell: CellView, partner: CellView | None, kind: By, k: int | None, n: int, root: Path | None) -> Section:
    dataset = Entry(cell).dataset
    ident = f"{kind}_{cell.run_name}_{cell.path.resolve().name}".replace("-", "_")
    versus = f" of {cell.label} and {partner.label}" if partner else f", {cell.label}"
    title = f"{_TITLES[kind]}{versus}: {dataset}"
    if kind == "disagreement" and partner is None:
        return Section(ident, title, absent=(f"The second run has no results on {dataset}.",))
    try:
        frame = _ranked(cell, partner, kind, _clicks(cell, k))
        picks = _picks(cell, frame.head(n), root)
    except (SambenchError, KeyError) as e:
        return Section(ident, title, absent=(e.message if isinstance(e, SambenchError) else str(e.args[0]),))
    if not picks:
        why = "The run kept no masks (--save-masks scored), or no object fits."
        return Section(ident, title, absent=(why,))
    across = 3 if kind != "worst" else 2
    per_row = max(1, 6 // across)
    down = -(-len(picks) // per_row)
    runs = tuple(f"{c.run_name}/{c.path.name}" for c in (cell, partner) if c)
    picture = Picture(
        ident,
        title,
        f"{len(picks)} objects with prompt, ground truth and masks",
        lambda figure: _draw(figure, picks, kind, across, per_row, down, (cell.label, partner.label if partner else "")),
        ("image_id", "object_id", "k", "iou_top", "iou_oracle", "iou_other", "score"),
        tuple(_data(p) for p in picks),
        (PANEL_IN * across * per_row, (PANEL_IN + 0.3) * down),
        (_NOTES[kind],),
        runs,
        raster=True,
    )
    return Section(ident, title, pictures=(picture,))


_COLOURS = "Green: ground truth; orange: the model's mask; stars and crosses: foreground and background clicks."
_NOTES = {
    "worst": f"Worst first; left the prompt, right the mask that the model ranks first, with its IoU. {_COLOURS}",
    "oracle_gap": f"Largest gap first; the mask that the model ranks first, then its best one. {_COLOURS}",
    "disagreement": f"Largest difference of IoU first; the first run's mask, then the second's. {_COLOURS}",
}


def _clicks(cell: CellView, k: int | None) -> int:
    if k is not None:
        return k
    return int(getattr(cell.task.settings, "clicks", (0,))[0])


def _ranked(cell: CellView, partner: CellView | None, kind: By, k: int) -> pd.DataFrame:
    """Objects with the column `score`, largest first; equal ones by their ids."""
    import pandas as pd

    frame = overlays.object_rows(cell, k)
    if kind == "worst":
        frame["score"] = 1 - frame["iou_top"]
    elif kind == "oracle_gap":
        frame = frame[frame["n_candidates"] > 1].copy()
        frame["score"] = frame["iou_oracle"] - frame["iou_top"]
        frame = frame[frame["score"] > 0]
    elif partner is not None:
        theirs = overlays.object_rows(partner, k)
        keys = ["image_id", "object_id"]
        theirs["other"] = pd.Series(theirs.to_dict("records"), index=theirs.index, dtype=object)
        frame = frame.merge(theirs[[*keys, "other"]], on=keys, validate="one_to_one")
        frame["score"] = [abs(a - o["iou_top"]) for a, o in zip(frame["iou_top"], frame["other"], strict=True)]
    return frame.sort_values(["score", "image_id", "object_id"], ascending=[False, True, True], kind="stable")


def _picks(cell: CellView, frame: pd.DataFrame, root: Path | None) -> list[_Pick]:
    if frame.empty:
        return []
    data = dataset_of(cell, root)
    samples: dict[str, Sample] = {}
    out = []
    for row in frame.to_dict("records"):
        image_id = str(row["image_id"])
        if image_id not in samples:
            samples[image_id] = data.load(image_id)
        plain = {str(c): v for c, v in row.items()}
        out.append(_Pick(samples[image_id], plain, plain.pop("other", None), float(row["score"])))
    return out


def _data(pick: _Pick) -> tuple[Any, ...]:
    row, other = pick.row, pick.other
    numbers = (int(row["k"]), float(row["iou_top"]), float(row["iou_oracle"]), float(other["iou_top"]) if other else None)
    return (row["image_id"], row["object_id"], *numbers, pick.score)


def _draw(figure: Figure, picks: Sequence[_Pick], kind: By, across: int, per_row: int, down: int, names: tuple[str, str]) -> None:
    grid = figure.subplots(down, across * per_row, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for at, pick in enumerate(picks):
        row = at // per_row
        places = [grid[row][(at % per_row) * across + c] for c in range(across)]
        instance = overlays.instance_of(pick.sample, str(pick.row["object_id"]))
        if instance is None:
            continue
        shown = _panels(pick, kind, names)
        window = overlays.window_of(pick.sample, [instance.region])
        box = pick.row["box_xyxy"] if pick.row["prompt"] == "box" else None
        for axes, panel in zip(places, shown, strict=True):
            axes.set_axis_on()
            overlays.draw_panel(axes, pick.sample.image, window, instance.region, panel, box=box)


def _panels(pick: _Pick, kind: By, names: tuple[str, str]) -> list[overlays.Shown]:
    row = pick.row
    clicks, labels = overlays.clicks_of(row)
    caption = f"{overlays.short(str(row['image_id']))}\nobject {overlays.short(str(row['object_id']), 12)}"
    panels = [overlays.Shown(caption, None, clicks, labels)]
    caption = f"{overlays.short(names[0])}\nIoU {100 * row['iou_top']:.0f} %"
    panels.append(overlays.Shown(caption, overlays.mask_of(row), clicks, labels))
    if kind == "oracle_gap":
        best = int(np.argmax(np.asarray(row["ious"], np.float64)))
        panels.append(
            overlays.Shown(f"its best mask\nIoU {100 * row['iou_oracle']:.0f} %", overlays.mask_of(row, best), clicks, labels)
        )
    elif kind == "disagreement" and pick.other is not None:
        other_clicks, other_labels = overlays.clicks_of(pick.other)
        mask = overlays.mask_of(pick.other)
        caption = f"{overlays.short(names[1])}\nIoU {100 * pick.other['iou_top']:.0f} %"
        panels.append(overlays.Shown(caption, mask, other_clicks, other_labels))
    return panels
