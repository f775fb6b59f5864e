"""`edges:DIR`: edge maps of any method from a folder, one file an image, named by the image's id.

    <id>.png    gray, 1 to 16 bits
    <id>.npy    [H, W]: floats in [0, 1], bool, or whole numbers of any type
    <id>.mat    `ucm2` of twice the size, of which every second pixel counts; `segs`, a cell array of label maps from fine to
                coarse, each benchmarked as if it were a threshold; or one map under any other name

Which whole number stands for an edge of strength 1 is decided once for all files of one type in the folder, so that a map with few
edges means what its neighbours do (`sambench.models.edges._scale`); `-M scale=NUMBER` says it instead.
Maps are compared with thresholds in float64: writing them as 8-bit PNG costs about .001 of ODS.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError, ModelError, UsageError, near_names
from sambench.files import content
from sambench.files.arrays import read_mat, read_npy
from sambench.files.opening import cannot_open, check_file
from sambench.files.picture import bit_depth, decode, gray_of, opened
from sambench.files.unchanged import Unchanged
from sambench.models.edges._scale import Scales
from sambench.pixels.edge_maps import seg2bdry
from sambench.types import EdgeOutput

SUFFIXES = (".png", ".npy", ".mat")
_WHAT = "an edge map"
_AGAIN = "write that map again"


class EdgeFolder:
    """An `EdgeMapSource`. key: the variable to read in .mat files; found by itself where there is one candidate.

    scale: the value that stands for strength 1; None: decided from the maps (1 for floats).
    """

    device_kind = "cpu"
    precision = "fp32"

    def __init__(self, folder: Path, key: str | None = None, scale: float | None = None) -> None:
        if scale is not None and not (type(scale) in (int, float) and 0 < scale < float("inf")):
            raise UsageError("a scale of edge maps does not fit", where="-M scale", expected="a number above 0", found=repr(scale))
        self.folder, self.key, self.scale = folder, key, scale
        self.files = find_maps(folder)
        try:
            self._held = Unchanged(self.files.values(), f"maps of {folder.name}")
        except OSError as e:
            raise cannot_open(Path(e.filename or folder), e, _WHAT) from e
        digest = content.digest_of({p.name: sha256 for p, sha256 in self._held.sha256.items()})
        self.identity: Mapping[str, Any] = {"maps_sha256": digest, "key": key, "scale": scale}
        self._scales = Scales(folder, self.files, self._stored)

    def edge_map(self, image_id: str, size: tuple[int, int]) -> EdgeOutput:
        """size: (height, width). float64 [H, W] in [0, 1], or bool [T, H, W]. Raises DataError: no map, unreadable, another
        size, values that are no probabilities, or of which none can be told to be an edge.
        """
        path = self.files.get(image_id)
        if path is None:
            near = near_names(image_id, self.files)
            raise DataError(
                f"there is no edge map of image {image_id!r}",
                where=self.folder,
                expected=f"{image_id}.png, .npy or .mat",
                found=f"{len(self.files)} other maps" + (f", the nearest named {near[0]!r}" if near else ""),
                remedy="write that map and issue the command again; --subset FILE or --limit evaluate a part of the images",
            )
        stored = self._stored(path)
        if stored.shape[-2:] != size:
            raise _unusable(
                path,
                "an edge map has another size than its image",
                f"{size[1]} x {size[0]} (width x height)",
                f"{stored.shape[-1]} x {stored.shape[-2]}",
                "write it transposed" if stored.shape[-2:] == size[::-1] else "write the map at the image's own size, unpadded",
            )
        return stored if stored.ndim == 3 else self._strength(path, stored)

    def _strength(self, path: Path, stored: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """float64 in [0, 1] of the values as stored."""
        scale = self.scale if self.scale is not None else self._scales.of(path, stored)
        found = np.asarray(stored / scale, np.float64)
        low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 0.0)
        if not (low >= 0 and high <= 1):  # also where there is a NaN
            n_bad = int(np.isnan(found).sum())
            rest = f"values from {np.nanmin(stored):g} to {np.nanmax(stored):g}" if n_bad < found.size else "nothing else"
            raise _unusable(
                path,
                f"an edge map has {n_bad} NaN" if n_bad else "an edge map has values that are no probabilities",
                "values in [0, 1]" if scale == 1 else f"values from 0 to {scale:g}",
                f"{n_bad} NaN, {rest}" if n_bad else rest,
                "write 0 where there is no edge"
                if n_bad
                else "write probabilities: 0 where there is no edge, 1 where it is certain (of scores below 0, their sigmoid)"
                if low < 0
                else "scale the map to [0, 1], or name the value that stands for strength 1: -M scale=255",
            )
        return found

    def _stored(self, path: Path) -> npt.NDArray[Any]:
        """The values of a map as its file has them: bool, floats or whole numbers [H, W]; or bool [T, H, W]."""
        try:
            found = _READERS[path.suffix.lower()](path, self.key)
        finally:  # also where what is there now is broken
            self._held.check(path, _WHAT)
        if found.ndim == 3 and found.dtype == np.bool_ and path.suffix.lower() == ".mat":
            return found
        if found.ndim != 2 or found.dtype.kind not in "bfiu":
            expected = "[H, W] of floats in [0, 1], bool or whole numbers"
            raise _unusable(path, "a file is not an edge map", expected, f"{found.dtype} {list(found.shape)}", _AGAIN)
        return found


def find_maps(folder: Path) -> dict[str, Path]:
    """Map files by image id. Raises ModelError: no folder, no map in it, or two of one id; DataError: a map that is no file."""
    if not folder.is_dir():
        found = "a file" if folder.is_file() else "no such folder"
        raise ModelError("the folder of edge maps is not there", where=folder, expected="a folder", found=found)
    try:
        there = sorted(folder.iterdir())
    except OSError as e:
        raise ModelError("the folder of edge maps cannot be read", where=folder, found=e.strerror or repr(e)) from e
    maps: dict[str, Path] = {}
    for path in (p for p in there if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")):
        if path.stem in maps:
            both = f"{maps[path.stem].name} and {path.name}"
            raise ModelError("an image has two edge maps", where=folder, found=both, remedy="keep one of them in the folder")
        check_file(path, _WHAT)
        maps[path.stem] = path
    if not maps:
        names = ", ".join(p.name for p in there[:6]) or "nothing"
        raise ModelError(
            "the folder holds no edge maps",
            where=folder,
            expected="<image id>.png, .npy or .mat",
            found=names,
            remedy="name the folder in which the maps lie themselves",
        )
    return maps


def _read_png(path: Path, key: str | None) -> npt.NDArray[Any]:
    with opened(path, what=_WHAT) as image:
        bits = bit_depth(image)
        gray = gray_of(decode(path, image)) if bits == 8 else None
        if gray is None and image.mode not in ("1", "L") and not image.mode.startswith("I"):
            remedy = "write it with one channel, or as .npy"
            raise _unusable(path, "an edge map is no gray image", "gray, 8 or 16 bits", f"mode {image.mode}", remedy)
        values = np.array(gray or decode(path, image))
    if values.dtype == np.uint8 and bits in (2, 4):  # which Pillow stretches to 0..255
        return values // np.uint8(255 // ((1 << bits) - 1))
    return values


def _read_npy(path: Path, key: str | None) -> npt.NDArray[Any]:
    return read_npy(path, _WHAT)


def _read_mat(path: Path, key: str | None) -> npt.NDArray[Any]:
    content = read_mat(path, what=_WHAT)
    maps = [k for k, v in content.items() if getattr(v, "ndim", 0) == 2 and v.dtype.kind in "bfiu" and v.size > 1]
    name = key or next((k for k in ("segs", "ucm2") if k in content), maps[0] if len(maps) == 1 else None)
    if name is None or name not in content:
        raise _unusable(
            path,
            "it is not clear which variable is the edge map",
            repr(key) if key else "ucm2, segs, or one map",
            ", ".join(f"{k} {v.dtype} {list(v.shape)}" for k, v in content.items()) or "no variables",
            "name it: -M key=VARIABLE",
        )
    if name == "segs":
        cells = content[name]
        if cells.dtype != object or not cells.size or len({np.shape(c) for c in cells.ravel()}) != 1:
            raise _unusable(path, "segs are not segmentations", "a cell array of label maps of one size", str(cells.dtype), _AGAIN)
        return np.stack([seg2bdry(np.asarray(c)) for c in cells.ravel()])
    values = np.asarray(content[name])
    return values[2::2, 2::2] if name == "ucm2" else values


_READERS = {".png": _read_png, ".npy": _read_npy, ".mat": _read_mat}


def _unusable(path: Path, message: str, expected: str, found: str, remedy: str) -> DataError:
    return DataError(message, where=path, expected=expected, found=found, remedy=remedy)
