"""Runs of clicks and boxes: each object with its prompt and what the model made of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.report import overlays
from sambench.report.galleries import COLOURS, DISAGREEMENT, Asked, Pick, View
from sambench.report.galleries._found import with_samples
from sambench.results.names import model_names
from sambench.store.views import CellView

if TYPE_CHECKING:
    import pandas as pd

_KINDS = {
    "worst": "Lowest IoU",
    "best": "Highest IoU",
    "oracle_gap": "Largest gaps between the best mask and the one ranked first",
    DISAGREEMENT: "Largest disagreements",
}
_CLICKS = f"{COLOURS.removesuffix('.')}; rings and crosses: foreground and background clicks."
_NOTES = {
    "worst": f"Worst first; left the prompt, right the mask that the model ranks first, with its IoU. {_CLICKS}",
    "best": f"Best first; left the prompt, right the mask that the model ranks first, with its IoU. {_CLICKS}",
    "oracle_gap": f"Largest gap first; the mask that the model ranks first, then its best one. {_CLICKS}",
    DISAGREEMENT: f"Largest difference of IoU first; the first run's mask, then the second's. {_CLICKS}",
}


def _picks(cell: CellView, asked: Asked) -> list[Pick]:
    frame = _ranked(cell, asked, _k(cell, asked)).head(asked.n)
    names = model_names([c for c in (cell, asked.partner) if c])
    out = []
    for row, sample in with_samples(frame, cell, asked):
        other = row.pop("other", None)
        instance = overlays.instance_of(sample, str(row["object_id"]))
        numbers = (int(row["k"]), float(row["iou_top"]), float(row["iou_oracle"]), float(other["iou_top"]) if other else None)
        if instance is None:
            continue
        window = overlays.window_of(sample, [instance.region])
        box = row["box_xyxy"] if row["prompt"] == "box" else None
        panels = tuple(
            partial(overlays.draw_panel, image=sample.image, window=window, truth=instance.region, shown=shown, box=box)
            for shown in _panels(row, other, asked.kind, names)
        )
        out.append(Pick(panels, (row["image_id"], row["object_id"], *numbers, float(row["score"]))))
    return out


def _k(cell: CellView, asked: Asked) -> int:
    """The click count that is shown: the one asked for, or the first; 0 by box."""
    return asked.k if asked.k is not None else int(getattr(cell.task.settings, "clicks", (0,))[0])


def _lacks(cell: CellView, asked: Asked) -> str:
    if asked.kind != "oracle_gap":
        return ""
    rows = cell.scored(["k", "n_candidates"])
    if rows["n_candidates"][rows["k"] == _k(cell, asked)].max() != 1:
        return ""
    of = f" of {_k(cell, asked)} clicks" if rows["n_candidates"].max() > 1 else ""
    return f"{model_names([cell])[0]} gives one mask per prompt{of}: there is no gap"


def _ranked(cell: CellView, asked: Asked, k: int) -> pd.DataFrame:
    """Objects with the column `score`, largest first; equal ones by their ids."""
    import pandas as pd

    frame, kind = overlays.object_rows(cell, k), asked.kind
    if kind == "worst":
        frame["score"] = 1 - frame["iou_top"]
    elif kind == "best":
        frame["score"] = frame["iou_top"]
    elif kind == "oracle_gap":
        frame = frame[frame["n_candidates"] > 1].copy()
        frame["score"] = frame["iou_oracle"] - frame["iou_top"]
        frame = frame[frame["score"] > 0]
    elif asked.partner is not None:
        theirs = overlays.object_rows(asked.partner, k)
        keys = ["image_id", "object_id"]
        theirs["other"] = pd.Series(theirs.to_dict("records"), index=theirs.index, dtype=object)
        frame = frame.merge(theirs[[*keys, "other"]], on=keys, validate="one_to_one")
        frame["score"] = [abs(a - o["iou_top"]) for a, o in zip(frame["iou_top"], frame["other"], strict=True)]
    return frame.sort_values(["score", "image_id", "object_id"], ascending=[False, True, True], kind="stable")


def _panels(row: dict[str, Any], other: dict[str, Any] | None, kind: str, names: list[str]) -> list[overlays.Shown]:
    clicks, labels = overlays.clicks_of(row)
    caption = f"{overlays.short(str(row['image_id']))}\nobject {overlays.short(str(row['object_id']), 12)}"
    panels = [overlays.Shown(caption, None, clicks, labels)]
    shown = [(overlays.short(names[0]), overlays.mask_of(row), float(row["iou_top"]), clicks, labels)]
    if kind == "oracle_gap":
        best = int(np.argmax(np.asarray(row["ious"], np.float64)))
        shown.append(("its best mask", overlays.mask_of(row, best), row["iou_oracle"], clicks, labels))
    elif kind == DISAGREEMENT and other is not None:
        shown.append((overlays.short(names[1]), overlays.mask_of(other), other["iou_top"], *overlays.clicks_of(other)))
    panels += [overlays.Shown(f"{name}\n{overlays.said_of(mask, iou)}", mask, xy, kinds) for name, mask, iou, xy, kinds in shown]
    return panels


VIEW = View(
    kinds=_KINDS,
    usual=("worst", "oracle_gap"),
    notes=_NOTES,
    header=("image_id", "object_id", "k", "iou_top", "iou_oracle", "iou_other", "score"),
    picks=_picks,
    across=lambda kind: 2 if kind in ("worst", "best") else 3,
    lacks=_lacks,
)
