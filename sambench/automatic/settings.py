"""How automatic masks are made: the settings of `sambench.automatic.generate`. Plain values; nothing heavy is imported for them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sambench.errors import UsageError, unknown_name
from sambench.values import MAX_GRID

CLEANUPS = ("paper", "code")
_CLEANUP = "paper: small masks go, small holes are filled; code: holes, then islands but the largest, then suppression again."


def _field(default: Any, help: str, metavar: str = "") -> Any:
    """A setting with its flag, as `sambench.tasks.command.setting` says; what is not given is the preset's."""
    return field(default=default, metadata={"help": help, "metavar": metavar, "left_open": True})


@dataclass(frozen=True)
class AutomaticSettings:
    """How masks are made. The defaults are those of the released generator (`PRESETS["code"]`).

    grid: points a side on the whole image; of crop layer i, grid / crop_grid_divisor ** i. multimask: all candidates of a point, or
    the model's single output.
    Filters: pred_iou, above which a predicted IoU must lie, and stability, which the IoU of the masks at logits of plus and minus
    `stability_offset` must reach; 0 turns one off. max_image_share: masks that cover as much of the image, or more, go; None: none.
    nms_iou, crop_nms_iou: box suppression within a crop, best predicted IoU first, and across crops, smallest crop first.
    crop_layers: layer i adds (2 ** i) ** 2 crops, which overlap by `crop_overlap` of the short side (half by layer).
    min_area_px: components and holes below it are cleaned up; 0: nothing is. cleanup: `paper` removes small components (the mask,
    if it has no other) and then fills small holes; `code` fills holes, removes small components but the largest, and suppresses
    again.
    """

    grid: int = _field(32, "Points a side on the whole image (32).")
    multimask: bool = _field(True, "All candidates of a point, or the single output.")
    pred_iou: float = _field(0.88, "Least predicted IoU (.88; 0: any).")
    stability: float = _field(0.95, "Least stability (.95; 0: any).")
    stability_offset: float = _field(1.0, "Logits compared for stability (1).")
    max_image_share: float | None = _field(None, "Masks that cover as much of the image go.")
    nms_iou: float = _field(0.7, "Box suppression in a crop (.7).", "IOU")
    crop_layers: int = _field(0, "Layer i adds (2^i)^2 crops.")
    crop_nms_iou: float = _field(0.7, "The same across crops (.7).", "IOU")
    crop_overlap: float = _field(512 / 1500, "Of crops, of the short side.")
    crop_grid_divisor: int = _field(1, "Fewer points a side by layer.")
    min_area_px: int = _field(0, "Islands and holes to clean up.")
    cleanup: Literal["paper", "code"] = _field("code", _CLEANUP)

    def __post_init__(self) -> None:
        if self.cleanup not in CLEANUPS:
            raise unknown_name("clean-up", self.cleanup, CLEANUPS, where="--cleanup")
        share = self.max_image_share
        for name, fits, expected in (
            ("grid", 1 <= self.grid <= MAX_GRID, f"a number of points a side from 1 on, {MAX_GRID} at most"),
            ("pred_iou", self.pred_iou >= 0, "a number from 0 on; 0 turns the filter off"),
            ("stability", 0 <= self.stability <= 1, "an IoU from 0 to 1; 0 turns the filter off"),
            ("stability_offset", self.stability_offset > 0, "a logit above 0"),
            ("max_image_share", share is None or 0 < share <= 1, "a share of the image, above 0 and up to 1"),
            ("nms_iou", 0 <= self.nms_iou <= 1, "an IoU from 0 to 1"),
            ("crop_layers", 0 <= self.crop_layers <= 4, "a number from 0 to 4"),
            ("crop_nms_iou", 0 <= self.crop_nms_iou <= 1, "an IoU from 0 to 1"),
            ("crop_overlap", 0 <= self.crop_overlap < 1, "a share of the short side from 0 to below 1"),
            ("crop_grid_divisor", self.crop_grid_divisor >= 1, "a number from 1 on"),
            ("min_area_px", self.min_area_px >= 0, "a number of pixels from 0 on"),
            ("crop_grid_divisor", self.grid_of(self.crop_layers) >= 1, "a divisor that leaves a point for every crop"),
        ):
            if not fits:
                where = "--" + name.replace("_", "-")
                raise UsageError("a setting does not fit", where=where, expected=expected, found=getattr(self, name))

    def grid_of(self, layer: int) -> int:
        """Points a side on a crop of that layer; 0 is the whole image."""
        return int(self.grid / self.crop_grid_divisor**layer)


_CODE = AutomaticSettings()
# The paper's are its settings, not its generator: that had a decoder of three layers, which was never released.
PRESETS: dict[str, AutomaticSettings] = {
    "code": _CODE,
    "paper": replace(_CODE, max_image_share=0.95, crop_layers=2, crop_grid_divisor=2, min_area_px=100, cleanup="paper"),
}


def preset(name: str, **changes: Any) -> AutomaticSettings:
    """The settings of that name, with changes by field. Raises UsageError with near names."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS, where="--preset")
    return replace(PRESETS[name], **changes)
