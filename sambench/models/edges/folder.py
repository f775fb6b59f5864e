"""`edges:DIR`: edge maps of any method from a folder, one file an image, named by the image's id.

    <id>.png    gray, 8 or 16 bits (or 1): value / 255, / 65535
    <id>.npy    float [H, W] in [0, 1]; bool; uint8 or uint16, divided as in PNG
    <id>.mat    `ucm2` of twice the size, of which every second pixel counts; `segs`, a cell array of label maps from fine to
                coarse, each benchmarked as if it were a threshold; or one map under any other name

Maps are compared with thresholds in float64: writing them as 8-bit PNG costs about .001 of ODS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.edge_maps import seg2bdry
from sambench.errors import DataError, ModelError, near_names
from sambench.types import EdgeOutput

PREFIX = "edges:"
SUFFIXES = (".png", ".npy", ".mat")
_FULL_SCALE = {"b": 1, "u1": 255, "u2": 65535}


class EdgeFolder:
    """An `EdgeMapSource`. key: the variable to read in .mat files; found by itself where there is one candidate."""

    device_kind = "cpu"
    precision = "fp32"

    def __init__(self, folder: Path, key: str | None = None) -> None:
        self.folder, self.key = folder, key
        self.files = find_maps(folder)
        self.identity: Mapping[str, Any] = {"maps_sha256": maps_sha256(self.files), "key": key}

    def edge_map(self, image_id: str, size: tuple[int, int]) -> EdgeOutput:
        """size: (height, width). float64 [H, W] in [0, 1], or bool [T, H, W]. Raises DataError: no map, unreadable, another
        size, values that are no probabilities.
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
        found = _READERS[path.suffix.lower()](path, self.key)
        if found.shape[-2:] != size:
            raise _unusable(
                path,
                "an edge map has another size than its image",
                f"{size[1]} x {size[0]} (width x height)",
                f"{found.shape[-1]} x {found.shape[-2]}",
                "write it transposed" if found.shape[-2:] == size[::-1] else "write the map at the image's own size, unpadded",
            )
        low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 0.0)
        if found.dtype != np.bool_ and not (low >= 0 and high <= 1):  # also where there is a NaN
            n_bad = int(np.isnan(found).sum())
            rest = f"values from {np.nanmin(found):g} to {np.nanmax(found):g}" if n_bad < found.size else "nothing else"
            raise _unusable(
                path,
                f"an edge map has {n_bad} NaN" if n_bad else "an edge map has values that are no probabilities",
                "values in [0, 1]",
                f"{n_bad} NaN, {rest}" if n_bad else rest,
                "write 0 where there is no edge" if n_bad else "scale the map to [0, 1]",
            )
        return found


def find_maps(folder: Path) -> dict[str, Path]:
    """Map files by image id. Raises ModelError: no folder, no map in it, or two of one id."""
    if not folder.is_dir():
        found = "a file" if folder.is_file() else "no such folder"
        raise ModelError("the folder of edge maps is not there", where=folder, expected="a folder", found=found)
    maps: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")):
        if path.stem in maps:
            both = f"{maps[path.stem].name} and {path.name}"
            raise ModelError("an image has two edge maps", where=folder, found=both, remedy="keep one of them in the folder")
        maps[path.stem] = path
    if not maps:
        names = ", ".join(sorted(p.name for p in folder.iterdir())[:6]) or "nothing"
        raise ModelError(
            "the folder holds no edge maps",
            where=folder,
            expected="<image id>.png, .npy or .mat",
            found=names,
            remedy="name the folder in which the maps lie themselves",
        )
    return maps


def maps_sha256(files: Mapping[str, Path]) -> str:
    """sha256 hex over names and contents."""
    total = hashlib.sha256()
    for image_id, path in sorted(files.items()):
        with path.open("rb") as f:
            total.update(f"{image_id}{path.suffix.lower()}\0{hashlib.file_digest(f, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _read_png(path: Path, key: str | None) -> EdgeOutput:
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode = image.mode
            values = np.array(image)
    except Exception as e:
        raise _unusable(path, "an edge map cannot be read", "a PNG image", f"{type(e).__name__}: {e}", _AGAIN) from e
    if mode not in ("1", "L") and not mode.startswith("I"):
        remedy = "write it with one channel, or as .npy"
        raise _unusable(path, "an edge map is no gray image", "gray, 8 or 16 bits", f"mode {mode}", remedy)
    return _as_strength(path, values.astype(np.uint16) if mode.startswith("I") else values)


def _read_npy(path: Path, key: str | None) -> EdgeOutput:
    try:
        return _as_strength(path, np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as e:
        raise _unusable(path, "an edge map cannot be read", "an array that numpy.save wrote", str(e), _AGAIN) from e


def _read_mat(path: Path, key: str | None) -> EdgeOutput:
    from scipy.io import loadmat

    try:
        content = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    except NotImplementedError as e:
        remedy = "save it in MATLAB with -v7, or as .npy"
        raise _unusable(path, "an edge map cannot be read", "a MATLAB 5 file", "MATLAB 7.3 (HDF5)", remedy) from e
    except Exception as e:
        raise _unusable(path, "an edge map cannot be read", "a MATLAB 5 file", f"{type(e).__name__}: {e}", _AGAIN) from e
    maps = [k for k, v in content.items() if v.ndim == 2 and v.dtype.kind in "bfu" and v.size > 1]
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
    if values.dtype == np.uint8 and values.max(initial=0) <= 1:  # MATLAB's logical
        values = values != 0
    return _as_strength(path, values[2::2, 2::2] if name == "ucm2" else values)


def _as_strength(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if values.ndim != 2 or values.dtype.kind not in "bfu" or (values.dtype.kind == "u" and values.dtype.itemsize > 2):
        expected = "[H, W] of floats in [0, 1], bool, uint8 or uint16"
        raise _unusable(path, "a file is not an edge map", expected, f"{values.dtype} {list(values.shape)}", _AGAIN)
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    return values / _FULL_SCALE["b" if values.dtype.kind == "b" else values.dtype.str[1:]]


_AGAIN = "write that map again"
_READERS = {".png": _read_png, ".npy": _read_npy, ".mat": _read_mat}


def _unusable(path: Path, message: str, expected: str, found: str, remedy: str) -> DataError:
    return DataError(message, where=path, expected=expected, found=found, remedy=remedy)
