"""Settings of the proposal task, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

from sambench.automatic.settings import AutomaticSettings
from sambench.errors import UsageError, unknown_name
from sambench.tasks.command import Command, check_choices, setting


@dataclass(frozen=True)
class ProposalSettings:
    """max_dets: numbers of proposals an image at which recall is reported, ascending.

    Of segmenters alone: grid, points a side; multimask, all candidates or the single output; nms_iou, of box suppression; pred_iou
    and stability, filters as those of automatic masks, 0: none; stability_offset, of the logits; rank, by which the first
    max(max_dets) are kept, and in which order they are matched: `mean` of predicted IoU and stability, `iou` the predicted IoU
    alone, or `random`, which orders suppression too, seeded by (seed, dataset, image).
    """

    max_dets: tuple[int, ...] = setting(
        (1, 10, 100, 1000), "Numbers of proposals.", called="numbers of proposals", example="1,10,100"
    )
    grid: int = setting(64, "Points a side (64).", left_open=True)
    multimask: bool = setting(True, "All candidates, or the single output.", left_open=True)
    nms_iou: float = setting(0.9, "Box suppression (.9).", metavar="IOU", left_open=True)
    pred_iou: float = setting(0.0, "Least predicted IoU (none).", left_open=True)
    stability: float = setting(0.0, "Least stability (none).", left_open=True)
    stability_offset: float = setting(1.0, "Logits compared for stability (1).", left_open=True)
    rank: Literal["mean", "iou", "random"] = setting(
        "mean", "mean (of predicted IoU and stability), iou or random.", called="ranking", left_open=True
    )
    seed: int = setting(0, "Of the random ranking (0).", least=0, left_open=True)

    def __post_init__(self) -> None:
        check_choices(self)
        if not self.max_dets or min(self.max_dets) < 1 or list(self.max_dets) != sorted(set(self.max_dets)):
            expected = "ascending numbers from 1 on"
            raise UsageError("numbers of proposals do not fit", where="--max-dets", expected=expected, found=self.max_dets)
        self.automatic()  # checks the rest

    def automatic(self) -> AutomaticSettings:
        """As automatic mask generation takes them: the whole image alone, and no clean-up."""
        return AutomaticSettings(
            grid=self.grid,
            multimask=self.multimask,
            pred_iou=self.pred_iou,
            stability=self.stability,
            stability_offset=self.stability_offset,
            nms_iou=self.nms_iou,
        )


PRESETS: dict[str, ProposalSettings] = {
    "paper": ProposalSettings(),
    "single": ProposalSettings(grid=128, multimask=False, nms_iou=0.95, rank="random"),
}


def preset(name: str, **changes: Any) -> ProposalSettings:
    """`paper`, or `single` for a model with one output and no score; with changes by field. Raises UsageError with near names."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS, where="--preset")
    return replace(PRESETS[name], **changes)


@dataclass(frozen=True)
class ProposalCommand(Command):
    """Object proposals: average recall at 1, 10, 100 and 1000, by area and by frequency, class-agnostic."""

    order: ClassVar[tuple[str, ...]] = (
        "preset", "max_dets", "grid", "nms_iou", "pred_iou", "stability", "stability_offset",
    )  # fmt: skip
    model_forms: ClassVar[str] = "proposals:FILE (a COCO results file with masks)"

    preset: str = setting("paper", "paper; or single, for models with one output: 128 points a side, NMS .95, random ranking.")

    def settings(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return asdict(preset(self.preset, **given))


SETTINGS, COMMAND = ProposalSettings, ProposalCommand
