"""Images with noun phrases in the form of SA-Co (Gold, Silver): COCO's, where each record of `images` is one (image, phrase) pair.

    images:      id, file_name, text_input, width, height, is_instance_exhaustive
    annotations: id, image_id (of the pair), segmentation (RLE), iscrowd

Boxes and areas in these files are shares of the picture's sides, and are not read: masks say all. A pair without annotations is a
phrase of which the image has no instance. Source: scripts/eval/gold/README.md and scripts/eval/silver/README.md of the repository
facebookresearch/sam3, and its evaluator, sam3/eval/cgf1_eval.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sambench import provenance
from sambench.concepts import ConceptAnnotation, ConceptInstance, ConceptTruth
from sambench.errors import DataError
from sambench.files.content import file_sha256
from sambench.loaders import values
from sambench.loaders.clusters import Cluster, cluster_of
from sambench.loaders.coco_file import json_object, naming, read_picture, wrong
from sambench.loaders.coco_images import note_place
from sambench.loaders.coco_masks import region_of
from sambench.loaders.file_names import Place, locate, several
from sambench.loaders.open import unknown_image
from sambench.loaders.pieces import Pieces, read_pieces
from sambench.types import EMPTY, GROUP, ImageRecord, Sample


@dataclass(frozen=True)
class SacoPairs:
    """Pictures with all their phrases, each with the masks of one or more annotators.

    image_id is a picture's file_name, concept_id a pair's id. Masks with `iscrowd` are no instances: the authors' evaluator leaves
    them out too. A pair that is not instance-exhaustive for one annotator keeps its flag (`ConceptAnnotation.exhaustive`).

    annotations: one file an annotator, which hold the same pairs, in the order of the annotators; below root, or below one of the
    folders `base`, the first that has them all. images: folder below root, or several, the first that has the picture. subset: the
    domain's name. cluster: a regular expression searched in file_name, whose first group is the cluster_id (a video, say).
    """

    root: Path
    name: str
    variant: str = "default"
    annotations: str | Sequence[str] = ("annotations.json",)
    images: str | Sequence[str] = ""
    base: str | Sequence[str] = ""
    subset: str = ""
    cluster: Cluster = ""
    holds = "concepts"

    @staticmethod
    def fits(
        root: Path, *, annotations: str | Sequence[str] = ("annotations.json",), base: str | Sequence[str] = "", **_: Any
    ) -> bool:
        """Whether the annotation files of all annotators are here."""
        return any(all((root / b / a).is_file() for a in several(annotations)) for b in several(base))

    def index(self) -> Sequence[ImageRecord]:
        """Every picture of the file, in its order, with the number of its phrases."""
        first = self._contents()[0]
        counts: dict[str, int] = first.head["phrases"]
        return [ImageRecord(i, n, self._cluster(i), str(self._place(i).path)) for i, n in counts.items()]

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, a picture that is absent or of another size, files that differ in a pair, a broken mask."""
        contents = self._contents()
        if image_id not in contents[0]:
            raise unknown_image(self.name, image_id, list(contents[0]))
        with naming(self.name):
            place = self._place(image_id)
            path = place.checked()
            pairs = [_Pair(record, masks) for record, masks in contents[0][image_id]]
            size = (pairs[0].record["height"], pairs[0].record["width"])
            left_out: Counter[str] = Counter()
            others = [self._same_pairs(pairs, image_id, c, contents[0]) for c in contents[1:]]
            annotators = _told_apart([c.path.stem for c in contents])
            concepts = []
            for i, pair in enumerate(pairs):
                readings = [(pair, contents[0]), *((o[i], c) for o, c in zip(others, contents[1:], strict=True))]
                drawn = tuple(_annotation(p, c, size, who, left_out) for (p, c), who in zip(readings, annotators, strict=True))
                concepts.append(ConceptTruth(str(pair.record["id"]), pair.record["text_input"], drawn, self.subset))
        note_place(place)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=(),
            read=partial(read_picture, self.name, path, size),
            cluster_id=self._cluster(image_id),
            left_out=left_out,
            concepts=tuple(concepts),
        )

    def annotation_digest(self) -> str:
        """sha256 of the annotation file; of several, of their digests in order."""
        digests = [file_sha256(p) for p in self._files()]
        return digests[0] if len(digests) == 1 else provenance.digest(digests)

    def _same_pairs(self, pairs: Sequence[_Pair], image_id: str, content: Pieces, first: Pieces) -> list[_Pair]:
        """Another annotator's pairs of an image, in the order of the first's. Raises DataError where they are not the same."""
        pieces: list[Any] = [p for i in (image_id,) if i in content for p in content[i]]
        held = {r["id"]: _Pair(r, masks) for r, masks in pieces}
        for pair in pairs:
            other = held.get(pair.record["id"])
            if other is None or any(other.record[k] != pair.record[k] for k in ("text_input", "height", "width")):
                found = f"no such pair of {image_id}" if other is None else f"{values.shown(other.record, 160)}"
                raise DataError(
                    "two annotators' files do not hold the same pairs of image and phrase",
                    where=f"pair {pair.record['id']} of {content.path}",
                    expected=f"as in {first.path.name}: {pair.record['text_input']!r:.80}",
                    found=found,
                    of_release="fetch the files of all annotators again",
                )
        return [held[p.record["id"]] for p in pairs]

    def _contents(self) -> list[Pieces]:
        with naming(self.name):
            return [read_pieces(p, split_pairs) for p in self._files()]

    def _files(self) -> list[Path]:
        for base in several(self.base):
            files = [self.root / base / a for a in several(self.annotations)]
            if all(f.is_file() for f in files):
                return files
        names = ", ".join(several(self.annotations))
        folders = " or ".join(str(self.root / b) for b in several(self.base))
        lost = [a for a in several(self.annotations) if not any((self.root / b / a).is_file() for b in several(self.base))]
        raise DataError(
            f"an annotation file of {self.name} is missing",
            where=self.root,
            expected=f"{names} in {folders}",
            found=f"no {', '.join(lost)}" if lost else "they are not in one folder",
            of_release="fetch the annotations again",
        )

    def _place(self, file_name: str) -> Place:
        names = [(self.root / folder, file_name) for folder in several(self.images)]
        return locate(names, self.root, where=f"file_name {file_name} of {self.name}")

    def _cluster(self, file_name: str) -> str:
        return cluster_of(self.cluster, file_name)


@dataclass(frozen=True)
class _Pair:
    """One record of `images`, and its annotations."""

    record: dict[str, Any]
    masks: list[dict[str, Any]]


def _annotation(pair: _Pair, content: Pieces, size: tuple[int, int], annotator: str, left_out: Counter[str]) -> ConceptAnnotation:
    instances = []
    for a in pair.masks:
        region = region_of(a["segmentation"], *size, where=f"annotation {a['id']} of {content.path}")
        if a["iscrowd"] or not region.area:
            left_out[GROUP if a["iscrowd"] else EMPTY] += 1
        else:
            instances.append(ConceptInstance.of(region))
    return ConceptAnnotation(tuple(instances), pair.record["is_instance_exhaustive"], annotator)


def _told_apart(stems: Sequence[str]) -> list[str]:
    """File names without what they have in common, by which annotators are called: "a", "b" and "c" of Gold's files."""
    if len(stems) == 1:
        return [""]
    begin = _common(stems)
    end = _common([s[begin:][::-1] for s in stems])
    return [s[begin : len(s) - end] or s for s in stems]


def _common(texts: Sequence[str]) -> int:
    """How many characters all begin with."""
    same = (len(set(column)) == 1 for column in zip(*texts, strict=False))
    return next((i for i, s in enumerate([*same, False]) if not s))


def split_pairs(path: Path, _key: str) -> tuple[dict[str, Any], Iterator[tuple[str, Any]]]:
    """Checked, made plain, and cut into [[pair, annotations], ...] of each picture; the head has the number of each picture's
    phrases."""
    raw = json_object(path)
    lacking = [k for k in ("images", "annotations") if not isinstance(raw.get(k), list)]
    if lacking:
        found = "keys " + values.shown([*raw], 200) if raw else "an empty object"
        raise wrong("an annotation file is not in SA-Co's form", path, "lists " + " and ".join(map(repr, lacking)), found)
    masks: dict[int | str, list[dict[str, Any]]] = {}
    written: dict[int | str, Any] = {}
    by_file: dict[str, list[Any]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for i, record in enumerate(raw["images"]):
        where, given = f"images[{i}] of {path}", record.get("id") if isinstance(record, dict) else None
        pair = _plain_pair(record, where)
        if pair["id"] in masks:
            raise values.twice("images", written[pair["id"]], given, where)
        masks[pair["id"]], written[pair["id"]] = [], given
        size = (pair["height"], pair["width"])
        if sizes.setdefault(pair["file_name"], size) != size:
            raise wrong("one image has two sizes", path, f"{sizes[pair['file_name']]} (height, width)", f"{size} in {where}")
        by_file.setdefault(pair["file_name"], []).append([pair, masks[pair["id"]]])
    for i, a in enumerate(raw["annotations"]):
        plain = _plain_annotation(a, f"annotations[{i}] of {path}")
        if plain["image_id"] not in masks:
            found = f"image_id {values.shown(plain['image_id'])}, not among the {len(masks)} pairs"
            raise wrong("an annotation belongs to no pair", path, "ids of the file's images", f"annotations[{i}]: {found}")
        masks[plain["image_id"]].append(plain)
    return {"phrases": {name: len(pairs) for name, pairs in by_file.items()}}, iter(by_file.items())


def _plain_pair(record: Any, where: str) -> dict[str, Any]:
    needed = ("id", "file_name", "text_input", "width", "height", "is_instance_exhaustive")
    lost = [k for k in needed if not isinstance(record, dict) or k not in record]
    if lost:
        remedy = "a file of COCO's form without phrases is read as coco:FILE" if "text_input" in lost else None
        found = f"no {', '.join(lost)} in {values.shown(record, 160)}"
        message = "a pair of image and phrase lacks a key"
        raise DataError(message, where=where, expected=", ".join(needed), found=found, remedy=remedy)
    return {
        "id": values.plain_id(record["id"], "id", where),
        "file_name": values.text(record["file_name"], "file_name", where),
        "text_input": values.text(record["text_input"], "text_input", where),
        "width": values.whole(record["width"], "width", where, low=1),
        "height": values.whole(record["height"], "height", where, low=1),
        "is_instance_exhaustive": values.flag(record["is_instance_exhaustive"], "is_instance_exhaustive", where),
    }


def _plain_annotation(a: Any, where: str) -> dict[str, Any]:
    if not isinstance(a, dict) or "image_id" not in a or "id" not in a:
        raise DataError("an annotation lacks a key", where=where, expected="id and image_id", found=values.shown(a, 120))
    crowd = a.get("iscrowd", a.get("is_crowd"))  # the README's prose says is_crowd, its sample iscrowd
    return {
        "id": values.plain_id(a["id"], "id", where),
        "image_id": values.plain_id(a["image_id"], "image_id", where),
        "segmentation": a.get("segmentation"),
        "iscrowd": values.flag(crowd, "iscrowd", where),
    }

