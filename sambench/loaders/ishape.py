"""iShape: six subsets of irregular shapes, each with 16-bit maps of instances.

    <root>/[ishape_dataset/]<subset>/<split>/image/<stem>.jpg
    <root>/[ishape_dataset/]<subset>/<split>/instance_map/<stem>.png    0 background, every other value one instance
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.loaders.label_png import LabelPng
from sambench.loaders.open import unknown_image
from sambench.types import ImageRecord, Sample

_TREES = ("", "ishape_dataset")
_SUBSETS = ("antenna", "branch", "fence", "hanger", "log", "wire")


@dataclass(frozen=True)
class IShape:
    """One split of all subsets, one after the other. image_id is '<subset>/<stem>' (stems occur in several subsets), object_id the
    value in the map, the category the subset. Instances are hollow and in many pieces; neither is touched."""

    root: Path
    name: str
    variant: str = "default"
    split: str = "val"
    subsets: Sequence[str] = _SUBSETS

    @staticmethod
    def fits(root: Path, split: str = "val", subsets: Sequence[str] = _SUBSETS) -> bool:
        """Whether the split of one subset is here; `index` wants all of them."""
        places = (root / t / s / split for t in _TREES for s in subsets)
        return any((p / "image").is_dir() and (p / "instance_map").is_dir() for p in places)

    def index(self) -> Sequence[ImageRecord]:
        """Every map is read the first time, then the counts are remembered. Raises DataError if a subset is missing."""
        return [
            dataclasses.replace(record, image_id=f"{subset}/{record.image_id}")
            for subset in self.subsets
            for record in self._reader(subset).index()
        ]

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image, or a broken map."""
        subset, _, stem = image_id.partition("/")
        if subset not in self.subsets or not stem:
            raise unknown_image(self.name, image_id, [r.image_id for r in self.index()])
        return dataclasses.replace(self._reader(subset).load(stem), image_id=image_id, cluster_id=image_id)

    def annotation_digest(self) -> str:
        """Over ids and sizes of the maps of all subsets."""
        h = hashlib.sha256()
        for subset in self.subsets:
            h.update(f"{subset} {self._reader(subset).annotation_digest()}\n".encode())
        return h.hexdigest()

    def _reader(self, subset: str) -> LabelPng:
        folder = f"{subset}/{self.split}"
        layout = {"images": f"{folder}/image/{{id}}.*", "labels": f"{folder}/instance_map/{{id}}.png"}
        return LabelPng(self.root, self.name, self.variant, layouts=[layout], trees=_TREES, categories={"*": subset})
