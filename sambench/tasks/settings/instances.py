"""Settings of the instance task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from sambench.errors import UsageError
from sambench.tasks.command import Command, check_choices, setting

_BOXES = "The detector's results: a COCO results file, or vitdet_coco, vitdet_lvis."
_VARIANT = "refine: best mask fed back once; no_refine; single: the single output throughout."
_AREAS = "What AP by size goes by: official, as COCO's evaluator loads the file; own, the mask's or box's own (instances@1)."
_EXTRA = "Detections of images or categories not in the dataset: refuse or drop."


@dataclass(frozen=True)
class InstanceSettings:
    """boxes: a results file, or the name of a card of one; boxes_sha256: of its content, "" where nobody has read it yet
    (`InstanceTask.of` does). The hash is identity, the place is not.

    variant: `refine`, three masks on the box, the best-ranked fed back with it for a single one; `no_refine`, the best-ranked of
    the three; `single`, the single output both times. max_dets: detections an image, those of highest score; None: 100, and 300
    where annotation is federated. boundary: boundary AP as well (Cheng et al. 2021). box_format: of the file; auto is COCO's, and
    refuses what looks like corners. areas: by which AP by size tells small detections from large ones; `official`, as COCO's and
    LVIS's evaluators do: of a file's own masks and of its boxes the area that they give the entry when they load the file
    (`ResultsFile.sized_by_boxes`), of a model's masks their own; `own`, always that of the mask for masks and of the box for
    boxes, which is the protocol instances@1. extra: `drop` leaves out detections of images and categories that the dataset
    does not have.
    """

    boxes: str = setting("", _BOXES, metavar="FILE|NAME", letter="-b")
    boxes_sha256: str = setting("", flag=False)
    variant: Literal["refine", "no_refine", "single"] = setting("refine", _VARIANT)
    max_dets: int | None = setting(None, "Detections per image (default: COCO 100, LVIS 300).")
    boundary: bool = setting(False, "Boundary AP too (Cheng et al. 2021).", switch=True)
    box_format: Literal["auto", "xywh", "xyxy"] = setting(
        "auto", "Of the file: xywh (COCO's) or xyxy; auto refuses what looks wrong."
    )
    areas: Literal["official", "own"] = setting("official", _AREAS)
    extra: Literal["refuse", "drop"] = setting("refuse", _EXTRA)

    def __post_init__(self) -> None:
        check_choices(self)
        if self.max_dets is not None and self.max_dets < 1:
            raise UsageError("--max-dets does not fit", expected="a number of detections from 1 on", found=self.max_dets)


@dataclass(frozen=True)
class InstanceCommand(Command):
    """A detector's boxes: mask AP, by size and (LVIS) by frequency. --model detections scores the file's own masks."""

    dataset: ClassVar[str] = "coco_2017_val"
    results_file: ClassVar[bool] = True


SETTINGS, COMMAND = InstanceSettings, InstanceCommand
