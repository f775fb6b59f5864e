"""Any dataset in COCO's JSON form: polygons, compressed and uncompressed RLE, crowds.

A user's own card can name this reader:

    reader = "sambench.loaders.coco:CocoJson"
    [options]
    annotations = "annotations/instances_val.json"    # or a list of accepted places, the first that exists
    images = "val"                                     # a folder, or a template: "val/{id:012d}.jpg"

What is wrong with the file as a whole (truncated, a key missing, an id twice) is an error at once. What is wrong with one
annotation is an error of its image, when that is loaded: one broken polygon costs one image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sambench import provenance
from sambench.concepts import ConceptTruth
from sambench.errors import DataError, unknown_name
from sambench.files.content import file_sha256
from sambench.loaders import values
from sambench.loaders.clusters import Cluster, cluster_of
from sambench.loaders.coco_concepts import ConceptRule, asked_for, by_phrase, check_rule, concepts_of
from sambench.loaders.coco_detection import annotated
from sambench.loaders.coco_file import FEDERATED, CocoFile, category_name, naming, read_coco
from sambench.loaders.coco_images import below, check_crowds, note_place, only_crowds, stated_frame, stated_size
from sambench.loaders.coco_masks import has_pixels, region_of, why_empty
from sambench.loaders.file_names import Place, annotation_file, locate, several
from sambench.loaders.index_cache import cached_index
from sambench.loaders.open import unknown_image
from sambench.loaders.turned import Orientation, frame_of, read_turned
from sambench.pixels.region import Region, union
from sambench.types import CROWD, GROUP, Annotated, Holds, ImageRecord, Instance, Sample


@dataclass(frozen=True)
class CocoJson:
    """Instances of a COCO JSON file.

    image_id is the text of the image's `id`, object_id of the annotation's. Annotations with `iscrowd` (absent: 0) become
    the ignore region. Images without other annotations are not in the index. Annotations without a mask (boxes alone) and
    without pixels (a polygon that covers no pixel centre) are dropped and counted. Masks are made of `segmentation` alone. Where an
    image's `width` or `height` is absent or -1, the picture says it. Ids, sizes and flags may be of any type that says the
    same (`sambench.loaders.values`), and file names are looked for as `sambench.loaders.file_names` has it.

    annotations: path below root, or several, of which the first that exists counts. images: folder below root, or a
    template over the image record's keys (`{file_name}`, `{id:012d}`); or several, the first that has the image. base: folder
    below root that both are relative to, or several, the first that has the annotations. file_name: the key that holds an
    image's path; path_tail: how many last parts of it count (0: all), so that a URL's end is a path.
    categories: names or ids to keep; empty keeps all. cluster: a regular expression searched in the image's path, whose
    first group is the cluster_id (say, the video). exact: the index counts masks that have pixels; that rasterises all of
    them once, and is kept between runs. all_images: images without objects are in the index too, with 0 masks: in detection each
    false positive on them counts. crowds: `ignore`, as COCO has them, or `objects`, for tools that set `iscrowd` on every
    mask that they write as RLE. orientation: which frame the annotations are in (`sambench.loaders.turned`). skip_short: polygons
    of fewer than three points are left out (an annotation that has no other is counted); else they are an error of their image.
    concepts: give categories' names as phrases with their instances (`sambench.loaders.coco_concepts`), and no objects.
    image_keys, annotation_keys, category_keys: keys of these records that become attributes of samples and (the latter two) of
    instances, as text, or JSON if they are not text.
    """

    root: Path
    name: str
    variant: str = "default"
    annotations: str | Sequence[str] = "annotations.json"
    images: str | Sequence[str] = ""
    file_name: str = "file_name"
    categories: Sequence[str | int] = field(default=())
    cluster: Cluster = ""
    base: str | Sequence[str] = ""
    path_tail: int = 0
    exact: bool = False
    all_images: bool = False
    skip_short: bool = True
    crowds: Literal["ignore", "objects"] = "ignore"
    orientation: Orientation = "stored"
    image_keys: Sequence[str] = ()
    annotation_keys: Sequence[str] = ()
    category_keys: Sequence[str] = ()
    concepts: ConceptRule = ""

    def __post_init__(self) -> None:
        check_crowds(self.crowds, self.name)
        check_rule(self.concepts, self.name)

    @property
    def holds(self) -> Holds:
        """`masks`, or `concepts`."""
        return "concepts" if self.concepts else "masks"

    @staticmethod
    def fits(
        root: Path, *, annotations: str | Sequence[str] = "annotations.json", base: str | Sequence[str] = "", **_: Any
    ) -> bool:
        """Whether one of the accepted annotation files is here."""
        return any((root / b / a).is_file() for b in several(base) for a in several(annotations))

    def index(self) -> Sequence[ImageRecord]:
        """Images with at least one annotation that is not a crowd (all of them with `all_images`), in the file's order; with
        `concepts` those with phrases."""
        if self.concepts:
            return self._phrases()
        if not self.exact:
            return self._records(lambda *_: None)
        _, path = self._found()
        key = {
            "dataset": self.name,
            "images": self.images,
            "categories": [*self.categories],
            "cluster": self.cluster,
            "file_name": [self.file_name, self.path_tail],
            "skip_short": self.skip_short,
            "all_images": self.all_images,
            "crowds": self.crowds,
            "orientation": self.orientation,
        }
        return cached_index(key, [path], self._records)

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, missing image file or another size of it, or a broken annotation."""
        content = self._content()
        if image_id not in content.pieces:
            raise unknown_image(self.name, image_id, content.image_ids())
        image, annotations = content.image(image_id)
        with naming(self.name):
            place = self._place(image)
            path = place.checked()
            where = f"image {image_id} of {content.path.name}"
            frame = stated_frame(path, image, self.orientation, f"image of {self.name}", where)
            size = frame.size
            regions = [(a, self._region(a, content, size)) for a in self._kept(content, annotations)]
        instances, crowds, dropped = self._instances(content, regions)
        note_place(place)
        concepts = self._concepts(image, regions, content)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=() if self.concepts else instances,
            read=partial(read_turned, self.name, path, frame.turn),
            cluster_id=cluster_of(self.cluster, below(path, self.root)),
            ignore=union(crowds, *size) if crowds and not self.concepts else None,
            left_out=dropped | Counter({GROUP if self.concepts else CROWD: len(crowds)}),
            attributes=_attributes(image, self.image_keys),
            annotated=partial(self._annotated, image, regions, content),
            concepts=concepts,
        )

    def _concepts(
        self, image: dict[str, Any], regions: list[tuple[dict[str, Any], Region]], content: CocoFile
    ) -> tuple[ConceptTruth, ...]:
        if not self.concepts:
            return ()
        frequency = {i: str(c.get("frequency", "")) for i, c in content.categories.items() if isinstance(i, int)}
        truth = self._annotated(image, regions, content)
        return concepts_of(truth, self.concepts, frequency, f"image {image['id']} of {content.path}")

    def _phrases(self) -> list[ImageRecord]:
        content, found, names = self._content(), self._found(), self.category_names()
        records = []
        for image_id in content.image_ids():
            image, annotations = content.image(image_id)
            held = [a["category_id"] for a in self._kept(content, annotations) if isinstance(a.get("category_id"), int)]
            negative, not_exhaustive = (image[k] if isinstance(image.get(k), list) else [] for k in FEDERATED)
            n = len(asked_for(names, held, negative, not_exhaustive, self.concepts))
            if n:
                path = self._place(image, found).path
                records.append(ImageRecord(image_id, n, cluster_of(self.cluster, below(path, self.root)), str(path)))
        return records

    def _annotated(self, image: dict[str, Any], regions: list[tuple[dict[str, Any], Region]], content: CocoFile) -> Annotated:
        with naming(self.name):
            return annotated(image, regions, content, self.category_names(), crowds_are_objects=self.crowds == "objects")

    def category_names(self) -> dict[int, str]:
        """Name by id of the categories that count. Raises DataError where an id is no number, as detection needs it."""
        content = self._content()
        where = f"categories of {content.path}"
        with naming(self.name):
            names = {values.whole(i, "id", where): category_name(c) for i, c in content.categories.items()}
        return {i: name for i, name in names.items() if self._is_kept(content, i)} if self.categories else names

    def all_image_ids(self) -> list[str]:
        """Of all images in the file, also those without objects."""
        return self._content().image_ids()

    def image_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) as the file has it, or the picture, where the file does not know it."""
        image, _ = self._content().image(image_id)
        with naming(self.name):
            return stated_size(image) or frame_of(self._place(image).checked(), self.orientation).size

    def annotation_digest(self) -> str:
        """sha256 of the annotation file; with `concepts`, where several categories have one phrase, of that and of how it is asked
        for: a phrase for each of them was another truth."""
        found = file_sha256(self._found()[1])
        shared = [ids for ids in by_phrase(self.category_names()) if len(ids) > 1] if self.concepts else []
        return provenance.digest([found, shared]) if shared else found

    def _records(self, progress: Callable[[int, int], object]) -> list[ImageRecord]:
        content, found = self._content(), self._found()
        records, crowds, objects = [], 0, 0
        for i, image_id in enumerate(content.image_ids(), 1):
            image, annotations = content.image(image_id)
            kept = self._kept(content, annotations)
            there = [a for a in kept if not self._is_crowd(a)]
            crowds, objects = crowds + len(kept) - len(there), objects + len(there)
            place = self._place(image, found) if there or self.all_images else None
            n = self._count(image, there, place.path) if place else 0
            if place and (n or self.all_images):
                cluster = cluster_of(self.cluster, below(place.path, self.root)) if self.cluster else ""
                records.append(ImageRecord(image_id, n, cluster, str(place.path)))
            if i % 100 == 0 or i == len(content.pieces):
                progress(i, len(content.pieces))
        if crowds and not objects:
            raise only_crowds(self.name, content.path, crowds)
        return records

    def _count(self, image: dict[str, Any], objects: list[dict[str, Any]], path: Path) -> int:
        if not self.exact:
            return len(objects)
        try:
            size = stated_size(image) or frame_of(path, self.orientation).size
            return sum(has_pixels(a.get("segmentation"), *size, where="", skip_short=self.skip_short) for a in objects)
        except DataError:
            return len(objects)  # `load` will say what is wrong

    def _is_crowd(self, annotation: dict[str, Any]) -> bool:
        return self.crowds == "ignore" and bool(annotation.get("iscrowd"))

    def _instances(
        self, content: CocoFile, regions: list[tuple[dict[str, Any], Region]]
    ) -> tuple[tuple[Instance, ...], list[Region], Counter[str]]:
        instances, crowds, dropped = [], [], Counter[str]()
        for a, region in regions:
            if self._is_crowd(a):
                crowds.append(region)
            elif region.area:
                category = content.categories.get(a.get("category_id", ""), {})
                attributes = _attributes(a, self.annotation_keys) | _attributes(category, self.category_keys)
                instances.append(Instance(str(a["id"]), region, category=content.category_of(a), attributes=attributes))
            else:
                dropped[why_empty(a.get("segmentation"), a.get("bbox"))] += 1
        return tuple(instances), crowds, dropped

    def _region(self, annotation: dict[str, Any], content: CocoFile, size: tuple[int, int]) -> Region:
        where = f"annotation {annotation['id']} of {content.path}"
        return region_of(annotation.get("segmentation"), *size, where=where, skip_short=self.skip_short)

    def _kept(self, content: CocoFile, annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not self.categories:
            return annotations
        return [a for a in annotations if self._is_kept(content, a.get("category_id"))]

    def _is_kept(self, content: CocoFile, category_id: Any) -> bool:
        keep = {str(c) for c in self.categories}
        return not keep or str(category_id) in keep or content.category_of({"category_id": category_id}) in keep

    def _content(self) -> CocoFile:
        _, path = self._found()
        with naming(self.name):
            content = read_coco(path, self.file_name)
        known = {*map(str, content.categories), *map(category_name, content.categories.values())}
        for c in map(str, self.categories):
            if c not in known:
                raise unknown_name(f"category of {self.name}", c, known, where=path)
        return content

    def _found(self) -> tuple[Path, Path]:
        """The folder that paths are relative to, and the annotation file."""
        candidates = [(self.root / b, self.root / b / a) for b in several(self.base) for a in several(self.annotations)]
        files = [path for _, path in candidates]
        found = annotation_file(files, self.root, dataset=self.name, of_release="unpack the annotations again")
        return candidates[files.index(found)]

    def _place(self, image: dict[str, Any], found: tuple[Path, Path] | None = None) -> Place:
        """Where the picture of a record is, or should be. found: what `_found` gives, where it is known."""
        base, source = found or self._found()
        names = [self._name_in(base, template, image) for template in several(self.images)]
        return locate(names, self.root, where=f"image {image['id']} of {source}", beside=source.parent)

    def _name_in(self, base: Path, template: str, image: dict[str, Any]) -> tuple[Path, str]:
        """(folder, name below it)."""
        if "{" not in template:
            name = str(image[self.file_name])
            return base / template, "/".join(name.replace("\\", "/").split("/")[-self.path_tail :]) if self.path_tail else name
        try:
            return base, template.format_map(image)
        except (KeyError, ValueError, IndexError, TypeError, AttributeError) as e:
            raise DataError(
                f"the template of image paths of {self.name} does not fit",
                where=f"option images = {template!r}",
                expected="keys of an image record: " + ", ".join(image),
                found=repr(e),
            ) from e


def _attributes(record: dict[str, Any], keys: Iterable[str]) -> dict[str, str]:
    found = {k: record[k] for k in keys if k in record}
    where = f"record {record.get('id')}"
    return {k: v if isinstance(v, str) else values.json_text(v, k, where) for k, v in found.items()}

