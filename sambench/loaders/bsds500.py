"""BSDS500, as distributed: photographs, and one .mat an image with the boundaries that each of its annotators drew.

    <root>/[BSR/][BSDS500/]data/images/<split>/<id>.jpg
    <root>/[BSR/][BSDS500/]data/groundTruth/<split>/<id>.mat
                                            groundTruth{1, a}.Boundaries [H, W], 0 or 1, a = 1 ... annotators

Any dataset in that layout is read too, truth of one's own with maps of any numeric type; NYUDv2's boundaries are another tolerance
and PNG images.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError, unknown_name
from sambench.files import content
from sambench.files.arrays import read_mat
from sambench.files.opening import check_file
from sambench.loaders import images
from sambench.loaders.open import unknown_image
from sambench.types import BoolArray, Holds, ImageRecord, Sample

_TREES = (".", "data", "BSDS500/data", "BSR/BSDS500/data")
_IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg")
_VARIABLE = "groundTruth"
_MI_COMPRESSED, _MI_INT32 = 15, 5  # MATLAB 5.0 MAT-file format, table 1-1


@dataclass(frozen=True)
class BSDS500:
    """One split in its native layout; `root` is any folder of the chain above `images` and `groundTruth`.

    image_id is the file's stem. max_dist: tolerance of the boundary benchmark as a share of the image's diagonal.
    holds: which ground truth samples have, whatever a card says of it.
    """

    holds: ClassVar[Holds] = "boundaries"

    root: Path
    name: str
    variant: str = "default"
    split: str = "test"
    max_dist: float = 0.0075

    def __post_init__(self) -> None:
        if not 0 < self.max_dist < 1:
            raise DataError(
                f"the tolerance of dataset {self.name!r} does not fit",
                where="option max_dist of its card",
                expected="a share of the image's diagonal: 0.0075 for BSDS500, 0.011 for NYUDv2",
                found=self.max_dist,
            )

    @staticmethod
    def fits(root: Path, split: str = "test", max_dist: float = 0.0075) -> bool:
        """Whether the layout is here: images and groundTruth of the split, in one of the trees."""
        return _base(root, split) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All annotated images by name; n_masks is the number of annotators, read from the file's first bytes."""
        by_stem = self._images()
        return [ImageRecord(p.stem, _n_annotators(p), file=str(by_stem.get(p.stem, [""])[0])) for p in self.truths()]

    def load(self, image_id: str) -> Sample:
        """`boundaries` has one map an annotator, as stored. Raises DataError: unknown id, no image, a broken or odd file."""
        image, truth = self.files_of(image_id)
        size = images.read_size(image)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=(),
            read=partial(images.read_rgb, image, size=size),
            boundaries=read_boundaries(truth, size),
            boundary_max_dist=self.max_dist,
        )

    def annotation_digest(self) -> str:
        """Over names and bytes of all ground-truth files; the same for every form of `root`."""
        return content.tree_digest(self._folder("groundTruth"), self.truths(), self.name)

    def files_of(self, image_id: str) -> tuple[Path, Path]:
        """The photograph and the ground truth of an image. Raises DataError: unknown id, or no photograph."""
        truths = {p.stem: p for p in self.truths()}
        if image_id not in truths:
            raise unknown_image(self.name, image_id, list(truths))
        truth = truths[image_id]
        found = self._images().get(image_id, [])
        if len(found) > 1:
            raise DataError(
                f"several files of {self.name} fit as the image of one id",
                where=self._folder("images"),
                expected=f"one image {image_id}",
                found=" and ".join(p.name for p in found),
                remedy="take the other files out of the folder",
            )
        if not found:
            raise DataError(
                f"an annotated image of {self.name} is not there",
                where=self._folder("images"),
                expected=f"{image_id}{_IMAGE_SUFFIXES[0]} or {image_id}{_IMAGE_SUFFIXES[1]}",
                found="no such file",
                of_release="unpack the archive again",
            )
        return found[0], truth

    def truths(self) -> list[Path]:
        """The ground-truth files of the split, by name, in the order of the index. Raises DataError where there is none."""
        folder = self._folder("groundTruth")
        there = sorted(_files(folder))
        found = [p for p in there if p.suffix.lower() == ".mat"]
        if not found:
            raise DataError(
                f"there is no ground truth of {self.name}",
                where=folder,
                expected=f"<id>.mat with {_VARIABLE}{{1, a}}.Boundaries",
                found=", ".join(p.name for p in there[:6]) or "no files",
                of_release="unpack the archive again",
                remedy="write each image's boundaries in that form",
            )
        return found

    def _folder(self, kind: str) -> Path:
        base = _base(self.root, self.split)
        if base is None:
            known = [s for s in ("train", "val", "test") if _base(self.root, s)]
            if known and self.split not in known:
                raise unknown_name(f"split of dataset {self.name}", self.split, known, where=self.root)
            raise DataError(f"no {self.split} split of {self.name}", where=self.root, expected="images/ and groundTruth/")
        return base / kind / self.split

    def _images(self) -> dict[str, list[Path]]:
        """Image files by stem; Thumbs.db and the like left out."""
        found: dict[str, list[Path]] = {}
        for path in sorted(_files(self._folder("images"))):
            if path.suffix.lower() in _IMAGE_SUFFIXES:
                found.setdefault(path.stem, []).append(path)
        return found


def read_boundaries(path: Path, size: tuple[int, int]) -> tuple[BoolArray, ...]:
    """Every annotator's map, bool [H, W], of a ground-truth file. Raises DataError naming the file and the annotator.

    size: (height, width) of the image.
    """
    out = []
    for a, boundary in read_field(path, "Boundaries", size, 0, "0 and 1"):
        if boundary.size and (boundary.min() < 0 or boundary.max() > 1):
            raise DataError(
                "a ground-truth file has values that are no boundaries",
                where=path,
                expected="Boundaries of 0 and 1",
                found=f"annotator {a}: smallest value {boundary.min()}, largest value {boundary.max()}",
                remedy="write 1 where the annotator drew a boundary and 0 elsewhere, as groundTruth{1, a}.Boundaries",
            )
        out.append(boundary != 0)
    return tuple(out)


def read_field(
    path: Path, field: str, size: tuple[int, int] | None, annotator: int, values: str
) -> list[tuple[int, npt.NDArray[Any]]]:
    """(annotator's number from 1 on, map [H, W] of integers) of one field: of one annotator, or of all of them (0).

    size: (height, width) of the image, None: not checked. values: what the map holds, for the error.
    Raises DataError naming the file and the annotator.
    """
    cells = _load(path).reshape(-1)
    if annotator > cells.size:
        raise _odd(path, f"{cells.size} annotators", expected=f"at least {annotator}")
    out = []
    for a in [annotator] if annotator else range(1, cells.size + 1):
        try:
            value = np.asarray(cells[a - 1][field][0, 0])
        except (KeyError, IndexError, ValueError, TypeError) as e:
            raise _odd(path, f"annotator {a} of {cells.size} has no field {field}") from e
        if value.dtype.kind not in "buif" or value.ndim != 2 or (size is not None and value.shape != size):
            shape = "a map" if size is None else f"{list(size)} as the image is"
            raise _odd(path, f"annotator {a}: {value.dtype} {list(value.shape)}", expected=f"{field} of {values}, {shape}")
        out.append((a, _whole(path, value, f"annotator {a}", f"{field} of {values}")))
    return out


def _whole(path: Path, value: npt.NDArray[Any], whose: str, expected: str) -> npt.NDArray[Any]:
    """Doubles, which MATLAB writes unless told otherwise, as integers."""
    if value.dtype.kind != "f":
        return value
    odd = ~(np.isfinite(value) & (np.abs(value) < 1 << 31) & (np.rint(value) == value))
    if odd.any():
        raise DataError(
            "a ground-truth file has values that are no whole numbers",
            where=path,
            expected=f"{expected}, of any numeric type",
            found=f"{whose}: {int(odd.sum())} others, as {value[odd][0]:g}",
            remedy="write whole numbers, as MATLAB's uint8 or logical does",
        )
    return value.astype(np.int32)


def _load(path: Path) -> Any:
    cells = read_mat(path, [_VARIABLE], "a ground-truth file").get(_VARIABLE)
    if cells is None or cells.dtype != object or not cells.size:
        raise _odd(path, "no such variable" if cells is None else f"{cells.dtype} {list(cells.shape)}")
    return cells


def _odd(path: Path, found: str, expected: str | None = None) -> DataError:
    return DataError(
        "a ground-truth file is damaged, or not in this dataset's format",
        where=path,
        expected=expected or f"{_VARIABLE}, a cell array with one struct (Boundaries) an annotator",
        found=found,
        of_release="unpack the archive again",
    )


def _n_annotators(path: Path) -> int:
    """The length of the cell array, from the first bytes of the file where it has the usual form.

    Reading a file whole takes 20 ms, and an index asks for hundreds. A MAT-file is 128 bytes of text and version, then
    the variable, here compressed; that begins with its flags and, 32 bytes on, its dimensions.
    """
    try:
        check_file(path)
        with path.open("rb") as f:
            head = f.read(1024)
    except (DataError, OSError):
        return 1  # `load` will say what is wrong with it
    if head[126:128] == b"IM" and int.from_bytes(head[128:132], "little") == _MI_COMPRESSED:
        try:
            start = zlib.decompressobj().decompress(head[136:], 40)
        except zlib.error:
            start = b""
        tag, n_bytes, rows, columns = (int.from_bytes(start[i : i + 4], "little") for i in (24, 28, 32, 36))
        if (tag, n_bytes) == (_MI_INT32, 8) and len(start) == 40:
            return rows * columns
    try:
        return int(_load(path).size)
    except DataError:
        return 1


def _base(root: Path, split: str) -> Path | None:
    """The folder that holds images/<split> and groundTruth/<split>."""
    found = (root / tree for tree in _TREES)
    return next((b for b in found if (b / "groundTruth" / split).is_dir() and (b / "images" / split).is_dir()), None)


def _files(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(e.path) for e in entries if e.is_file() and not e.name.startswith(".")]
