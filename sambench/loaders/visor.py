"""EPIC-KITCHENS VISOR, sparse annotations: one JSON a video, and its frames zipped as deposited, or unpacked.

    <root>/[2v6cgv1x04ol22qp9rm9x2j6a7/][GroundTruth-SparseAnnotations/]
        annotations/<split>/<video>.json
        rgb_frames/<split>/<Pxx>/<video>.zip, or <video>/<video>_frame_<10 digits>.jpg
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from sambench.errors import DataError
from sambench.files import content
from sambench.files.picture import decode, opened_bytes
from sambench.loaders import images as image_files
from sambench.loaders import values
from sambench.loaders.coco_file import json_object, naming, read_picture, wrong
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.open import unknown_image
from sambench.loaders.polygons import fill_even_odd, integer_points
from sambench.pixels.region import Region
from sambench.types import EMPTY, ImageRecord, Instance, Sample, UInt8Array

_INNER = "GroundTruth-SparseAnnotations"
_TREES = ("", _INNER, f"2v6cgv1x04ol22qp9rm9x2j6a7/{_INNER}")
_HEIGHT, _WIDTH = 1080, 1920  # the frame that the sparse annotations are in, whatever the size of the pictures
_FAR = 1 << 15  # no coordinate of a picture is that large
_LARGEST = 1 << 28  # bytes of a frame
# What zipfile raises on members that are cut, encrypted or packed in another way.
_BROKEN_ZIP = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile)
_WORDS = ("class_id", "exhaustive", "in_contact_object", "on_which_hand")


@dataclass(frozen=True)
class Visor:
    """Every entity of a frame is one mask: its polygons filled in one call of OpenCV, so that an inner one cuts a hole.

    image_id is '<video>/<frame>', cluster_id the video, object_id the entity's id, the category its name. Entities without points
    are dropped and counted. Polygons are in 1920 x 1080 and are scaled to pictures of another size.
    """

    root: Path
    name: str
    variant: str = "default"
    split: str = "val"

    @staticmethod
    def fits(root: Path, split: str = "val") -> bool:
        """Whether the split's annotations are here."""
        return _base(root, split) is not None

    def index(self) -> Sequence[ImageRecord]:
        """Frames with masks, by video; the files are read once, then the counts are remembered."""
        return cached_index({"dataset": self.name, "split": self.split}, self._files(), self._build)

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no such frame, or a broken entity."""
        video, _, stem = image_id.partition("/")
        source = self._place() / "annotations" / self.split / f"{video}.json"
        frames = self._frames(source) if video and source.is_file() else {}
        if stem not in frames:
            raise unknown_image(self.name, image_id, [r.image_id for r in self.index()])
        name, entities = frames[stem]
        with naming(self.name):
            frame = self._frame(video, name)
            size = frame.size()
            regions = [_fill(e, size, f"entity {e['id']} of {name} in {source}") for e in entities]
        instances: list[Instance] = []
        seen: set[str] = set()
        for entity, region in zip(entities, regions, strict=True):
            if region.area:
                object_id = entity["id"] if entity["id"] not in seen else f"{entity['id']}#{len(seen)}"
                seen.add(object_id)
                instances.append(Instance(object_id, region, category=_name(entity), attributes=_words(entity)))
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=tuple(instances),
            read=partial(frame.read, self.name, size),
            cluster_id=video,
            left_out={EMPTY: len(entities) - len(instances)},
        )

    def annotation_digest(self) -> str:
        """Over the sha256 of the split's annotation files."""
        return content.files_digest({f.name: f for f in self._files()}, self.name)

    def _build(self, progress: Progress) -> list[ImageRecord]:
        files, records = self._files(), []
        for done, source in enumerate(files):
            progress(done, len(files))
            for stem, (name, entities) in self._frames(source).items():
                n = sum(map(_has_pixels, entities))
                if n:
                    records.append(ImageRecord(f"{source.stem}/{stem}", n, source.stem, self._frame(source.stem, name).file()))
        return records

    def _frames(self, source: Path) -> dict[str, tuple[str, list[dict[str, Any]]]]:
        with naming(self.name):
            return _parsed(source, content.file_sha256(source))

    def _files(self) -> list[Path]:
        folder = self._place() / "annotations" / self.split
        files = sorted(p for p in folder.iterdir() if p.suffix == ".json" and not p.name.startswith("."))
        if not files:
            message, again = f"there are no annotations of {self.name}", "unpack them again"
            raise wrong(message, folder, "<video>.json", "no such file", of_release=again)
        return files

    def _place(self) -> Path:
        base = _base(self.root, self.split)
        if base is None:
            expected = f"annotations/{self.split} with <video>.json"
            message, of_release = f"the files of {self.name} are not here", "unpack the deposit again"
            raise DataError(message, where=self.root, expected=expected, of_release=of_release)
        return base

    def _frame(self, video: str, name: str) -> _Frame:
        folder = self._place() / "rgb_frames" / self.split / video.partition("_")[0]
        return _Frame(folder / video / name, folder / f"{video}.zip")


@dataclass(frozen=True)
class _Frame:
    """A picture as a file, or as the member of that name in a zip."""

    path: Path
    archive: Path

    def size(self) -> tuple[int, int]:
        """(height, width)."""
        if self.path.is_file() or not self.archive.is_file():
            return image_files.read_size(self.path)
        height, width, _ = self._decoded().shape
        return height, width

    def read(self, dataset: str, size: tuple[int, int]) -> UInt8Array:
        """uint8 [H, W, 3], RGB."""
        if self.path.is_file() or not self.archive.is_file():
            return read_picture(dataset, self.path, size)
        with naming(dataset):
            return self._decoded()

    def file(self) -> str:
        """The picture's file, or the archive that holds it."""
        return str(self.archive if self.archive.is_file() and not self.path.is_file() else self.path)

    def _decoded(self) -> UInt8Array:
        where = f"{self.archive}, {self.path.name}"
        try:
            member = _members(self.archive).get(self.path.name)
            if member is None:
                found = "no such member"
                raise DataError("an image file is missing", where=where, found=found)
            if member.file_size > _LARGEST:
                raise ValueError(f"{member.file_size:,} bytes, more than any frame has")
            with zipfile.ZipFile(self.archive) as opened:
                raw = opened.read(member)
            with opened_bytes(raw, where) as image:
                return np.array(decode(where, image).convert("RGB"))
        except _BROKEN_ZIP as e:
            raise DataError(
                "an image in an archive is truncated or damaged",
                where=where,
                expected="a complete JPEG",
                found=str(e) or type(e).__name__,
                of_release="fetch this archive again",
            ) from e


def _members(archive: Path) -> dict[str, zipfile.ZipInfo]:
    try:
        return _listed(archive, content.stamp(archive))
    except _BROKEN_ZIP as e:
        raise DataError(
            "an archive of frames is damaged", where=archive, expected="a zip", found=str(e), of_release="fetch this archive again"
        ) from e


@lru_cache(maxsize=8)
def _listed(archive: Path, _stamp: content.Stamp) -> dict[str, zipfile.ZipInfo]:
    """Members by file name, whatever their folder."""
    with zipfile.ZipFile(archive) as opened:
        return {PurePosixPath(m.filename).name: m for m in opened.infolist() if not m.is_dir()}


def _base(root: Path, split: str) -> Path | None:
    return next((b for b in (root / t for t in _TREES) if (b / "annotations" / split).is_dir()), None)


@lru_cache(maxsize=4)
def _parsed(path: Path, _sha256: str) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """(file name, entities) by the frame's stem."""
    frames = json_object(path).get("video_annotations")
    if not isinstance(frames, list):
        raise wrong("an annotation file is not of the sparse annotations", path, "a list 'video_annotations'", "none")
    found: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    for i, frame in enumerate(frames):
        where = f"video_annotations[{i}] of {path}"
        image, entities = (frame.get("image"), frame.get("annotations")) if isinstance(frame, dict) else (None, None)
        if not isinstance(image, dict) or "name" not in image or not isinstance(entities, list):
            expected = "image.name and annotations"
            raise DataError("a frame lacks a key", where=where, expected=expected, found=values.shown(frame, 120))
        name = values.text(image["name"], "image.name", where)
        for entity in entities:
            if not isinstance(entity, dict) or "id" not in entity or "segments" not in entity:
                held = f"{name}: {values.shown(entity, 120)}"
                raise DataError("an entity lacks a key", where=where, expected="id and segments", found=held)
            entity["id"] = str(values.plain_id(entity["id"], "id of an entity", where))
        stem = PurePosixPath(name).stem
        if stem in found:
            raise wrong("a frame is listed twice", path, "names that occur once", name)
        found[stem] = (name, entities)
    return found


def _name(entity: dict[str, Any]) -> str:
    name = entity.get("name", "")
    return name if isinstance(name, str) else values.shown(name)


def _words(entity: dict[str, Any]) -> dict[str, str]:
    """What is said of an entity beside its name, as texts; its class by its id, in whatever type that is written."""
    given = {k: entity[k] for k in _WORDS if entity.get(k) is not None}
    if isinstance(given.get("class_id"), int | float | str) and not isinstance(given["class_id"], bool):
        given["class_id"] = values.plain_id(given["class_id"], "class_id", f"entity {entity['id']}")
    return {k: values.shown(v) if isinstance(v, list | dict) else str(v) for k, v in given.items()}


def _fill(entity: dict[str, Any], size: tuple[int, int], where: str) -> Region:
    scale = (size[1] / _WIDTH, size[0] / _HEIGHT)
    expected = "segments, a list of polygons [[x, y], ...] near the frame"
    try:
        if not isinstance(entity["segments"], list):
            raise DataError("", found=values.shown(entity["segments"]))
        polygons = [values.points(points, "segments", where) for points in entity["segments"]]
        far = next((c for p in polygons for xy in p for c in xy if abs(c) >= _FAR), None)
        if far is not None:
            raise DataError("", found=f"{far:g}, a coordinate far outside the frame")
    except DataError as e:
        raise DataError("an entity has a broken polygon", where=where, expected=expected, found=e.found) from e
    return fill_even_odd([integer_points(points, scale) for points in polygons], *size, where=where)


def _has_pixels(entity: dict[str, Any]) -> bool:
    try:
        return _fill(entity, (_HEIGHT, _WIDTH), "").area > 0
    except DataError:
        return True  # `load` will say what is wrong
