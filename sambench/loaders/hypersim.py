"""Hypersim: rendered interiors, HDR colour and instance ids in one HDF5 file each a frame.

    <root>/[scenes/]ai_VVV_NNN/images/scene_cam_XX_...
        final_hdf5/frame.IIII.color.hdf5                    float16 [H, W, 3], linear
        geometry_hdf5/frame.IIII.semantic_instance.hdf5     int16 [H, W], -1 for none
        geometry_hdf5/frame.IIII.render_entity_id.hdf5      int16 [H, W], -1 where nothing was hit
        final_preview/frame.IIII.tonemap.jpg
    <root>/metadata_images_split_scene_v1.csv               of the code repository; with it, frames not released are left out
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sambench import paths
from sambench.errors import DataError
from sambench.files import content
from sambench.files.arrays import read_hdf5
from sambench.loaders.coco_file import naming, read_picture
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.label_maps import regions_of
from sambench.loaders.open import unknown_image
from sambench.loaders.pairs import count_or_one
from sambench.types import BoolArray, FloatArray, ImageRecord, Instance, Sample, UInt8Array

_TREES = ("", "scenes", "evermotion_dataset/scenes")
_LIST = "metadata_images_split_scene_v1.csv"
_LISTS = (_LIST, f"evermotion_dataset/analysis/{_LIST}")
_NONE = -1  # no instance, no geometry
_FOLDERS = "ai_???_???/images/scene_cam_??_geometry_hdf5"


@dataclass(frozen=True)
class Hypersim:
    """One mask a distinct value of semantic_instance, in one piece or several.

    image_id is "ai_VVV_NNN/cam_XX/IIII", cluster_id the scene, object_id the value. Frames that lack the image or the instances are
    left out. image: 'tonemap' (computed from the colours as the authors do) or 'preview' (their JPEG of it). max_instances: frames
    with more are left out; 0: none is. min_area_px: smaller masks are left out.
    """

    root: Path
    name: str
    variant: str = "default"
    image: Literal["tonemap", "preview"] = "tonemap"
    max_instances: int = 0
    min_area_px: int = 1

    @staticmethod
    def fits(root: Path, **_: Any) -> bool:
        """Whether a scene's folder with images is here."""
        return _base(root) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All frames by name; every file of instances is read the first time, then the counts are remembered."""
        ids = self._frames()
        base = self._base()
        key = {"dataset": self.name, "image": self.image, "max": self.max_instances, "min": self.min_area_px}
        files = [Path(os.path.join(base, files_of(i)["instances"])) for i in ids]
        return cached_index(key, files, partial(self._build, base, ids))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, a file that is broken or of another form; the pixels are read when asked for."""
        base = self._base()
        if re.fullmatch(r"ai_\d{3}_\d{3}/cam_\d+/\d+", image_id) is None or not self._complete(base, image_id):
            raise unknown_image(self.name, image_id, self._frames())
        places = {kind: base / place for kind, place in files_of(image_id).items()}
        with naming(self.name):
            labels = _read(places["instances"], ndim=2)
        height, width = labels.shape
        regions = {v: r for v, r in regions_of(labels, {_NONE}).items() if r.area >= self.min_area_px}
        if self.image == "preview":
            read = partial(read_picture, self.name, places["preview"], (height, width))
        else:
            read = partial(_read_tonemapped, self.name, places["color"], places["geometry"], (height, width))
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=height,
            width=width,
            instances=tuple(Instance(str(v), region) for v, region in regions.items()),
            read=read,
            cluster_id=image_id.partition("/")[0],
        )

    def annotation_digest(self) -> str:
        """Over names and bytes of the files of instances, and of the geometry by which an image is tone-mapped."""
        base, kinds = self._base(), ("instances",) if self.image == "preview" else ("instances", "geometry")
        files = [base / files_of(i)[kind] for i in self._frames() for kind in kinds]
        return content.tree_digest(base, (f for f in files if f.is_file()), self.name)

    def _base(self) -> Path:
        base = _base(self.root)
        if base is None:
            of_release = "unpack the scenes' archives"
            raise DataError(f"no scenes of {self.name} are here", where=self.root, expected=_FOLDERS, of_release=of_release)
        return base

    def _frames(self) -> list[str]:
        """Ids of all frames that have an image and instances, and are among the released ones if a list of them is here."""
        base, ids = self._base(), []
        released = released_frames(self.root) or released_frames(base)
        kind, image_suffix = ("final_preview", ".tonemap.jpg") if self.image == "preview" else ("final_hdf5", ".color.hdf5")
        for folder in paths.matching(base, _FOLDERS):  # listed once each: there may be 75000 frames
            scene, camera = folder.parts[-3], folder.name.removeprefix("scene_").removesuffix("_geometry_hdf5")
            pictures = _names(folder.parent / f"scene_{camera}_{kind}", image_suffix)
            frames = sorted(_names(folder, ".semantic_instance.hdf5") & pictures)
            ids += [f"{scene}/{camera}/{frame.removeprefix('frame.')}" for frame in frames]
        return [i for i in ids if released is None or i in released]

    def _complete(self, base: Path, image_id: str) -> bool:
        places = files_of(image_id)
        image = places["preview" if self.image == "preview" else "color"]
        return (base / places["instances"]).is_file() and (base / image).is_file()

    def _build(self, base: Path, ids: Sequence[str], progress: Progress) -> list[ImageRecord]:
        records = []
        for done, image_id in enumerate(ids):
            progress(done, len(ids))
            places = files_of(image_id)
            n = count_or_one(self._count, base / places["instances"])
            if not self.max_instances or n <= self.max_instances:
                picture = base / places["preview" if self.image == "preview" else "color"]
                records.append(ImageRecord(image_id, n, image_id.partition("/")[0], str(picture)))
        return records

    def _count(self, path: Path) -> int:
        return count_instances(path, self.min_area_px)


def count_instances(path: Path, min_area_px: int = 1) -> int:
    """How many instances of at least so many pixels a frame's file has. Raises DataError naming the file."""
    values, areas = np.unique(_read(path, ndim=2), return_counts=True)
    return int(np.count_nonzero(areas[values != _NONE] >= min_area_px))


def files_of(image_id: str) -> dict[str, str]:
    """The files of a frame, by what they hold, below the folder of the scenes; the scene's archive has the same paths."""
    scene, camera, number = image_id.split("/")
    frame = f"{scene}/images/scene_{camera}_{{}}/frame.{number}.{{}}"
    return {
        "color": frame.format("final_hdf5", "color.hdf5"),
        "instances": frame.format("geometry_hdf5", "semantic_instance.hdf5"),
        "geometry": frame.format("geometry_hdf5", "render_entity_id.hdf5"),
        "preview": frame.format("final_preview", "tonemap.jpg"),
    }


def tonemap(color: FloatArray, valid: BoolArray) -> UInt8Array:
    """uint8 [H, W, 3] of linear colours float [H, W, 3], as the authors' scene_generate_images_tonemap.py makes it.

    The 90th percentile of the brightness of `valid` pixels [H, W] (those that hit something) becomes 0.8, then gamma 2.2. What is
    no finite number counts as 0, which the authors leave open.
    """
    rgb = np.nan_to_num(color.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    scale = 1.0
    if valid.any():
        brightness = (0.3 * rgb[:, :, 0] + 0.59 * rgb[:, :, 1] + 0.11 * rgb[:, :, 2])[valid]
        bright = float(np.percentile(brightness, 90))
        scale = 0.0 if bright < 1e-4 else 0.8**2.2 / bright
    shown = np.clip(np.maximum(scale * rgb, 0) ** (1 / 2.2), 0, 1)
    out: UInt8Array = (shown * 255).astype(np.uint8)
    return out


def _read_tonemapped(dataset: str, color_file: Path, geometry_file: Path, size: tuple[int, int]) -> UInt8Array:
    with naming(dataset):
        color, geometry = _read(color_file, ndim=3, kinds="f"), _read(geometry_file, ndim=2)
        for path, shape, expected in ((color_file, color.shape, (*size, 3)), (geometry_file, geometry.shape, size)):
            if shape != expected:
                raise DataError("a frame's files differ in size", where=path, expected=f"{list(expected)}", found=f"{list(shape)}")
    return tonemap(color, geometry != _NONE)


def _read(path: Path, *, ndim: int, kinds: str = "iu") -> npt.NDArray[Any]:
    """The array of an HDF5 file, whose one dataset is called 'dataset'. Raises DataError naming the file."""
    return read_hdf5(path, "dataset", ndim=ndim, kinds=kinds, what="a file of a frame")


def _names(folder: Path, suffix: str) -> set[str]:
    """What the files of a folder that end in `suffix` are called before it; nothing if there is no such folder."""
    try:
        return {n.removesuffix(suffix) for n in os.listdir(folder) if n.startswith("frame.") and n.endswith(suffix)}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _base(root: Path) -> Path | None:
    found = (root / t for t in _TREES)
    return next((b for b in found if any(p.is_dir() for p in b.glob("ai_???_???/images"))), None)


def released_frames(folder: Path) -> set[str] | None:
    """Ids of the released frames, of the authors' list if it is in the folder. Raises DataError if it is another file."""
    path = next((folder / place for place in _LISTS if (folder / place).is_file()), None)
    if path is None:
        return None
    try:
        with path.open(newline="", encoding="utf-8") as f:
            rows = [r for r in csv.DictReader(f) if r["included_in_public_release"] == "True"]
        return {f"{r['scene_name']}/{r['camera_name']}/{int(r['frame_id']):04d}" for r in rows}
    except (KeyError, ValueError, OSError, csv.Error) as e:
        expected = "columns scene_name, camera_name, frame_id and included_in_public_release"
        raise DataError("the list of released frames cannot be read", where=path, expected=expected, found=repr(e)) from e
