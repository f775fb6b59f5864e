"""Videos in YouTube-VIS's JSON form, frame by frame: an image is one annotated frame, an object one instance in it.

    videos:      id, width, height, file_names [one a frame]
    annotations: id, video_id, category_id, segmentations [one a frame: RLE or null], iscrowd
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sambench.errors import DataError
from sambench.files.content import file_sha256
from sambench.loaders import values
from sambench.loaders.coco_file import category_name, json_object, naming, plain_categories, plain_kind, wrong
from sambench.loaders.coco_images import check_crowds, note_place, only_crowds, stated_frame, stated_size
from sambench.loaders.coco_masks import has_pixels, region_of, why_empty
from sambench.loaders.file_names import Place, annotation_file, locate, several
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.open import unknown_image
from sambench.loaders.pieces import Pieces, read_pieces
from sambench.loaders.turned import Orientation, frame_of, read_turned
from sambench.pixels.region import union
from sambench.types import CROWD, ImageRecord, Instance, Sample


@dataclass(frozen=True)
class YtVis:
    """Every (instance, frame) with a mask that is not empty is one object of that frame.

    image_id is the frame's file name without its suffix ('<video>/img_0000001'), object_id the annotation's id, which an
    instance keeps over its video; cluster_id is the video's folder. Crowds become the frame's ignore region. Frames without objects
    are not in the index. Values of other types that say the same are taken as `CocoJson` takes them; so are file names, and sizes
    that are absent or -1.

    annotations: path below root, or several, of which the first that exists counts. frames: folder below root that file
    names are relative to, or several, the first that has the frame. crowds, orientation: as `CocoJson` has them.
    """

    root: Path
    name: str
    variant: str = "default"
    annotations: str | Sequence[str] = "annotations.json"
    frames: str | Sequence[str] = ""
    crowds: Literal["ignore", "objects"] = "ignore"
    orientation: Orientation = "stored"

    def __post_init__(self) -> None:
        check_crowds(self.crowds, self.name)

    @staticmethod
    def fits(root: Path, *, annotations: str | Sequence[str] = "annotations.json", **_: Any) -> bool:
        """Whether one of the accepted annotation files is here."""
        return any((root / a).is_file() for a in several(annotations))

    def index(self) -> Sequence[ImageRecord]:
        """Frames with objects, video by video in the file's order; the file is read once, then the counts are remembered."""
        key = {"dataset": self.name, "frames": self.frames, "crowds": self.crowds, "orientation": self.orientation}
        return cached_index(key, [self._annotation_file()], self._build)

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, missing frame or another size of it, or a broken mask."""
        content = self._content()
        if image_id not in content:
            raise unknown_image(self.name, image_id, list(content))
        video, name, objects = content[image_id]
        names = {c["id"]: category_name(c) for c in content.head["categories"]}
        instances, crowds, dropped = [], [], Counter[str]()
        with naming(self.name):
            place = self._place(name, content.path)
            path = place.checked()
            where = f"video {video['id']} of {content.path.name}"
            frame = stated_frame(path, video, self.orientation, f"frame of {self.name}", where)
            size = frame.size
            for annotation, segmentation in objects:
                where = f"annotation {annotation['id']}, frame {name} of {content.path}"
                region = region_of(segmentation, *size, where=where)
                if self._is_crowd(annotation):
                    crowds.append(region)
                elif region.area:
                    category = annotation.get("category_id")
                    name_of = names.get(category, "" if category is None else str(category))
                    instances.append(Instance(str(annotation["id"]), region, category=name_of))
                else:
                    dropped[why_empty(segmentation, None)] += 1
        note_place(place)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=tuple(instances),
            read=partial(read_turned, self.name, path, frame.turn),
            cluster_id=video_of(image_id),
            ignore=union(crowds, *size) if crowds else None,
            left_out=dropped | Counter({CROWD: len(crowds)}),
        )

    def annotation_digest(self) -> str:
        """sha256 of the annotation file."""
        return file_sha256(self._annotation_file())

    def _build(self, progress: Progress) -> list[ImageRecord]:
        content, records, n_crowds, n_objects = self._content(), [], 0, 0
        for done, image_id in enumerate(content):
            if done % 100 == 0:
                progress(done, len(content))
            video, name, objects = content[image_id]
            there = [segmentation for annotation, segmentation in objects if not self._is_crowd(annotation)]
            n_crowds, n_objects = n_crowds + len(objects) - len(there), n_objects + len(there)
            n = self._count(video, name, there, content.path) if there else 0
            if n:
                path = self._place(name, content.path).path
                records.append(ImageRecord(image_id, n, video_of(image_id), str(path)))
        if n_crowds and not n_objects:
            raise only_crowds(self.name, content.path, n_crowds)
        return records

    def _count(self, video: dict[str, Any], name: str, segmentations: list[Any], source: Path) -> int:
        try:
            size = stated_size(video) or frame_of(self._place(name, source).path, self.orientation).size
        except DataError:
            return len(segmentations)  # `load` will say what is wrong
        n = 0
        for segmentation in segmentations:
            try:
                n += has_pixels(segmentation, *size, where="")
            except DataError:
                n += 1
        return n

    def _is_crowd(self, annotation: dict[str, Any]) -> bool:
        return self.crowds == "ignore" and bool(annotation.get("iscrowd"))

    def _content(self) -> Pieces:
        path = self._annotation_file()
        with naming(self.name):
            return read_pieces(path, split_ytvis)

    def _annotation_file(self) -> Path:
        candidates = [self.root / a for a in several(self.annotations)]
        return annotation_file(candidates, self.root, dataset=self.name, of_release="unpack the annotations again")

    def _place(self, name: str, source: Path) -> Place:
        names = [(self.root / folder, name) for folder in several(self.frames)]
        return locate(names, self.root, where=f"frame {name} of {source}", beside=source.parent)


def split_ytvis(path: Path, _key: str) -> tuple[dict[str, Any], Iterator[tuple[str, Any]]]:
    """Checked, its ids, sizes and flags made plain, and cut into [video record, file name, [(annotation, mask) ...]] of each frame;
    the head has the categories."""
    raw = json_object(path)
    lacking = [k for k in ("videos", "annotations") if not isinstance(raw.get(k), list)]
    if lacking:
        expected = "lists " + " and ".join(map(repr, lacking))
        of_release = "take the training split: the others have no annotations in the release" if "videos" in raw else None
        found = "keys " + values.shown([*raw], 200) if raw else "an empty object"
        raise wrong("an annotation file is not in YouTube-VIS's form", path, expected, found, of_release=of_release)
    videos: dict[int | str, dict[str, Any]] = {}
    written: dict[int | str, Any] = {}
    frames: dict[str, tuple[dict[str, Any], int]] = {}
    for i, video in enumerate(raw["videos"]):
        where = f"videos[{i}] of {path}"
        given = video.get("id") if isinstance(video, dict) else None
        key = plain_video(video, where)["id"]
        if key in videos:
            raise values.twice("videos", written[key], given, where)
        videos[key], written[key] = video, given
        for k, name in enumerate(video["file_names"]):
            image_id = frame_id(name)
            if image_id in frames:
                raise wrong("a frame is listed twice", path, "file names that occur once", f"{name} again in video {video['id']}")
            frames[image_id] = (video, k)
    by_video: dict[int | str, list[dict[str, Any]]] = {}
    seen: dict[int | str, Any] = {}
    for i, a in enumerate(raw["annotations"]):
        given = a.get("id") if isinstance(a, dict) else None
        key = plain_track(a, f"annotations[{i}] of {path}", videos)["id"]
        if key in seen:
            raise values.twice("annotations", seen[key], given, f"annotations[{i}] of {path}")
        seen[key] = given
        by_video.setdefault(a["video_id"], []).append(a)
    head = {"categories": plain_categories(raw.get("categories"), path)}
    return head, ((i, _frame(*at, by_video.get(at[0]["id"], []))) for i, at in frames.items())


def _frame(video: dict[str, Any], k: int, annotations: list[dict[str, Any]]) -> list[Any]:
    whole = {key: video[key] for key in ("id", "height", "width")}
    objects = [
        [{key: a[key] for key in ("id", "category_id", "iscrowd") if key in a}, a["segmentations"][k]]
        for a in annotations
        if not values.absent(a["segmentations"][k])
    ]
    return [whole, video["file_names"][k], objects]


def plain_video(video: Any, where: str) -> dict[str, Any]:
    """A video's record, its id, file names and sizes made plain. Raises DataError."""
    if not isinstance(video, dict) or not isinstance(video.get("file_names"), list) or "id" not in video:
        expected = "id and file_names (a list of texts)"
        raise DataError("a video record lacks a key", where=where, expected=expected, found=values.shown(video, 160))
    video["id"] = values.plain_id(video["id"], "id", where)
    for name in video["file_names"]:
        values.text(name, "file_names", where)
    for key in ("height", "width"):
        video[key] = values.side(video.get(key), key, where)
    return video


def plain_track(a: Any, where: str, videos: Mapping[int | str, dict[str, Any]]) -> dict[str, Any]:
    """An annotation's record made plain, with a mask or null for every frame of its video. Raises DataError."""
    if not isinstance(a, dict) or "id" not in a or "video_id" not in a:
        raise DataError("an annotation lacks a key", where=where, expected="id and video_id", found=values.shown(a, 120))
    a["id"], a["video_id"] = values.plain_id(a["id"], "id", where), values.plain_id(a["video_id"], "video_id", where)
    plain_kind(a, where)
    if a["video_id"] not in videos:
        found = f"video_id {values.shown(a['video_id'])}, not among the {len(videos)} videos"
        raise DataError("an annotation belongs to no video", where=where, expected="a video_id of the file", found=found)
    n = len(videos[a["video_id"]]["file_names"])
    given = a.get("segmentations")
    if not isinstance(given, list) or len(given) != n:
        found = f"{len(given)} of them" if isinstance(given, list) else values.shown(given, 60)
        remedy = "take the training annotations: those of the other splits come without masks"
        expected = f"segmentations, one for each of {n} frames"
        raise DataError("an annotation has no masks", where=where, expected=expected, found=found, remedy=remedy)
    return a


def frame_id(name: str) -> str:
    """The frame's name without its suffix."""
    plain = name.replace("\\", "/")
    return plain.rpartition(".")[0] or plain


def video_of(image_id: str) -> str:
    """The folder of a frame."""
    return image_id.rpartition("/")[0] or image_id

