"""SBD (Semantic Boundaries Dataset): one .mat an image with a map of its instances.

    <root>/[benchmark_RELEASE/][dataset/]img/<id>.jpg
    <root>/[benchmark_RELEASE/][dataset/]inst/<id>.mat     GTinst: Segmentation [H, W], 0 or 1..K; Categories [K, 1], VOC class ids
    <root>/[benchmark_RELEASE/][dataset/]{train,val}.txt
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError
from sambench.files.arrays import read_mat
from sambench.loaders import images
from sambench.loaders.coco_file import naming, read_picture, wrong
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.label_maps import regions_of, values_of
from sambench.loaders.pairs import Pairs, find_pairs, place_of
from sambench.types import ImageRecord, Instance, Sample

_TREES = ("", "dataset", "benchmark_RELEASE/dataset")
# PASCAL VOC's classes, 1 to 20
_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


@dataclass(frozen=True)
class SBD:
    """One mask an instance of the list `<split>.txt`; object_id is its number in the map."""

    root: Path
    name: str
    variant: str = "default"
    split: str = "val"

    @staticmethod
    def fits(root: Path, *, split: str = "val", **_: Any) -> bool:
        """Whether img/, inst/ and the split's list are here."""
        return place_of(root, _layouts(split), _TREES) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All listed images; their maps are read the first time, then the counts are remembered."""
        pairs = self._pairs()
        files = pairs.label_files()
        key = {"dataset": self.name, "split": self.split}
        return cached_index(key, files.values(), partial(self._build, pairs, files))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image or another size of it, a broken or odd .mat."""
        pairs = self._pairs()
        label_file, image_file = pairs.label_file(image_id), pairs.image_file(image_id)
        with naming(self.name):
            size = images.read_size(image_file)
            labels, classes = _read(label_file)
            if labels.shape != size:
                raise wrong(
                    "a map of instances has another size than its image",
                    label_file,
                    f"{size[1]} x {size[0]} (width x height)",
                    f"{labels.shape[1]} x {labels.shape[0]}",
                )
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=tuple(Instance(str(v), r, category=_name(classes, v)) for v, r in regions_of(labels, {0}).items()),
            read=partial(read_picture, self.name, image_file, size),
        )

    def annotation_digest(self) -> str:
        """Over names and bytes of the .mat files of the split."""
        return self._pairs().digest()

    def _pairs(self) -> Pairs:
        return find_pairs(self.root, _layouts(self.split), _TREES, dataset=self.name)

    def _build(self, pairs: Pairs, files: Mapping[str, Path], progress: Progress) -> list[ImageRecord]:
        return pairs.counted(files, lambda _, path: sum(v != 0 for v in values_of(_read(path)[0])), progress)


def _layouts(split: str) -> list[dict[str, str]]:
    return [{"images": "img/{id}.jpg", "labels": "inst/{id}.mat", "ids": f"{split}.txt"}]


def _read(path: Path) -> tuple[npt.NDArray[np.int32], list[int]]:
    """(map int32 [H, W], class of every instance). Raises DataError naming the file."""
    content = read_mat(path, ["GTinst"], "a map of instances")
    try:
        truth = content["GTinst"][0, 0]
        labels, classes = np.asarray(truth["Segmentation"]), np.asarray(truth["Categories"])
        whole = labels.dtype.kind in "biu" or (labels.dtype.kind == "f" and bool((labels == np.rint(labels)).all()))
        if labels.ndim != 2 or not whole:
            raise ValueError(f"Segmentation is {labels.dtype} {list(labels.shape)}")
        return labels.astype(np.int32), [int(c) for c in classes.ravel()]
    except (KeyError, IndexError, ValueError, TypeError, OverflowError) as e:
        raise DataError(
            "a map of instances is damaged, or in another format",
            where=path,
            expected="a MATLAB 5 file with a struct GTinst of Segmentation [H, W], whole numbers, and Categories",
            found=f"{type(e).__name__}: {e}",
            of_release="unpack the archive again",
        ) from e


def _name(classes: list[int], value: int) -> str:
    """The class of instance `value`, '' where the file names none."""
    found = classes[value - 1] if 0 < value <= len(classes) else 0
    return _CLASSES[found - 1] if 0 < found <= len(_CLASSES) else ""
