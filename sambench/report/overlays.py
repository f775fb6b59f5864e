"""An object and what models made of it: a window of the image with a mask's outline and the clicks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import UsageError
from sambench.layout import style
from sambench.pixels.region import Region
from sambench.store.views import CellView
from sambench.types import Instance, Sample, UInt8Array, Window

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TRUTH, MASK = "#009e73", "#d55e00"
FOREGROUND, BACKGROUND = "#f0e442", "#56b4e9"
MIN_SIDE_PX = 48
CONTEXT = 1.8  # side of the window, in sides of what it shows
SHOWN_PX = 320  # larger windows are made smaller: a page holds many
COLUMNS = [
    "image_id", "object_id", "cluster_id", "category", "k", "prompt", "height", "width", "area_px", "box_xyxy", "clicks_xy",
    "clicks_label", "iou_top", "iou_oracle", "ious", "n_candidates", "top_index", "mask_rles",
]  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """One panel. mask: None for the ground truth alone."""

    caption: str
    mask: Region | None
    clicks: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int8]


def short(text: str, most: int = 20) -> str:
    """A name that fits above a panel: of a long one both ends, for ids of one dataset begin alike, and models end alike."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def object_rows(cell: CellView, k: int) -> pd.DataFrame:
    """Rows with stored masks at k clicks (0: by box), a row an object, with the columns COLUMNS."""
    frame = cell.scored(COLUMNS)
    return frame[(frame["k"] == k) & frame["mask_rles"].notna()].reset_index(drop=True)


def mask_of(row: Mapping[str, Any], candidate: int | None = None) -> Region:
    """A row's mask: the candidate's, or the one that the model ranks first. Raises UsageError for one that the run did not keep."""
    stored = row["mask_rles"]
    at = int(row["top_index"]) if candidate is None else candidate
    if len(stored) == 1 and at == int(row["top_index"]):
        at = 0
    if at >= len(stored):
        raise UsageError(
            "the run did not keep that mask: it keeps every candidate of the first click, and one mask of later clicks",
            where=f"image {row['image_id']!r}, object {row['object_id']!r}",
            expected=f"a mask of candidate {at}",
            found=len(stored),
            remedy="ask for the first click (-k 1)",
        )
    return Region.from_rle({"size": [int(row["height"]), int(row["width"])], "counts": stored[at]})


def instance_of(sample: Sample, object_id: str) -> Instance | None:
    """The object of that id, or None."""
    return next((i for i in sample.instances if i.object_id == object_id), None)


def clicks_of(row: Mapping[str, Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
    """Clicks [N, 2] in pixels and labels [N] of a row."""
    xy = np.asarray(row["clicks_xy"] if row["clicks_xy"] is not None else [], np.float64).reshape(-1, 2)
    labels = np.asarray(row["clicks_label"] if row["clicks_label"] is not None else [], np.int8)
    return xy, labels


def window_of(sample: Sample, regions: Iterable[Region]) -> Window:
    """A square around all that is shown, with context, within the image."""
    boxes = np.array([r.box_xyxy for r in regions if r.area], np.float64).reshape(-1, 4)
    x0, y0 = (float(v) for v in boxes[:, :2].min(axis=0))
    x1, y1 = (float(v) for v in boxes[:, 2:].max(axis=0))
    side = min(max(CONTEXT * max(x1 - x0, y1 - y0) + 1, MIN_SIDE_PX), max(sample.width, sample.height))

    def span(low: float, high: float, size: int) -> tuple[int, int]:
        start = int(np.clip((low + high) / 2 - side / 2, 0, max(0, size - side)))
        return start, min(size, int(start + side))

    (left, right), (top, bottom) = span(x0, x1, sample.width), span(y0, y1, sample.height)
    return Window(top, left, bottom, right)


def draw_panel(
    axes: Axes, image: UInt8Array, window: Window, truth: Region, shown: Shown, *, box: Sequence[float] | None = None
) -> None:
    """Fill axes: the window of the image, the ground truth's outline, the mask's fill and outline, and the clicks."""
    draw_image(axes, image, window)
    if shown.mask is not None:
        outline(axes, shown.mask, MASK, fill=True)
    outline(axes, truth, TRUTH, fill=shown.mask is None)
    if box is not None:
        x0, y0, x1, y1 = (float(v) for v in box)
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=FOREGROUND, lw=1.2)
    for (x, y), label in zip(shown.clicks, shown.labels, strict=True):
        draw_click(axes, x, y, bool(label))
    finish_panel(axes, window, shown.caption)


def draw_click(axes: Axes, x: float, y: float, foreground: bool) -> None:
    """A hollow mark, small and dark-edged: a mask of a few pixels lies right where the click is, and must be seen."""
    marker, colour = ("o", FOREGROUND) if foreground else ("x", BACKGROUND)
    for width, edge in ((2.6, "black"), (1.2, colour)):
        axes.plot(x, y, marker, ms=7, mfc="none", mec=edge, mew=width, zorder=6)


def said_of(mask: Region, iou: float) -> str:
    """Below a model's name: the IoU as a fraction in percent, and the mask's size, for one of no or few pixels is not seen."""
    return f"IoU {100 * iou:.0f} %, {f'{mask.area:,} px' if mask.area else 'empty'}"


def draw_image(axes: Axes, image: UInt8Array, window: Window) -> None:
    """Show the window of an image, made smaller where it is large."""
    part = image[window.y0 : window.y1, window.x0 : window.x1]
    scale = min(1.0, SHOWN_PX / max(part.shape[:2]))
    if scale < 1:
        size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    axes.imshow(part, extent=_extent(window), interpolation="nearest" if scale == 1 else "antialiased")


def finish_panel(axes: Axes, window: Window, caption: str) -> None:
    """Limits, no ticks, and the caption above."""
    extent = _extent(window)
    axes.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_anchor("N")
    axes.set_title(caption, fontsize=7.5, loc="left", pad=2, color=style.INK)


def _extent(window: Window) -> tuple[float, float, float, float]:
    return window.x0 - 0.5, window.x1 - 0.5, window.y1 - 0.5, window.y0 - 0.5


def picture_panel(axes: Axes, picture: UInt8Array, caption: str) -> None:
    """Fill axes with a whole picture."""
    window = Window(0, 0, *picture.shape[:2])
    draw_image(axes, picture, window)
    finish_panel(axes, window, caption)


def outline(axes: Axes, region: Region, colour: str, *, fill: bool) -> None:
    """Draw a mask: its outline with holes, and its area where it is to be filled."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    if not region.area:
        return
    padded = np.pad(region.array, 1).astype(np.uint8)
    contours, _ = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    points, codes = [], []
    for contour in contours:
        ring = contour[:, 0, :] + (region.x0 - 1, region.y0 - 1)
        points += [*ring.tolist(), ring[0].tolist()]
        codes += [Outline.MOVETO, *[Outline.LINETO] * (len(ring) - 1), Outline.CLOSEPOLY]
    path = Outline(points, codes)
    if fill:
        axes.add_patch(PathPatch(path, facecolor=colour, alpha=0.35, linewidth=0))
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=colour, linewidth=1.1))
