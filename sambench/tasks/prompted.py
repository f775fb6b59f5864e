"""Running a promptable model on the objects of one image, and the rows that come of it. Shared by the point and box tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

from sambench.device.memory import done
from sambench.models.answers import as_predictions
from sambench.models.contract import max_batch_of
from sambench.pixels import region as masks
from sambench.types import Instance, Prediction, Prompt, Sample, Segmenter

SaveMasks = Literal["scored", "none"]
Where = Literal["host", "device"]
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
    """What a run sets beside its task. check_stop raises Interrupted when the run is to end; kept: of this image.

    scoring: where answers are scored (`sambench.tasks.scoring`); device: the model's, as torch names it. On it a mask may differ
    from the host's at pixels whose logit is 0 but for rounding; nothing else of a Context moves a number.
    """

    save_masks: SaveMasks = "scored"
    scoring: Where = "host"
    device: str = "cpu"
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


PREPARED = "prepared"  # where what was prepared ahead hangs in a sample


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a model's `prepare` made of a sample's pixels."""

    model: Any
    value: Any


def pixels_for(model: object, sample: Sample) -> Any:
    """What a model's `encode` is given: the sample's pixels, or what its `prepare` made of them."""
    image: Any = sample.image
    prepared = vars(sample).get(PREPARED)
    return prepared.value if isinstance(prepared, Prepared) and prepared.model is model else image


def encode(segmenter: Segmenter, sample: Sample, device: str = "cpu") -> Encoded:
    """Read the sample's pixels and encode them; the milliseconds are the encoder's.

    device: where the model computes. A GPU's work is waited for: else it would count as the decoder's, which comes next.
    """
    image = pixels_for(segmenter, sample)
    start = time.perf_counter()
    state = segmenter.encode(image)
    done(device)
    return Encoded(segmenter, sample, state, (time.perf_counter() - start) * 1e3)


@dataclass(eq=False)
class Target:
    """One object under test."""

    instance: Instance
    sample: Sample

    @property
    def region(self) -> masks.Region:
        """The object's mask."""
        return self.instance.region

    @cached_property
    def boundaries(self) -> dict[str, masks.Region]:
        """Its boundaries, by column of a row; computed once, where they are asked for."""
        widths = boundary_widths(self.sample)
        return {column: masks.boundary(self.region, width) for column, width in widths.items()}

    def row(self, *, prompt: str, k: int, encode_ms: float) -> dict[str, Any]:
        """The columns that describe the object and its place; the answer's come from `scoring.scored_columns`."""
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


def boundary_widths(sample: Sample) -> dict[str, int]:
    """In pixels of the sample's image, by column of a row."""
    return {column: masks.boundary_dilation(sample.height, sample.width, ratio) for column, ratio in BOUNDARY_RATIOS.items()}


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
