"""Results files in COCO's form: a JSON list of detections, each of an image, with a box, a mask or both, a category and a score.

    [{"image_id": 42, "category_id": 18, "bbox": [x, y, width, height], "score": 0.24,
      "segmentation": {"size": [height, width], "counts": "..."}}, ...]

Such files have up to millions of entries and gigabytes. One pass checks every entry and notes where it stands; an image's entries
are read when they are asked for. That costs 24 bytes an entry, whatever the masks weigh, and of a big file the index is kept in the
cache, so that worker processes share it.

What is wrong with the file itself (not JSON, no list, an entry without image, score, or box and mask) is a DataError that names the
entry. What only a dataset can tell (ids of other images, boxes outside theirs) is asked with `sambench.loaders.results_check`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from sambench.errors import DataError
from sambench.files.unchanged import Unchanged
from sambench.loaders.coco_masks import region_of
from sambench.loaders.results_index import Entry, Index, plain_entry, read_index
from sambench.pixels.region import RLE, Region, rle_pixels
from sambench.pixels.rles import RunMasks, run_masks

GAP = 1 << 16  # bytes between two entries that are read along rather than sought over
NO_CATEGORY = -1


@dataclass(frozen=True)
class Detections:
    """The detections of one image, as arrays of length N, in the file's order.

    position int64: place in the file, from 0. category_id int64, NO_CATEGORY where there is none. score float64.
    box_xywh float64 [N, 4]: as the file has it, x and y of the top left corner, width, height, in pixels; NaN where there is none.
    segmentations: N values as the file has them (RLE or polygons), None where there is none. phrases: N texts or None, of results
    of the concept task.
    """

    image_id: str
    path: Path
    position: npt.NDArray[np.int64]
    category_id: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    box_xywh: npt.NDArray[np.float64]
    segmentations: tuple[Any, ...]
    phrases: tuple[str | None, ...] = ()
    _rles: dict[tuple[int, int, int], RLE] = field(init=False, repr=False, compare=False, default_factory=dict)  # those checked
    _measured: dict[tuple[int, int], Measured] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __len__(self) -> int:
        return len(self.position)

    def take(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Detections:
        """Some of them, in the order of `index`."""
        i = np.asarray(index, np.int64)
        return replace(
            self,
            position=self.position[i],
            category_id=self.category_id[i],
            score=self.score[i],
            box_xywh=self.box_xywh[i],
            segmentations=tuple(self.segmentations[k] for k in i),
            phrases=tuple(self.phrases[k] for k in i) if self.phrases else (),
        )

    def best(self, n: int) -> Detections:
        """The n of highest score (earlier ones among equals), in the file's order; all if there are no more."""
        if len(self) <= n:
            return self
        return self.take(np.sort(np.argsort(-self.score, kind="stable")[:n]))

    def has_mask(self, i: int) -> bool:
        return self.segmentations[i] is not None

    def rle(self, i: int, height: int, width: int) -> RLE:
        """Mask i as COCO compressed RLE of the image's size. Raises DataError: no mask, another size, broken runs or polygons."""
        key = (i, height, width)
        if key not in self._rles:
            value = self.segmentations[i]
            known = self._known(height, width)
            if i in known.place:
                self._rles[key] = {"size": [height, width], "counts": known.counts[known.place[i]]}
            elif isinstance(value, dict) and isinstance(value.get("counts"), str) and value.get("size") == [height, width]:
                counts = value["counts"].encode("utf-8", "replace")
                self._rles[key] = checked_rle({"size": [height, width], "counts": counts}, self.where(i))
            else:
                self._rles[key] = self.region(i, height, width).rle()
        return self._rles[key]

    def areas(self, height: int, width: int) -> list[float]:
        """Pixels of each mask in an image of that size; of a detection without one, of its box. Raises as `rle`."""
        known, boxes = self._known(height, width), self.boxes(height, width)
        return [
            float(known.masks.areas[known.place[i]])
            if i in known.place
            else float(coco_mask.area(self.rle(i, height, width)) if self.has_mask(i) else boxes[i, 2] * boxes[i, 3])
            for i in range(len(self))
        ]

    def _known(self, height: int, width: int) -> Measured:
        """The masks that are compressed RLE of the image's size, read all at once; those that are broken are not among them."""
        key = (height, width)
        if key not in self._measured:
            which = [
                i
                for i, value in enumerate(self.segmentations)
                if isinstance(value, dict) and isinstance(value.get("counts"), str) and value.get("size") == [height, width]
            ]
            counts = [self.segmentations[i]["counts"].encode("utf-8", "replace") for i in which]
            masks = run_masks(counts, *(np.full(len(which), n, np.int64) for n in key))
            self._measured[key] = Measured({i: n for n, i in enumerate(which) if masks.ok[n]}, counts, masks)
        return self._measured[key]

    def region(self, i: int, height: int, width: int) -> Region:
        """Mask i as its tight window; raises as `rle`."""
        try:
            return region_of(self.segmentations[i], height, width, where=self.where(i))
        except DataError as e:
            e.message = e.message.replace("an annotation", "a detection")
            raise

    def boxes(self, height: int, width: int, *, corners: bool = False) -> npt.NDArray[np.float64]:
        """float64 [N, 4] xywh: the file's boxes, and where there is none the mask's (zeros for an empty mask).

        corners: the file's are x0, y0, x1, y1.
        """
        out = self.box_xywh.copy()
        if corners:
            out[:, 2:] -= out[:, :2]
        lacking = np.flatnonzero(np.isnan(out[:, 0])).tolist()
        if not lacking:
            return out
        known = self._known(height, width)
        for i in lacking:
            out[i] = known.masks.boxes[known.place[i]] if i in known.place else coco_mask.toBbox(self.rle(i, height, width))
        return out

    def where(self, i: int) -> str:
        """How an error names detection i."""
        return f"entry {self.position[i]} of {self.path}, image {self.image_id}"

    def n_duplicates(self) -> int:
        """Detections that repeat another one: same category, score, box and mask."""
        seen = set()
        for i in range(len(self)):
            drawn = _drawn(self.segmentations[i], i)
            seen.add((int(self.category_id[i]), float(self.score[i]), self.box_xywh[i].tobytes(), drawn))
        return len(self) - len(seen)


class Measured(NamedTuple):
    """Masks that were read at once. place: of each detection that has one; counts: their strings."""

    place: dict[int, int]
    counts: list[bytes]
    masks: RunMasks


def _drawn(mask: Any, i: int) -> Any:
    """By which equal masks are known."""
    if isinstance(mask, dict) and len(mask) == 2 and type(mask.get("counts")) is str and type(mask.get("size")) is list:
        return (*mask, str(mask["size"]), mask["counts"])
    try:
        return json.dumps(mask) if mask else ""
    except RecursionError:
        return f"no mask, {i}"  # nested so deeply that it is none: its image will say so


@dataclass(frozen=True)
class ResultsFile:
    """A checked results file. Iteration gives image ids (as text) in the order in which they first appear."""

    path: Path
    index: Index
    file: Unchanged

    def __len__(self) -> int:
        """Detections in all."""
        return self.index.n

    @property
    def image_ids(self) -> tuple[str, ...]:
        return self.index.image_ids

    @property
    def n_boxes(self) -> int:
        """Detections with a box."""
        return self.index.n_boxes

    @property
    def n_masks(self) -> int:
        """Detections with a mask."""
        return self.index.n_masks

    @property
    def n_categories(self) -> int:
        """Detections with a category."""
        return self.index.n_categories

    @property
    def n_phrases(self) -> int:
        """Detections with a phrase."""
        return self.index.n_phrases

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Those that occur, ascending."""
        return self.index.category_ids

    @cached_property
    def sized_by_boxes(self) -> bool:
        """Whether COCO's and LVIS's evaluators take the boxes' areas for those of the detections, also where they compare masks:
        they do if the file's first entry has a box. Else it is the masks' areas, also where they compare boxes."""
        first = np.flatnonzero(self.index.position == 0)
        return bool(len(first)) and self._entries(int(first[0]), int(first[0]) + 1)[0].box is not None

    @cached_property
    def _slots(self) -> Mapping[str, int]:
        return {image_id: slot for slot, image_id in enumerate(self.index.image_ids)}

    def count_of(self, image_id: str) -> int:
        """Number of detections of an image, without reading them."""
        slot = self._slots.get(image_id)
        return 0 if slot is None else int(self.index.starts[slot + 1] - self.index.starts[slot])

    def of(self, image_id: str) -> Detections:
        """The detections of an image, none if the file has none. Raises DataError where the file changed since it was checked."""
        slot = self._slots.get(image_id)
        first, last = (0, 0) if slot is None else self.index.starts[slot : slot + 2]
        entries = self._entries(int(first), int(last))
        return Detections(
            image_id=image_id,
            path=self.path,
            position=self.index.position[first:last].astype(np.int64),
            category_id=np.array([NO_CATEGORY if e.category_id is None else e.category_id for e in entries], np.int64),
            score=np.array([e.score for e in entries], np.float64),
            box_xywh=np.array([e.box or [math.nan] * 4 for e in entries], np.float64).reshape(-1, 4),
            segmentations=tuple(e.mask for e in entries),
            phrases=tuple(e.phrase for e in entries),
        )

    def sha256(self) -> str:
        """Of the file's bytes when it was checked."""
        return self.file.sha256[self.path]

    def _entries(self, first: int, last: int) -> list[Entry]:
        """Entries first .. last - 1 of the index, read and parsed; neighbours in the file with one read."""
        starts, ends = self.index.offset[first:last].tolist(), self.index.end[first:last].tolist()
        positions = self.index.position[first:last].tolist()
        out: list[Entry] = []
        try:
            with self.path.open("rb") as f:
                i = 0
                while i < len(starts):
                    j = i + 1
                    while j < len(starts) and starts[j] - ends[j - 1] < GAP:
                        j += 1
                    f.seek(starts[i])
                    raw = f.read(ends[j - 1] - starts[i])
                    for k in range(i, j):
                        entry = json.loads(raw[starts[k] - starts[i] : ends[k] - starts[i]])
                        out.append(plain_entry(entry, positions[k], self.path))
                    i = j
        except DataError:
            self.file.check(self.path, "a results file")
            raise
        except (OSError, ValueError, AttributeError, RecursionError) as e:
            self.file.check(self.path, "a results file")
            message, expected = "a detection in a results file cannot be read", "an object of JSON, in UTF-8"
            raise DataError(message, where=self.path, expected=expected, found=str(e), remedy="write the file again") from e
        self.file.check(self.path, "a results file")
        return out


def read_results(path: Path) -> ResultsFile:
    """Check a results file and note where its detections stand. Raises DataError naming the file and the first entry that is wrong.

    A file of 0 detections (an empty list) is read as such; whether that makes sense is for the caller to say.
    """
    try:
        file = Unchanged([path])
    except (OSError, ValueError):
        read_index(path)  # says what is wrong
        raise
    found = ResultsFile(path, read_index(path), file)
    file.check(path, "a results file")
    return found


def checked_rle(rle: RLE, where: str) -> RLE:
    """A compressed RLE whose runs add up to its size, as it came. Raises DataError: pycocotools trusts its input, in C."""
    height, width = rle["size"]
    try:
        found = rle_pixels(rle["counts"])
    except ValueError as e:
        raise DataError("a detection has a broken RLE", where=where, expected="COCO compressed counts", found=str(e)) from e
    if found != height * width:
        expected = f"runs, none negative, that add up to {height * width} pixels"
        raise DataError("a detection has a broken RLE", where=where, expected=expected, found=f"runs that add up to {found}")
    return rle
