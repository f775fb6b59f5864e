"""Settings of the edge task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from sambench.errors import UsageError
from sambench.tasks.command import Command, check_choices, flag_of, setting
from sambench.values import MAX_GRID

MAX_THRESHOLDS = 10_000


@dataclass(frozen=True)
class EdgeSettings:
    """thresholds: how many. max_dist: tolerance as a share of the image's diagonal; None: the dataset's own.

    Of segmenters alone: grid, points a side; nms_iou, of box suppression; nms, how the map is thinned (`edge_maps`): `canny`
    along the gradient of the mask that gave the pixel its value, `dollar` across the map's own ridges, `none`.
    """

    thresholds: int = setting(99, "Of the benchmark.")
    max_dist: float | None = setting(None, "Tolerance, of the diagonal (default: the dataset's).")
    grid: int = setting(16, "Segmenters: points a side.")
    nms_iou: float = setting(0.7, "Segmenters: box suppression.", metavar="IOU")
    nms: Literal["canny", "dollar", "none"] = setting(
        "canny", "Segmenters: canny, dollar or none.", called="edge suppression"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        for name, fits, expected in (
            ("thresholds", 1 <= self.thresholds <= MAX_THRESHOLDS, f"a number from 1 to {MAX_THRESHOLDS}"),
            ("max_dist", self.max_dist is None or 0 < self.max_dist < 1, "a share of the diagonal, as 0.0075"),
            ("grid", 1 <= self.grid <= MAX_GRID, f"a number of points a side from 1 to {MAX_GRID}"),
            ("nms_iou", 0 <= self.nms_iou <= 1, "an IoU from 0 to 1"),
        ):
            if not fits:
                raise UsageError("a setting does not fit", where=flag_of(name), expected=expected, found=getattr(self, name))


@dataclass(frozen=True)
class EdgeCommand(Command):
    """Edges: ODS, OIS, AP and R50 of the BSDS500 benchmark, for detectors, segmenters and folders of maps."""

    order: ClassVar[tuple[str, ...]] = ("nms", "grid", "nms_iou", "thresholds", "max_dist")
    dataset: ClassVar[str] = "bsds500"
    model: ClassVar[str] = "canny"
    model_forms: ClassVar[str] = "edges:FOLDER (maps by image id)"
    instead: ClassVar[Mapping[str, str]] = {"save_masks": "save_maps"}

    save_maps: bool = setting(True, "Keep the edge maps, for plots.")

    def shared(self) -> Mapping[str, Any]:
        return {"save_masks": "scored" if self.save_maps else "none"}


SETTINGS, COMMAND = EdgeSettings, EdgeCommand
