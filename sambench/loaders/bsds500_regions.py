"""BSDS500's segmentations as instances: every region that one annotator drew is an object. The files are those of `bsds500`.

<root>/[BSR/][BSDS500/]data/groundTruth/<split>/<id>.mat
                                        groundTruth{1, a}.Segmentation [H, W], 1 ... regions: every pixel in one of them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError
from sambench.loaders import images
from sambench.loaders.bsds500 import BSDS500, read_field
from sambench.loaders.index_cache import Progress, cached_index
from sambench.pixels.region import Region
from sambench.types import ImageRecord, Instance, Sample


@dataclass(frozen=True)
class BSDS500Regions:
    """One split; `root` as for `BSDS500`. image_id is the file's stem.

    annotator: 1 for the first in the file, who every image has, and so on (an image with fewer is left out); 0 for all of
    them, whose objects then overlap. object_id is the label, with all annotators `<annotator>/<label>`.
    """

    root: Path
    name: str
    variant: str = "default"
    split: str = "test"
    annotator: int = 1

    def __post_init__(self) -> None:
        if self.annotator < 0:
            raise DataError("an annotator's number does not fit", expected="1 for the first, ..., 0 for all", found=self.annotator)

    @staticmethod
    def fits(root: Path, split: str = "test", annotator: int = 1) -> bool:
        """Whether the layout is here: images and groundTruth of the split, in one of the trees."""
        return BSDS500.fits(root, split)

    def index(self) -> Sequence[ImageRecord]:
        """Annotated images by name. Every file is read once for its number of regions (20 ms each), then remembered."""
        key = {"dataset": self.name, "reader": "bsds500_regions", "split": self.split, "annotator": self.annotator}
        return cached_index(key, self._files.truths(), self._build_index)

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image, a broken or odd file, or one without that annotator."""
        image_file, truth = self._files.files_of(image_id)
        size = images.read_size(image_file)
        instances = []
        for a, labels in read_segmentations(truth, size, self.annotator).items():
            for label in np.unique(labels):
                object_id = str(label) if self.annotator else f"{a}/{label}"
                region = Region.from_array(labels == label)
                instances.append(Instance(object_id, region, category="region", attributes={"annotator": str(a)}))
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=tuple(instances),
            read=partial(images.read_rgb, image_file, size=size),
        )

    def annotation_digest(self) -> str:
        """Over names and bytes of all ground-truth files; the same for every form of `root`."""
        return self._files.annotation_digest()

    @property
    def _files(self) -> BSDS500:
        return BSDS500(self.root, self.name, split=self.split)

    def _build_index(self, progress: Progress) -> list[ImageRecord]:
        truths = self._files.truths()
        records = []
        for i, (record, truth) in enumerate(zip(self._files.index(), truths, strict=True)):
            try:
                maps = read_segmentations(truth, None, self.annotator)
            except DataError:
                n = 1  # `load` will say what is wrong with it
            else:
                n = sum(np.unique(labels).size for labels in maps.values())
            if record.n_masks >= self.annotator:
                records.append(ImageRecord(record.image_id, n, file=record.file))
            progress(i + 1, len(truths))
        return records


def read_segmentations(path: Path, size: tuple[int, int] | None, annotator: int) -> dict[int, npt.NDArray[Any]]:
    """Label maps [H, W] of integers by annotator (1 is the first; 0 asks for all). size: (height, width), None: not checked.

    Raises DataError naming the file and the annotator.
    """
    return dict(read_field(path, "Segmentation", size, annotator, "labels, integers"))
