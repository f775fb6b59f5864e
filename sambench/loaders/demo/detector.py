"""A simulated detector on the demo scenes, and the crowds of their detection ground truth: the instance task's first minute.

The detector misses things, the small ones more often, is a few per cent off with its boxes, names some things wrongly, says some
twice, and sees some where nothing is; its own masks are ellipses. Whole numbers and hashes alone: the same file on every machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sambench.pixels.region import Region, union
from sambench.provenance import keyed_hash
from sambench.types import Annotated, Annotation, Sample

# Of one category, at least so many things smaller than this get a crowd, in which more detections are no mistake.
CROWD_FROM, CROWD_BELOW_PX = 5, 700


def with_crowds(truth: Annotated, height: int, width: int) -> Annotated:
    """The ground truth with a crowd over many small things of one kind, beside those that are annotated one by one."""
    small: dict[int, list[Annotation]] = defaultdict(list)
    for a in truth.objects:
        if a.region.area < CROWD_BELOW_PX:
            small[a.category_id].append(a)
    crowds = [_crowd(members, height, width) for members in small.values() if len(members) >= CROWD_FROM]
    return replace(truth, objects=(*truth.objects, *crowds))


def _crowd(members: list[Annotation], height: int, width: int) -> Annotation:
    region = union([a.region for a in members], height, width) or members[0].region
    x0, y0, x1, y1 = region.box_xyxy
    box = (float(x0), float(y0), float(x1 - x0 + 1), float(y1 - y0 + 1))
    first = members[0]
    return replace(first, object_id=f"{first.object_id}-crowd", region=region, is_crowd=True, area=float(region.area), box_xywh=box)


def detections(samples: Iterable[Sample], categories: Mapping[int, str]) -> list[dict[str, Any]]:
    """Results in COCO's form: image_id, category_id, bbox (xywh), score, segmentation (RLE). samples: with `annotated`."""
    results: list[dict[str, Any]] = []
    for sample in samples:
        assert sample.annotated is not None
        truth = sample.annotated()
        for a in truth.objects:
            results += _seen(a, sample, sorted(categories))
        results += [_nothing(sample, n, sorted(categories)) for n in range(3)]
    return results


def _seen(thing: Annotation, sample: Sample, categories: list[int]) -> list[dict[str, Any]]:
    """What the detector says of one thing: nothing, a box, or two."""
    dice = _Dice(sample.image_id, thing.object_id)
    side = max(1.0, thing.region.area**0.5)
    if dice.share() > min(95, 60 + side):
        return []
    category = categories[dice.below(len(categories))] if dice.share() < 4 else thing.category_id
    score = min(99, 35 + round(side) // 2 + dice.below(40))
    found = [_result(sample, category, dice.near(thing.box_xywh), score)]
    if dice.share() < 6:
        found.append(_result(sample, category, dice.near(thing.box_xywh), max(5, score - 30)))
    return found


def _nothing(sample: Sample, n: int, categories: list[int]) -> dict[str, Any]:
    dice = _Dice(sample.image_id, f"nothing {n}")
    w, h = 10 + dice.below(sample.width // 4), 10 + dice.below(sample.height // 4)
    box = (float(dice.below(sample.width - w)), float(dice.below(sample.height - h)), float(w), float(h))
    return _result(sample, categories[dice.below(len(categories))], box, 5 + dice.below(45))


def _result(sample: Sample, category: int, box: tuple[float, float, float, float], score: int) -> dict[str, Any]:
    x, y, w, h = box
    x0, y0 = max(0.0, x), max(0.0, y)
    w, h = min(x + w, sample.width) - x0, min(y + h, sample.height) - y0
    rows, columns = np.mgrid[0 : sample.height, 0 : sample.width]
    inside = ((columns + 0.5 - x0 - w / 2) * 2 / w) ** 2 + ((rows + 0.5 - y0 - h / 2) * 2 / h) ** 2 <= 1
    rle = Region.from_array(inside).rle()
    return {
        "image_id": sample.image_id,
        "category_id": category,
        "bbox": [x0, y0, w, h],
        "score": score / 100,
        "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode()},
    }


class _Dice:
    """Numbers that depend on the names alone, whatever the order."""

    def __init__(self, *names: str) -> None:
        self.names, self.thrown = names, 0

    def below(self, n: int) -> int:
        """From 0 to n - 1."""
        self.thrown += 1
        return keyed_hash("detector", *self.names, str(self.thrown)) % max(1, n)

    def share(self) -> int:
        """Per cent, 0 to 99."""
        return self.below(100)

    def near(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """The box with each side off by at most 6 % of the box, in quarters of a pixel."""
        x, y, w, h = box

        def off(length: float) -> float:
            reach = int(length * 4 * 0.06)
            return (self.below(2 * reach + 1) - reach) / 4

        left, top = x + off(w), y + off(h)
        return left, top, max(2.0, x + w + off(w) - left), max(2.0, y + h + off(h) - top)
