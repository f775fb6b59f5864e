"""Running a promptable model on the objects of one image, and the rows that come of it. Shared by the point and box tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sambench.models.answers import as_predictions
from sambench.models.contract import max_batch_of
from sambench.pixels import region as masks
from sambench.types import Instance, Prediction, Prompt, Sample, Segmenter

SaveMasks = Literal["scored", "none"]
# Boundary measures of every row: Cheng et al.'s 2 % of the diagonal, and HQ-SAM's strict 1 %.
BOUNDARY_RATIOS = {"boundary_ious_2pct": 0.02, "boundary_ious_1pct": 0.01}


class Interrupted(Exception):
    """The run was asked to stop; what is finished is kept."""


class Kept(Protocol):
    """Rows of an image's batches that were computed before, by the batch's number."""

    def get(self, batch: int) -> list[dict[str, Any]] | None: ...

    def put(self, batch: int, rows: list[dict[str, Any]]) -> None: ...


class NothingKept:
    """`Kept` of who computes an image in one go."""

    def get(self, batch: int) -> list[dict[str, Any]] | None:
        return None

    def put(self, batch: int, rows: list[dict[str, Any]]) -> None:
        return


@dataclass(frozen=True)
class Context:
    """What a run sets that changes no number. check_stop raises Interrupted when the run is to end; kept: of this image."""

    save_masks: SaveMasks = "scored"
    check_stop: Callable[[], None] = lambda: None
    kept: Kept = field(default_factory=NothingKept)


@dataclass
class Encoded:
    """An image in a model's hands. decode() answers prompts in batches of at most `max_batch`, in order."""

    segmenter: Segmenter
    sample: Sample
    state: Any
    encode_ms: float
    decode_ms: list[float] = field(default_factory=list)

    @property
    def max_batch(self) -> int:
        return max_batch_of(self.segmenter)

    def decode(self, prompts: list[Prompt]) -> tuple[list[Prediction], float]:
        """Predictions for one batch of prompts, checked, and the milliseconds that one prompt took on average."""
        start = time.perf_counter()
        answers = self.segmenter.decode(self.state, prompts)
        each_ms = (time.perf_counter() - start) * 1e3 / len(prompts)
        sample = self.sample
        where = f"image {sample.image_id!r} of {sample.dataset}"
        return as_predictions(answers, len(prompts), sample.height, sample.width, where=where), each_ms


def encode(segmenter: Segmenter, sample: Sample) -> Encoded:
    """Read the sample's pixels and encode them; the milliseconds count the encoder alone."""
    image = sample.image
    start = time.perf_counter()
    state = segmenter.encode(image)
    return Encoded(segmenter, sample, state, (time.perf_counter() - start) * 1e3)


@dataclass
class Target:
    """One object under test: its mask, its boundaries (computed once), and its row so far."""

    instance: Instance
    sample: Sample
    boundaries: dict[str, masks.Region]

    @classmethod
    def of(cls, instance: Instance, sample: Sample) -> Target:
        return cls(
            instance,
            sample,
            {
                column: masks.boundary(instance.region, masks.boundary_dilation(sample.height, sample.width, ratio))
                for column, ratio in BOUNDARY_RATIOS.items()
            },
        )

    def scored(self, prediction: Prediction, which: Sequence[int] | None = None) -> dict[str, Any]:
        """Every candidate's overlap with the object (or that of the candidates `which` alone), as columns of a row."""
        sample, target = self.sample, self.instance.region
        index = list(range(len(prediction.masks))) if which is None else list(which)
        all_ious = prediction.masks.iou(target, sample.ignore)
        ious = [float(all_ious[i]) for i in index]
        top = index.index(prediction.top_index)
        columns: dict[str, Any] = {
            "n_candidates": len(index),
            "ious": ious,
            "scores": [float(prediction.scores[i]) for i in index],
            "top_index": top,
            "iou_top": ious[top],
            "iou_oracle": max(ious),
        }
        for column, ratio in BOUNDARY_RATIOS.items():
            width = masks.boundary_dilation(sample.height, sample.width, ratio)
            columns[column] = [
                masks.boundary_overlap(prediction.masks.region(i), self.boundaries[column], width, sample.ignore) for i in index
            ]
        return columns

    def row(self, *, prompt: str, k: int, encode_ms: float) -> dict[str, Any]:
        """The columns that describe the object and its place; prediction columns come from `scored`."""
        sample, instance = self.sample, self.instance
        return {
            "dataset": sample.dataset,
            "image_id": sample.image_id,
            "cluster_id": sample.cluster_id,
            "object_id": instance.object_id,
            "category": instance.category,
            "prompt": prompt,
            "k": k,
            "height": sample.height,
            "width": sample.width,
            "area_px": instance.area_px,
            "box_xyxy": list(instance.box_xyxy),
            "encode_ms": encode_ms,
            "attributes": {**sample.attributes, **instance.attributes},
            "status": "ok",
        }


def counts_of(prediction: Prediction, which: Sequence[int] | None = None) -> list[bytes]:
    """COCO compressed counts of the candidates (of `which` alone), as the rows keep them."""
    index = range(len(prediction.masks)) if which is None else which
    return [prediction.masks.rle(i)["counts"] for i in index]


def batches(n: int, size: int) -> list[range]:
    """The protocol's partition of n objects in dataset order: `size` a batch, the last one smaller."""
    return [range(i, min(i + size, n)) for i in range(0, n, size)]


def rows_by_batch(
    n: int, size: int, context: Context, rows_of: Callable[[range], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The rows of n objects, `batches` by batch; those of a batch that is kept are not computed again."""
    out: list[dict[str, Any]] = []
    for i, batch in enumerate(batches(n, size)):
        rows = context.kept.get(i)
        if rows is None:
            context.check_stop()
            rows = rows_of(batch)
            context.kept.put(i, rows)
        out += rows
    return out


def running_miou(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int]]:
    """{"mIoU@k": (sum of top IoUs, objects)} for the running means on screen."""
    sums: dict[str, tuple[float, int]] = {}
    for row in rows:
        name = f"mIoU@{row['k']}" if row["k"] else "mIoU"
        total, n = sums.get(name, (0.0, 0))
        sums[name] = (total + row["iou_top"], n + 1)
    return sums
