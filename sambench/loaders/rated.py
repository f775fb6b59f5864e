"""The objects that a rating study draws from another dataset; images are rescaled before prediction (docs/protocol.md).

<root>/source.json   {"dataset", "variant", "root", "annotation_digest", "max_side"}
<root>/items.json    [[image id, [object id, ...]], ...]

`sambench rate make` writes both, and a card that names this reader.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sambench import cards
from sambench.errors import DataError
from sambench.loaders import values
from sambench.loaders.open import open_dataset, unknown_image
from sambench.pixels.region import Region
from sambench.provenance import canonical_json
from sambench.types import EMPTY, Dataset, ImageRecord, Sample, UInt8Array

ITEMS, SOURCE = "items.json", "source.json"


@dataclass(frozen=True)
class RatedObjects:
    """Reader of a study's folder; the pixels are read from the source dataset, wherever that is."""

    root: Path
    name: str
    variant: str = "default"

    @staticmethod
    def fits(root: Path) -> bool:
        return (root / ITEMS).is_file() and (root / SOURCE).is_file()

    def index(self) -> Sequence[ImageRecord]:
        """Images with objects of the study, in the order of the file."""
        pictures = {r.image_id: r.file for r in self._source.index()}
        return [ImageRecord(i, len(objects), file=pictures.get(i, "")) for i, objects in self._items.items()]

    def load(self, image_id: str) -> Sample:
        """The rescaled image with the study's objects alone. Raises DataError on an unknown image, or an object that is gone."""
        if image_id not in self._items:
            raise unknown_image(self.name, image_id, list(self._items))
        sample = self._source.load(image_id)
        wanted = self._items[image_id]
        lost = set(wanted) - {o.object_id for o in sample.instances}
        if lost:
            raise DataError(
                "an object of a rating study is not in its dataset any more",
                where=f"image {image_id!r} of {sample.dataset}",
                expected=f"object {min(lost)!r}",
                found=f"{len(sample.instances)} others",
                remedy="make the study again, in another folder",
            )
        kept = tuple(o for o in sample.instances if o.object_id in wanted)
        return replace(rescaled(replace(sample, instances=kept), int(self._told["max_side"])), dataset=self.name)

    def annotation_digest(self) -> str:
        """sha256 over the items, the rescaling, and the source's annotations as they were when the study was made."""
        told = {k: self._told[k] for k in ("dataset", "variant", "annotation_digest", "max_side")}
        return hashlib.sha256(canonical_json([told, list(self._items.items())]).encode()).hexdigest()

    @cached_property
    def _told(self) -> dict[str, Any]:
        told, path = _read(self.root / SOURCE), self.root / SOURCE
        texts = ("dataset", "variant", "annotation_digest")
        if not isinstance(told, dict) or not all(isinstance(told.get(k), str) for k in texts) or "max_side" not in told:
            raise _broken(path, f"an object with {', '.join(texts)} (texts) and max_side", values.shown(told))
        if not isinstance(told.get("root"), str | None):
            raise _broken(path, "root, a folder", values.shown(told["root"]))
        plain = {k: values.text(told[k], k, path) for k in texts}
        return {"root": told.get("root"), **plain, "max_side": values.whole(told["max_side"], "max_side", path, low=1)}

    @cached_property
    def _items(self) -> dict[str, list[str]]:
        items, path = _read(self.root / ITEMS), self.root / ITEMS
        pairs = isinstance(items, list) and all(isinstance(i, list) and len(i) == 2 and isinstance(i[1], list) for i in items)
        if not pairs:
            raise _broken(path, "[[image id, [object id, ...]], ...]", values.shown(items))
        return {values.text(i, "image id", path): [values.text(o, "object id", path) for o in objects] for i, objects in items}

    @cached_property
    def _source(self) -> Dataset:
        root = self._told.get("root")
        return open_dataset(
            cards.dataset_card(self._told["dataset"]), variant=self._told["variant"], root=Path(root) if root else None
        )


def rescaled(sample: Sample, max_side: int) -> Sample:
    """The sample with its longer side at most `max_side` px: area interpolation, masks where at least half a pixel is covered.

    Unchanged if it is small enough. Objects whose mask vanishes are dropped, and counted.
    """
    height, width = rescaled_size(sample.height, sample.width, max_side)
    if (height, width) == (sample.height, sample.width):
        return sample
    regions = [rescaled_region(o.region, height, width) for o in sample.instances]
    kept = tuple(replace(o, region=r) for o, r in zip(sample.instances, regions, strict=True) if r.area)
    return replace(
        sample,
        height=height,
        width=width,
        instances=kept,
        left_out={**sample.left_out, EMPTY: sample.left_out.get(EMPTY, 0) + len(regions) - len(kept)},
        ignore=None if sample.ignore is None else rescaled_region(sample.ignore, height, width),
        read=partial(_resized, sample, height, width),
    )


def rescaled_size(height: int, width: int, max_side: int) -> tuple[int, int]:
    """(height, width) of the image with its longer side at most max_side, rounded to whole pixels."""
    scale = max_side / max(height, width)
    return (height, width) if scale >= 1 else (max(1, round(height * scale)), max(1, round(width * scale)))


def rescaled_region(region: Region, height: int, width: int) -> Region:
    """The mask of an image of height x width; a pixel belongs to it where at least half of it is covered."""
    if (region.height, region.width) == (height, width):
        return region
    share = cv2.resize(region.full().astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return Region.from_array(share >= 0.5)


def _resized(sample: Sample, height: int, width: int) -> UInt8Array:
    return np.asarray(cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise _broken(path, "JSON", str(e)) from e


def _broken(path: Path, expected: str, found: str) -> DataError:
    remedy = "make the study again, in another folder"
    return DataError("a file of a rating study cannot be read", where=path, expected=expected, found=found, remedy=remedy)
