"""Videos in YouTube-VIS's JSON form, frame by frame: an image is one annotated frame, an object one instance in it.

    videos:      id, width, height, file_names [one a frame]
    annotations: id, video_id, category_id, segmentations [one a frame: RLE or null], iscrowd
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sambench.content import file_sha256
from sambench.errors import DataError
from sambench.loaders import images as image_files
from sambench.loaders.coco_file import json_object, naming, read_picture, wrong
from sambench.loaders.coco_masks import has_pixels, region_of
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.open import unknown_image
from sambench.loaders.pieces import Pieces, read_pieces
from sambench.masks import union
from sambench.types import CROWD, EMPTY, ImageRecord, Instance, Sample


@dataclass(frozen=True)
class YtVis:
    """Every (instance, frame) with a mask that is not empty is one object of that frame.

    image_id is the frame's file name without its suffix ('<video>/img_0000001'), object_id the annotation's id, which an
    instance keeps over its video; cluster_id is the video's folder. Crowds become the frame's ignore region. Frames without objects
    are not in the index.

    annotations: path below root, or several, of which the first that exists counts. frames: folder below root that file
    names are relative to, or several, the first that has the frame.
    """

    root: Path
    name: str
    variant: str = "default"
    annotations: str | Sequence[str] = "annotations.json"
    frames: str | Sequence[str] = ""

    @staticmethod
    def fits(root: Path, *, annotations: str | Sequence[str] = "annotations.json", **_: Any) -> bool:
        """Whether one of the accepted annotation files is here."""
        return any((root / a).is_file() for a in _listed(annotations))

    def index(self) -> Sequence[ImageRecord]:
        """Frames with objects, video by video in the file's order; the file is read once, then the counts are remembered."""
        return cached_index({"dataset": self.name, "frames": self.frames}, [self._annotation_file()], self._build)

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, missing frame or another size of it, or a broken mask."""
        content = self._content()
        if image_id not in content:
            raise unknown_image(self.name, image_id, list(content))
        video, name, objects = content[image_id]
        names = {c["id"]: str(c.get("name", c["id"])) for c in content.head["categories"]}
        path, size = self._frame_file(name), (video["height"], video["width"])
        instances, crowds, dropped = [], [], 0
        with naming(self.name):
            found = image_files.read_size(path)
            for annotation, segmentation in objects:
                where = f"annotation {annotation['id']}, frame {name} of {content.path}"
                region = region_of(segmentation, *size, where=where)
                if annotation.get("iscrowd"):
                    crowds.append(region)
                elif region.area:
                    category = annotation.get("category_id", "")
                    instances.append(Instance(str(annotation["id"]), region, category=names.get(category, str(category))))
                else:
                    dropped += 1
        if found != size:
            raise DataError(
                f"a frame of {self.name} has another size than its annotations",
                where=path,
                expected=f"{size[1]} x {size[0]} (width x height, video {video['id']} of {content.path.name})",
                found=f"{found[1]} x {found[0]}",
                remedy="compare the file with the official release: a resized copy does not fit its masks",
            )
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=tuple(instances),
            read=partial(read_picture, self.name, path, size),
            cluster_id=_video_name(image_id),
            ignore=union(crowds, *size) if crowds else None,
            left_out={EMPTY: dropped, CROWD: len(crowds)},
        )

    def annotation_digest(self) -> str:
        """sha256 of the annotation file."""
        return file_sha256(self._annotation_file())

    def _build(self, progress: Progress) -> list[ImageRecord]:
        content, records = self._content(), []
        for done, image_id in enumerate(content):
            if done % 100 == 0:
                progress(done, len(content))
            n, (video, name, objects) = 0, content[image_id]
            for annotation, segmentation in objects:
                try:
                    n += not annotation.get("iscrowd") and has_pixels(segmentation, video["height"], video["width"], where="")
                except DataError:
                    n += 1  # `load` will say what is wrong
            if n:
                path = self._frame_file(name)
                records.append(ImageRecord(image_id, n, _video_name(image_id), str(path)))
        return records

    def _content(self) -> Pieces:
        path = self._annotation_file()
        with naming(self.name):
            return read_pieces(path, split_ytvis)

    def _annotation_file(self) -> Path:
        candidates = [self.root / a for a in _listed(self.annotations)]
        found = next((p for p in candidates if p.is_file()), None)
        if found is None:
            raise DataError(
                f"the annotation file of {self.name} is missing",
                where=self.root,
                expected=" or ".join(map(str, candidates)),
                found="no such file",
                remedy=f"unpack the annotations again; sambench show dataset {self.name} says where they come from",
            )
        return found

    def _frame_file(self, name: str) -> Path:
        places = [self.root / folder / name for folder in _listed(self.frames)]
        likely = next((p for p in places if p.parent.is_dir()), places[0])
        return next((p for p in places if p.is_file()), likely)


def split_ytvis(path: Path, _key: str) -> tuple[dict[str, Any], Iterator[tuple[str, Any]]]:
    """Checked, and cut into [video record, file name, [(annotation, mask) ...]] of each frame; the head has the categories."""
    raw = json_object(path)
    lacking = [k for k in ("videos", "annotations") if not isinstance(raw.get(k), list)]
    if lacking:
        expected = "lists " + " and ".join(map(repr, lacking))
        remedy = "only the training split has annotations; the others are empty in the release" if "videos" in raw else None
        found = "keys " + ", ".join(map(repr, raw)) if raw else "an empty object"
        raise wrong("an annotation file is not in YouTube-VIS's form", path, expected, found, remedy)
    videos: dict[Any, dict[str, Any]] = {}
    frames: dict[str, tuple[dict[str, Any], int]] = {}
    for i, video in enumerate(raw["videos"]):
        _check_video(video, i, path)
        videos[video["id"]] = video
        for k, name in enumerate(video["file_names"]):
            image_id = name.rpartition(".")[0] or name
            if image_id in frames:
                raise wrong("a frame is listed twice", path, "file names that occur once", f"{name} again in video {video['id']}")
            frames[image_id] = (video, k)
    by_video: dict[Any, list[dict[str, Any]]] = {}
    for i, a in enumerate(raw["annotations"]):
        _check_annotation(a, i, videos, path)
        by_video.setdefault(a["video_id"], []).append(a)
    named = [c for c in raw.get("categories") or () if isinstance(c, dict) and "id" in c]
    return {"categories": named}, ((i, _frame(*at, by_video.get(at[0]["id"], []))) for i, at in frames.items())


def _frame(video: dict[str, Any], k: int, annotations: list[dict[str, Any]]) -> list[Any]:
    whole = {key: video[key] for key in ("id", "height", "width")}
    objects = [
        [{key: a[key] for key in ("id", "category_id", "iscrowd") if key in a}, a["segmentations"][k]]
        for a in annotations
        if a["segmentations"][k] is not None
    ]
    return [whole, video["file_names"][k], objects]


def _check_video(video: Any, i: int, path: Path) -> None:
    given = video if isinstance(video, dict) else {}
    names = given.get("file_names")
    texts = isinstance(names, list) and all(isinstance(n, str) for n in names)
    if "id" not in given or not texts or any(type(given.get(k)) is not int for k in ("height", "width")):
        expected = "id, height, width (integers) and file_names (texts)"
        raise wrong("a video record lacks a key", path, expected, f"videos[{i}]: {video!r:.160}")


def _check_annotation(a: Any, i: int, videos: dict[Any, dict[str, Any]], path: Path) -> None:
    if not isinstance(a, dict) or "id" not in a or a.get("video_id") not in videos:
        raise wrong("an annotation belongs to no video", path, "id, and a video_id of the file", f"annotations[{i}]: {a!r:.120}")
    n = len(videos[a["video_id"]]["file_names"])
    given = a.get("segmentations")
    if not isinstance(given, list) or len(given) != n:
        found = f"{len(given)} of them" if isinstance(given, list) else f"{given!r:.60}"
        remedy = "take the training annotations: those of the other splits come without masks"
        expected = f"segmentations, one for each of {n} frames"
        raise wrong("an annotation has no masks", path, expected, f"{found}, annotation {a['id']}", remedy)


def _video_name(image_id: str) -> str:
    return image_id.rpartition("/")[0] or image_id


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
