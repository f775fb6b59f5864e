"""Runs of the edge task: images with the annotators' mean and the model's map."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from sambench.report import edges
from sambench.report.galleries import DISAGREEMENT, Asked, Pick, View
from sambench.report.galleries._found import ranked, with_samples
from sambench.report.overlays import picture_panel, short
from sambench.results.measures import object_values
from sambench.results.names import model_names
from sambench.store.views import CellView
from sambench.tasks.edge_measures import IMAGE_F

_KINDS = {"worst": "Lowest F", "best": "Highest F", DISAGREEMENT: "Largest disagreements"}
_SAYS = "F is the image's best over thresholds; the annotators' maps are averaged; maps are scaled for the eye."
_NOTES = {
    "worst": f"Worst first. {_SAYS}",
    "best": f"Best first. {_SAYS}",
    DISAGREEMENT: f"Largest difference of F first; the first run's map, then the second's. {_SAYS}",
}


def _picks(cell: CellView, asked: Asked) -> list[Pick]:
    chosen = ranked(lambda c: object_values(c, IMAGE_F), cell, asked, "value", ["image_id"])
    runs = [c for c in (cell, asked.partner) if c]
    maps = [edges.stored_maps(c, chosen["image_id"].tolist()) for c in runs]
    names, out = model_names(runs), []
    for row, sample in with_samples(chosen, cell, asked):
        values = [float(row["value"]), *([float(row["value_other"])] if asked.partner else [])]
        panels = [
            partial(picture_panel, picture=sample.image, caption=short(sample.image_id)),
            partial(picture_panel, picture=edges.ink(np.mean(np.stack(sample.boundaries), axis=0)), caption="annotators"),
        ]
        for name, value, held in zip(names, values, maps, strict=True):
            caption = f"{short(name)}\nF {100 * value:.0f} %"
            panels.append(partial(picture_panel, picture=_drawn(held[sample.image_id]), caption=caption))
        other = values[1] if asked.partner else None
        out.append(Pick(tuple(panels), (sample.image_id, values[0], other, float(row["rank"]))))
    return out


def _drawn(found: Any) -> Any:
    strength = np.asarray(found.mean(axis=0) if found.ndim == 3 else found, np.float64)
    return edges.ink(strength / max(float(np.quantile(strength, 0.995)), 1e-9))


VIEW = View(
    kinds=_KINDS,
    usual=("worst", "best"),
    notes=_NOTES,
    header=("image_id", "f", "f_other", "score"),
    picks=_picks,
    across=lambda kind: 4 if kind == DISAGREEMENT else 3,
    what="images",
)
