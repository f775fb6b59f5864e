"""Figure 12: phrases with the masks that they give, and with a point beside the text where that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sambench import __version__
from sambench.automatic.text_masks import TextMask, summary
from sambench.pixels.region import Region
from sambench.report import overlays
from sambench.report.document import Document, Picture, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_IN, PER_ROW = 1.75, 2
PAPER = "arXiv 2304.02643"


def text_sheet(found: Sequence[TextMask], *, model: str, segmenter: str, dataset: str, fails_below: float) -> Document:
    """A document of one sheet."""
    mean, n_failed, before, after = summary(found)
    notes = [
        f"Green: the annotated instance; orange: the mask. {model} answers the phrase; where the IoU is below {fails_below:g}, "
        f"{segmenter} is asked with a point on the instance, and with the box of the text's answer where that meets it.",
        f"Mean IoU by text {100 * mean:.1f} % of {len(found)} phrases"
        + (f"; of the {n_failed} that failed {100 * before:.1f} %, with a point {100 * after:.1f} %." if n_failed else "."),
        "The paper's text-aware SAM, which took phrase and point together, was never released.",
    ]
    title = f"Text to mask, {model}: {dataset}"
    down = -(-len(found) // PER_ROW)
    picture = Picture(
        "fig12",
        title,
        f"{len(found)} phrases with the masks that they give",
        lambda figure: _draw(figure, found, down),
        ("image_id", "phrase", "iou_text", "iou_with_point", "point_x", "point_y"),
        tuple(_row(t) for t in found),
        (PANEL_IN * 2 * PER_ROW, (PANEL_IN + 0.35) * max(1, down)),
        tuple(notes),
        raster=True,
    )
    absent = () if found else ("No image has a phrase with an instance.",)
    section = Section("fig12", title, PAPER, "section 7.5 and figure 12", pictures=(picture,) if found else (), absent=absent)
    return Document("text", title, (section,), versions=f"sambench {__version__}")


def _row(t: TextMask) -> tuple[object, ...]:
    xy = (None, None) if t.point_xy is None else (float(t.point_xy[0, 0]), float(t.point_xy[0, 1]))
    return (t.sample.image_id, t.concept.phrase, t.iou_text, t.iou_point, *xy)


def _draw(figure: Figure, found: Sequence[TextMask], down: int) -> None:
    grid = figure.subplots(down, 2 * PER_ROW, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    nothing, no_labels = np.zeros((0, 2)), np.zeros(0, np.int8)
    for k, t in enumerate(found):
        row, first = grid[k // PER_ROW], 2 * (k % PER_ROW)
        window = overlays.window_of(t.sample, [r for r in (t.target, t.by_text) if r is not None])
        said = f"IoU {100 * t.iou_text:.0f} %" if t.by_text is not None else "no answer"
        panels = [overlays.Shown(f"“{overlays.short(t.concept.phrase, 24)}”\n{said}", _mask(t.by_text, t), nothing, no_labels)]
        if t.by_point is not None and t.point_xy is not None:
            caption = f"with a point\nIoU {100 * (t.iou_point or 0):.0f} %"
            panels.append(overlays.Shown(caption, _mask(t.by_point, t), t.point_xy.astype(np.float64), np.ones(1, np.int8)))
        for axes, panel in zip(row[first:], panels, strict=False):
            axes.set_axis_on()
            overlays.draw_panel(axes, t.sample.image, window, t.target, panel)


def _mask(region: Region | None, t: TextMask) -> Region:
    """The mask, or an empty one: a panel without one is filled with the ground truth."""
    return region if region is not None else Region(0, 0, np.zeros((0, 0), np.bool_), t.sample.height, t.sample.width)
