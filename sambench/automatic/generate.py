"""Automatic masks of any segmenter that scores several masks (Segment Anything, appendix B; protocol section 5). Numpy.

A grid of points on the image, and on overlapping crops of it; every mask is filtered by its predicted IoU, its stability and the
share of the image that it covers, then suppressed by box, in its crop and across crops, and small regions are cleaned up.

Filters come before interpolation: a mask that fails by its predicted IoU is never brought to the image, and what passes is held as
the low-resolution logits that it depends on (`sambench.automatic.held`) until suppression has chosen. Empty masks are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sambench.automatic.clean_up import cleaned_as_code, cleaned_as_paper
from sambench.automatic.crops import Crop, boxes_of, crops_of, touches_crop
from sambench.automatic.held import Held, check_logits, hold
from sambench.automatic.settings import PRESETS, AutomaticSettings
from sambench.models.answers import as_predictions
from sambench.models.contract import max_batch_of
from sambench.pixels.region import RLE, Region
from sambench.prompts import point_grid
from sambench.types import Prediction, Prompt, Segmenter, UInt8Array

if TYPE_CHECKING:
    from sambench.automatic.on_device import Budget, OnDevice

Decode = Callable[[list[Prompt]], Sequence[Prediction]]
_MANY = 256  # boxes, from which on it pays to compare them on a device


@dataclass(frozen=True)
class AutomaticMask:
    """One mask of an image. rle: COCO's compressed form of the whole frame. box_xyxy: inclusive pixels.

    stability: NaN where the model has no logits. point_xy: the click, in pixels. crop_xyxy: half-open; the whole image or a crop.
    """

    rle: RLE
    area_px: int
    box_xyxy: tuple[int, int, int, int]
    predicted_iou: float
    stability: float
    point_xy: tuple[float, float]
    crop_xyxy: tuple[int, int, int, int]


@dataclass
class _Candidate:
    """A mask in its crop's frame; box in the image's. area_px: above 0 where it was not counted."""

    held: Held | OnDevice
    crop: Crop
    box_xyxy: tuple[int, int, int, int]
    predicted_iou: float
    stability: float | None
    point_xy: tuple[float, float]
    area_px: int


def generate(
    segmenter: Segmenter,
    image: UInt8Array,
    settings: AutomaticSettings = PRESETS["code"],
    *,
    with_stability: bool = True,
    device: str | None = None,
    on_points: Callable[[int, int], object] = lambda done, total: None,
) -> list[AutomaticMask]:
    """Masks of one image, uint8 [H, W, 3] RGB, as `automatic_masks` gives them. on_points: told of points (answered, in all).

    Raises ModelError where the model breaks its contract.
    """
    done, total = 0, sum(settings.grid_of(layer) ** 2 * 4**layer for layer in range(settings.crop_layers + 1))

    def look(crop: Crop) -> Decode:
        state = segmenter.encode(np.ascontiguousarray(image[crop.y0 : crop.y1, crop.x0 : crop.x1]))

        def decode(asked: list[Prompt]) -> list[Prediction]:
            nonlocal done
            answers = segmenter.decode(state, asked)
            found = as_predictions(answers, len(asked), crop.height, crop.width, where=f"a crop of {crop.height} x {crop.width}")
            done += len(asked)
            on_points(done, total)
            return found

        return decode

    batch = max_batch_of(segmenter)
    return automatic_masks(image.shape[:2], look, settings, max_batch=batch, with_stability=with_stability, device=device)


def automatic_masks(
    size: Sequence[int],
    look: Callable[[Crop], Decode],
    settings: AutomaticSettings,
    *,
    max_batch: int = 64,
    rng: np.random.Generator | None = None,
    with_stability: bool = True,
    device: str | None = None,
) -> list[AutomaticMask]:
    """The masks of an image of (height, width), as suppression orders them: best predicted IoU first, small crops before large.

    look: encodes a crop and returns what decodes prompts in its pixels; called once a crop, when the one before is done.
    rng: suppression in random order instead, for models that rank nothing. with_stability: measure it also where no filter needs it
    (ModelError for a model without logits). device: torch's name of where the model answers, if candidates are to be measured,
    suppressed and held there; equal to the host's but for pixels whose logit is an edge of a mask up to rounding.
    """
    height, width = (int(n) for n in size)
    crops = crops_of(height, width, settings.crop_layers, settings.crop_overlap)
    found: list[_Candidate] = []
    for crop in crops:
        decode = look(crop)
        if crop is crops[0] and (with_stability or settings.stability > 0):
            decode = _first_with_logits(decode)
        found += _in_crop(crop, decode, (height, width), settings, max_batch, rng, device)
    if len(crops) > 1:
        smallest_first = np.array([1 / (c.crop.width * c.crop.height) for c in found], np.float32)
        found = [found[k] for k in box_nms(boxes_of(found), smallest_first, settings.crop_nms_iou, device)]
    masks = _finished(found, (height, width), with_stability)
    if not settings.min_area_px:
        return masks
    if settings.cleanup == "paper":
        cleaned = [(m, cleaned_as_paper(Region.from_rle(m.rle), settings.min_area_px)) for m in masks]
        return [_changed(mask, region) for mask, (region, _) in cleaned if region.area]
    return _cleaned_and_suppressed(masks, settings)


def _first_with_logits(decode: Decode) -> Decode:
    """`decode`, whose first answer must have logits: told before thousands of points are asked for, not after."""
    looked = False

    def looking(asked: list[Prompt]) -> Sequence[Prediction]:
        nonlocal looked
        answers = decode(asked)
        if not looked and answers:
            check_logits(answers[0].masks)
        looked = True
        return answers

    return looking


def _in_crop(
    crop: Crop,
    decode: Decode,
    size: tuple[int, int],
    settings: AutomaticSettings,
    max_batch: int,
    rng: np.random.Generator | None,
    device: str | None,
) -> list[_Candidate]:
    """What the filters and suppression leave of one crop's masks, best first."""
    points = point_grid(settings.grid_of(crop.layer), crop.height, crop.width)
    found: list[_Candidate] = []
    budget = _budget() if device else None
    for first in range(0, len(points), max_batch):
        batch = points[first : first + max_batch]
        predictions = decode([Prompt(p[None], np.ones(1, np.int8), multimask=settings.multimask) for p in batch])
        at = [(float(x) + crop.x0, float(y) + crop.y0) for x, y in batch]
        passing = [c for c in _looked_at(predictions, at, crop, settings, device) if _passes(c, size, settings)]
        if budget:
            budget.keep([c.held for c in passing if not isinstance(c.held, Held)])
        found += passing
    scores = rng.random(len(found)) if rng else np.array([c.predicted_iou for c in found])
    kept = [found[k] for k in box_nms(boxes_of(found), scores, settings.nms_iou, device)]
    if budget:
        budget.chosen([c.held for c in kept if not isinstance(c.held, Held)])
    return kept


def _budget() -> Budget:
    from sambench.automatic.on_device import Budget  # imports torch

    return Budget()


def _looked_at(
    predictions: Sequence[Prediction],
    points_xy: Sequence[tuple[float, float]],
    crop: Crop,
    settings: AutomaticSettings,
    device: str | None,
) -> Iterator[_Candidate]:
    """The candidates of a batch of points that pass by their score, point after point, with what the other filters look at."""
    scores = [np.asarray(p.scores, np.float32) for p in predictions]
    least = np.float32(settings.pred_iou) if settings.pred_iou > 0 else None
    wanted = [(k, i) for k, of_one in enumerate(scores) for i, score in enumerate(of_one) if least is None or score > least]
    on_device = None
    if device:
        from sambench.automatic.on_device import measured

        on_device = measured(predictions, wanted, settings.stability_offset)
    for n, (k, i) in enumerate(wanted):
        held: Held | OnDevice
        stability: float | None
        if on_device is not None:
            held = on_device[n]
            box, area = held.measured.box_xyxy, held.measured.area_px
            stability = held.measured.stability if settings.stability > 0 else None
        else:
            held = hold(predictions[k].masks, i, settings.stability_offset)
            box, area, stability = _sizes(held, settings)
        x0, y0, x1, y1 = box
        box = (x0 + crop.x0, y0 + crop.y0, x1 + crop.x0, y1 + crop.y0)
        yield _Candidate(held, crop, box, float(scores[k][i]), stability, points_xy[k], area)


def _sizes(held: Held, settings: AutomaticSettings) -> tuple[tuple[int, int, int, int], int, float | None]:
    """Box, area and stability as far as filters need them: without any, an area above 0 stands for itself."""
    if settings.stability > 0 or settings.max_image_share is not None:
        measured = held.measure(with_stability=settings.stability > 0)
        return measured.region.box_xyxy, measured.region.area, measured.stability
    box = held.box_xyxy()
    return box, 1 if any(box) else held.measure(with_stability=False).region.area, None


def _passes(c: _Candidate, size: tuple[int, int], settings: AutomaticSettings) -> bool:
    height, width = size
    stability = np.float32(np.nan if c.stability is None else c.stability)
    if not c.area_px or (settings.stability > 0 and not stability >= np.float32(settings.stability)):
        return False
    if settings.max_image_share is not None and c.area_px >= settings.max_image_share * height * width:
        return False
    return not touches_crop(c.box_xyxy, c.crop, height, width)


def _finished(found: Sequence[_Candidate], size: tuple[int, int], with_stability: bool) -> list[AutomaticMask]:
    on_device = [(c.held, c.crop) for c in found if not isinstance(c.held, Held)]
    if not on_device:
        return [_finished_on_host(c, c.held, size, with_stability) for c in found if isinstance(c.held, Held)]
    from sambench.automatic.on_device import rles

    made = iter(rles(on_device, size))
    out = []
    for c in found:
        if isinstance(c.held, Held):
            out.append(_finished_on_host(c, c.held, size, with_stability))
            continue
        stability = c.held.measured.stability if with_stability or c.stability is not None else float("nan")
        crop = (c.crop.x0, c.crop.y0, c.crop.x1, c.crop.y1)
        out.append(AutomaticMask(next(made), c.area_px, c.box_xyxy, c.predicted_iou, stability, c.point_xy, crop))
    return out


def _finished_on_host(c: _Candidate, held: Held, size: tuple[int, int], with_stability: bool) -> AutomaticMask:
    measured = held.measure(with_stability=with_stability and c.stability is None)
    stability = c.stability if c.stability is not None else measured.stability
    r = measured.region
    whole = Region(r.y0 + c.crop.y0, r.x0 + c.crop.x0, r.array, *size)
    box = (c.crop.x0, c.crop.y0, c.crop.x1, c.crop.y1)
    return AutomaticMask(
        whole.rle(), r.area, whole.box_xyxy, c.predicted_iou, float("nan") if stability is None else stability, c.point_xy, box
    )


def _cleaned_and_suppressed(masks: Sequence[AutomaticMask], settings: AutomaticSettings) -> list[AutomaticMask]:
    """Holes and islands as the released code treats them: a mask that it changed gives way to one that it did not."""
    if not masks:
        return []
    cleaned = [cleaned_as_code(Region.from_rle(m.rle), settings.min_area_px) for m in masks]
    boxes = np.array([region.box_xyxy for region, _ in cleaned])
    unchanged = np.array([not changed for _, changed in cleaned], np.float32)
    kept = box_nms(boxes, unchanged, max(settings.nms_iou, settings.crop_nms_iou))
    return [_changed(masks[k], cleaned[k][0]) if cleaned[k][1] else masks[k] for k in kept]


def _changed(mask: AutomaticMask, region: Region) -> AutomaticMask:
    return replace(mask, rle=region.rle(), area_px=region.area, box_xyxy=region.box_xyxy)


def settings_dict(settings: AutomaticSettings) -> dict[str, Any]:
    """Settings as plain values, those that have no effect left out."""
    out = asdict(settings)
    if not settings.crop_layers:
        for name in ("crop_nms_iou", "crop_overlap", "crop_grid_divisor"):
            out.pop(name)
    if not settings.min_area_px:
        out.pop("cleanup")
    return out


def box_nms(
    boxes_xyxy: npt.NDArray[Any], scores: npt.NDArray[Any], iou_threshold: float, device: str | None = None
) -> npt.NDArray[np.int64]:
    """Indices of the boxes that stay, best first: greedy suppression by intersection over union.

    boxes_xyxy: [N, 4], (x_min, y_min, x_max, y_max); scores: [N], higher is better. A box goes if its IoU with a better one that
    stays is *above* `iou_threshold`. Of equal scores the earlier box is the better; NaN scores come last. Areas are
    (x_max - x_min) * (y_max - y_min): with boxes of inclusive pixels, one less each way than their pixels, as SAM's generator
    computes it (torchvision's `nms` on `masks_to_boxes`). In float32, for the same decisions at the threshold. Boxes without
    area neither suppress nor are suppressed. device: torch's name of where many boxes are compared; the choice is the same.
    """
    boxes = np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
    scores = np.asarray(scores, np.float32)
    if len(scores) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes and {len(scores)} scores")
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    if device and len(order) >= _MANY:
        from sambench.device.suppression import chosen, suppressed_by

        return np.asarray(order[chosen(suppressed_by(boxes[order], iou_threshold, device), len(order))], np.int64)
    x0, y0, x1, y1 = np.ascontiguousarray(boxes[order].T)
    area = (x1 - x0) * (y1 - y0)
    left = np.arange(len(order))
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        across = np.minimum(x1[best], x1[left]) - np.maximum(x0[best], x0[left])
        down = np.minimum(y1[best], y1[left]) - np.maximum(y0[best], y0[left])
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        union = area[best] + area[left] - shared
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        left = left[iou <= np.float32(iou_threshold)]
    return np.asarray(order[kept], np.int64)
