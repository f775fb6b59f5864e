"""Figure 17: a mask and those that an image encoder takes for most alike, as a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sambench import __version__
from sambench.automatic.probing import Agreement, Neighbours, ProbedMask
from sambench.report import overlays
from sambench.report.document import Document, Picture, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_IN = 1.45
PAPER = "arXiv 2304.02643"


def probing(found: Sequence[Neighbours], agreement: Agreement, *, model: str, dataset: str, n_masks: int, across: bool) -> Document:
    """The sheet of some queries, a row each, and what all masks say. n_masks: that were embedded."""
    where = "of all images" if across else "of the same image"
    said = (
        f"Nearest {where} by the cosine of mean image embeddings, of a crop around the mask and of its mirror image, among "
        f"{n_masks:,} masks."
    )
    notes = [said]
    if agreement.n:
        notes.append(
            f"The nearest mask is of the same category for {100 * agreement.share:.1f} % of {agreement.n:,} masks; a mask drawn at "
            f"random would be for {100 * agreement.chance:.1f} %."
        )
    across_n = 1 + max((len(f.found) for f in found), default=0)
    title = f"Masks alike in the embedding of {model}: {dataset}"
    picture = Picture(
        "fig17",
        title,
        f"{len(found)} masks, each with those nearest to it",
        lambda figure: _draw(figure, found, across_n),
        ("query_image", "query_object", "query_category", "rank", "image_id", "object_id", "category", "cosine"),
        tuple(
            (*_named(f.query), rank, *_named(mask), cosine) for f in found for rank, (mask, cosine) in enumerate(f.found, 1)
        ),
        (PANEL_IN * across_n, (PANEL_IN + 0.35) * max(1, len(found))),
        tuple(notes),
        raster=True,
    )
    absent = () if found else ("No image has two masks to compare.",)
    section = Section("fig17", title, PAPER, "D.6 and figure 17", pictures=(picture,) if found else (), absent=absent)
    return Document("probe", title, (section,), versions=f"sambench {__version__}")


def _named(mask: ProbedMask) -> tuple[str, str, str]:
    return mask.sample.image_id, mask.instance.object_id, mask.instance.category


def _draw(figure: Figure, found: Sequence[Neighbours], across_n: int) -> None:
    grid = figure.subplots(len(found), across_n, squeeze=False)
    for row, one in zip(grid, found, strict=True):
        for axes in row:
            axes.set_axis_off()
        for axes, (mask, cosine) in zip(row, [(one.query, None), *one.found], strict=False):
            axes.set_axis_on()
            caption = "query" if cosine is None else f"cosine {cosine:.3f}"
            caption += f"\n{overlays.short(mask.instance.category or mask.instance.object_id)}"
            shown = overlays.Shown(caption, None, np.zeros((0, 2)), np.zeros(0, np.int8))
            window = overlays.window_of(mask.sample, [mask.instance.region])
            overlays.draw_panel(axes, mask.sample.image, window, mask.instance.region, shown)
