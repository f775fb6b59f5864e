"""Frames of videos with noun phrases in the form of SA-Co/VEval: YouTube-VIS's, with a list of all (video, phrase) pairs.

    videos:         id, width, height, file_names [one a frame]
    annotations:    id, video_id, category_id, segmentations [one a frame: RLE or null], iscrowd
    categories:     id, name (the phrase)
    video_np_pairs: id, video_id, category_id, noun_phrase, num_masklets (0: the video has no instance)

Each frame is a picture that is asked for all phrases of its video; of a phrase it has the instances whose mask in that frame is not
null. Source: scripts/eval/veval/README.md of the repository facebookresearch/sam3, and the file with one video among its assets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sambench.concepts import ConceptAnnotation, ConceptInstance, ConceptTruth
from sambench.errors import DataError, UsageError
from sambench.files.content import file_sha256
from sambench.loaders import values
from sambench.loaders.coco_file import json_object, naming, plain_categories, read_picture, wrong
from sambench.loaders.coco_images import note_place
from sambench.loaders.coco_masks import region_of
from sambench.loaders.file_names import Place, annotation_file, locate, several
from sambench.loaders.open import unknown_image
from sambench.loaders.pieces import Pieces, read_pieces
from sambench.loaders.ytvis import frame_id, plain_track, plain_video, video_of
from sambench.types import EMPTY, GROUP, ImageRecord, Sample


@dataclass(frozen=True)
class SacoFrames:
    """Every frame with the phrases of its video.

    image_id is the frame's file name without its suffix, concept_id the id of the (video, phrase) pair, cluster_id the video's
    folder. annotations: path below root, or several, of which the first that exists counts. frames: folder below root that file
    names are relative to, or several, the first that has the frame. every: the index has each so-manieth frame of a video, from
    its first on. subset: the domain's name.
    """

    root: Path
    name: str
    variant: str = "default"
    annotations: str | Sequence[str] = "annotations.json"
    frames: str | Sequence[str] = ""
    every: int = 1
    subset: str = ""
    holds = "concepts"

    def __post_init__(self) -> None:
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            expected = "a whole number from 1 on"
            raise UsageError("an option does not fit", where=f"every of {self.name}", expected=expected, found=repr(self.every))

    @staticmethod
    def fits(root: Path, *, annotations: str | Sequence[str] = "annotations.json", **_: Any) -> bool:
        """Whether one of the accepted annotation files is here."""
        return any((root / a).is_file() for a in several(annotations))

    def index(self) -> Sequence[ImageRecord]:
        """The chosen frames, video by video in the file's order, each with the number of its phrases."""
        content = self._content()
        chosen = [(name, n) for names, n in content.head["videos"] for name in names[:: self.every]]
        return [ImageRecord(frame_id(f), n, video_of(frame_id(f)), str(self._place(f, content).path)) for f, n in chosen]

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, missing frame or another size of it, or a broken mask."""
        content = self._content()
        if image_id not in content:
            raise unknown_image(self.name, image_id, list(content))
        (height, width), name, pairs, tracks = content[image_id]
        left_out: Counter[str] = Counter()
        drawn: dict[int | str, list[ConceptInstance]] = {}
        with naming(self.name):
            place = self._place(name, content)
            path = place.checked()
            for track, category, crowd, segmentation in tracks:
                region = region_of(segmentation, height, width, where=f"annotation {track}, frame {name} of {content.path}")
                if crowd or not region.area:
                    left_out[GROUP if crowd else EMPTY] += 1
                else:
                    drawn.setdefault(category, []).append(ConceptInstance.of(region))
        note_place(place)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=height,
            width=width,
            instances=(),
            read=partial(read_picture, self.name, path, (height, width)),
            cluster_id=video_of(image_id),
            left_out=left_out,
            concepts=tuple(
                ConceptTruth(str(i), phrase, (ConceptAnnotation(tuple(drawn.get(category, ()))),), self.subset)
                for i, category, phrase in pairs
            ),
        )

    def annotation_digest(self) -> str:
        """sha256 of the annotation file."""
        return file_sha256(self._annotation_file())

    def _content(self) -> Pieces:
        with naming(self.name):
            return read_pieces(self._annotation_file(), split_frames)

    def _annotation_file(self) -> Path:
        candidates = [self.root / a for a in several(self.annotations)]
        return annotation_file(candidates, self.root, dataset=self.name, of_release="fetch the annotations again")

    def _place(self, name: str, content: Pieces) -> Place:
        names = [(self.root / folder, name) for folder in several(self.frames)]
        return locate(names, self.root, where=f"frame {name} of {content.path}")


def split_frames(path: Path, _key: str) -> tuple[dict[str, Any], Iterator[tuple[str, Any]]]:
    """Checked, made plain, and cut into [(height, width), file name, [(pair, category, phrase) ...], [(annotation, category, crowd,
    mask) ...]] of each frame; the head has each video's file names and its number of phrases."""
    raw = json_object(path)
    needed = ("videos", "annotations", "video_np_pairs")
    lacking = [k for k in needed if not isinstance(raw.get(k), list)]
    if lacking:
        found = "keys " + values.shown([*raw], 200) if raw else "an empty object"
        raise wrong("an annotation file is not in SA-Co/VEval's form", path, "lists " + " and ".join(map(repr, lacking)), found)
    videos: dict[int | str, dict[str, Any]] = {}
    frames: dict[str, tuple[dict[str, Any], int]] = {}
    for i, video in enumerate(raw["videos"]):
        where = f"videos[{i}] of {path}"
        plain = plain_video(video, where)
        if plain["id"] in videos:
            raise values.twice("videos", plain["id"], plain["id"], where)
        if not (plain["height"] and plain["width"]):
            found = f"{plain['height']} x {plain['width']} in {where}"
            raise wrong("a video has no size", path, "height and width in pixels", found)
        videos[plain["id"]] = plain
        for k, name in enumerate(plain["file_names"]):
            if frame_id(name) in frames:
                raise wrong("a frame is listed twice", path, "file names that occur once", f"{name} again in {where}")
            frames[frame_id(name)] = (plain, k)
    pairs = _pairs(raw, path, videos)
    tracks = _tracks(raw, path, videos, pairs)
    head = {"videos": [[v["file_names"], len(pairs[i])] for i, v in videos.items()]}
    return head, ((i, _frame(*at, pairs[at[0]["id"]], tracks[at[0]["id"]])) for i, at in frames.items())


def _frame(video: dict[str, Any], k: int, pairs: list[Any], tracks: list[dict[str, Any]]) -> list[Any]:
    there = [a for a in tracks if not values.absent(a["segmentations"][k])]
    drawn = [[a["id"], a["category_id"], bool(a.get("iscrowd")), a["segmentations"][k]] for a in there]
    return [[video["height"], video["width"]], video["file_names"][k], pairs, drawn]


def _pairs(raw: dict[str, Any], path: Path, videos: dict[int | str, Any]) -> dict[int | str, list[Any]]:
    """[(pair, category, phrase) ...] by video, checked against the categories' names as the authors' reader does."""
    names = {c["id"]: c.get("name") for c in plain_categories(raw.get("categories"), path)}
    out: dict[int | str, list[Any]] = {i: [] for i in videos}
    seen: set[int | str] = set()
    for i, pair in enumerate(raw["video_np_pairs"]):
        where = f"video_np_pairs[{i}] of {path}"
        if not isinstance(pair, dict):
            raise DataError("a pair of video and phrase is no record", where=where, expected="an object", found=values.shown(pair))
        key, video, category = (values.plain_id(pair.get(k), k, where) for k in ("id", "video_id", "category_id"))
        phrase = values.text(pair.get("noun_phrase"), "noun_phrase", where)
        if key in seen:
            raise values.twice("video_np_pairs", key, key, where)
        seen.add(key)
        if video not in out:
            found = f"video_id {video}, not among the {len(out)} videos"
            raise wrong("a pair of video and phrase belongs to no video", path, "ids of the file's videos", f"{where}: {found}")
        if names.get(category, phrase) != phrase:
            expected, found = f"{values.shown(names[category])} (category {category})", f"{phrase!r} in {where}"
            raise wrong("a phrase is not its category's name", path, expected, found)
        out[video].append([key, category, phrase])
    return out


def _tracks(
    raw: dict[str, Any], path: Path, videos: dict[int | str, Any], pairs: dict[int | str, list[Any]]
) -> dict[int | str, list[dict[str, Any]]]:
    out: dict[int | str, list[dict[str, Any]]] = {i: [] for i in videos}
    asked = {i: {category for _, category, _ in held} for i, held in pairs.items()}
    seen: set[int | str] = set()
    for i, a in enumerate(raw["annotations"]):
        where = f"annotations[{i}] of {path}"
        plain = plain_track(a, where, videos)
        if plain["id"] in seen:
            raise values.twice("annotations", plain["id"], plain["id"], where)
        seen.add(plain["id"])
        if plain.get("category_id") not in asked[plain["video_id"]]:
            found = f"category {plain.get('category_id')} of video {plain['video_id']} in {where}, which is not among them"
            raise wrong("an instance belongs to no phrase of its video", path, "a category of video_np_pairs", found)
        out[plain["video_id"]].append(plain)
    return out

