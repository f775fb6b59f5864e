"""One JSON of masks a picture, as SA-1B is distributed and as `sambench masks` writes it.

    {"image": {"image_id": 42, "width": ..., "height": ..., "file_name": "sa_42.jpg"},
     "annotations": [{"id": 1, "segmentation": {"size": [height, width], "counts": "..."}, "bbox": [x, y, width, height],
                      "area": ..., "predicted_iou": 0.97, "stability_score": 0.98, "point_coords": [[x, y]],
                      "crop_box": [x, y, width, height]}, ...]}

The fields are those that the README of github.com/facebookresearch/segment-anything lists. Of them file_name and the
annotations' id and segmentation must be there, for proposals predicted_iou too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sambench import paths
from sambench.errors import DataError
from sambench.files import content
from sambench.loaders import images, values
from sambench.loaders.coco_file import json_object, naming, read_picture, wrong
from sambench.loaders.coco_masks import region_of
from sambench.loaders.file_names import locate
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.open import unknown_image
from sambench.types import ImageRecord, Instance, Sample

SUFFIX = "_masks"  # that `sambench masks` puts behind the picture's name
FORM = "an object {image: {file_name, width, height}, annotations: [{id, segmentation, predicted_iou, ...}]}"


@dataclass(frozen=True)
class MaskFile:
    """A file, checked as a whole. size: (height, width) that it says, or None. annotations: as they are, each with an id."""

    path: Path
    file_name: str
    size: tuple[int, int] | None
    annotations: tuple[dict[str, Any], ...]

    def where(self, annotation: Mapping[str, Any]) -> str:
        """How an error names an annotation."""
        return f"annotation {annotation['id']} of {self.path}"


def read_mask_file(path: Path) -> MaskFile:
    """Raises DataError naming the file where it is not JSON, or not of this form."""
    raw = json_object(path, "a file of masks")
    image, annotations = raw.get("image"), raw.get("annotations")
    if not isinstance(image, dict) or not isinstance(annotations, list):
        raise wrong("a file of masks is in another form", path, FORM, f"the keys {values.shown([*raw], 120)}")
    name = values.text(image.get("file_name"), "image.file_name", path)
    height, width = (values.side(image.get(k), f"image.{k}", path) for k in ("height", "width"))
    seen: dict[str, Any] = {}
    for i, a in enumerate(annotations):
        where = f"annotations[{i}] of {path}"
        if not isinstance(a, dict) or "segmentation" not in a:
            raise wrong("an annotation has no mask", path, "an object with id and segmentation", f"{values.shown(a, 80)} ({where})")
        given = a.get("id")
        a["id"] = str(values.plain_id(given, "id", where))
        if a["id"] in seen:
            raise values.twice("masks", seen[a["id"]], given, where)
        seen[a["id"]] = given
    return MaskFile(path, name, (height, width) if height and width else None, tuple(annotations))


def mask_files(folder: Path) -> dict[str, Path]:
    """The JSON files below a folder, hidden ones left out, by image id: the path below it, less its suffix and `_masks`.

    Raises DataError: two files of one id.
    """
    found: dict[str, Path] = {}
    for place, below, names in paths.walk(folder):
        below[:] = sorted(b for b in below if not b.startswith((".", "__MACOSX")))
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() != ".json" or name.startswith("."):
                continue
            path = Path(place, name)
            image_id = path.with_name(stem.removesuffix(SUFFIX) or stem).relative_to(folder).as_posix()
            if image_id in found:
                raise DataError(
                    "two files of masks are of one image",
                    where=folder,
                    expected="one JSON for each image",
                    found=f"{found[image_id].name} and {name}",
                    remedy="take one of them out of the folder",
                )
            found[image_id] = path
    return found


@dataclass(frozen=True)
class Sa1b:
    """Every mask is one object, without a category; masks may lie inside one another. object_id is the annotation's id.

    annotations, images: folders of the JSON files and of the pictures, below the dataset's folder, subfolders too. A picture is
    `file_name` beside its JSON's place in the folder of pictures, or directly in that.
    """

    root: Path
    name: str
    variant: str = "default"
    annotations: str = ""
    images: str = ""

    @staticmethod
    def fits(root: Path, annotations: str = "", images: str = "") -> bool:
        """Whether the folders are here."""
        return all((root / f).is_dir() for f in (annotations, images))

    def index(self) -> Sequence[ImageRecord]:
        """All pictures that have a JSON; every file is read the first time, then the counts are remembered."""
        files = self._files()
        key = {"dataset": self.name, "folders": [self.annotations, self.images]}
        return cached_index(key, [*files.values(), self.root / self.images], partial(self._build, files))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no picture or another size of it, a broken JSON or mask."""
        with naming(self.name):
            held = read_mask_file(self._file(image_id))
            picture = self._picture(image_id, held, there=True)
            size = held.size or images.read_size(picture)
            regions = [(a["id"], region_of(a["segmentation"], *size, where=held.where(a))) for a in held.annotations]
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=tuple(Instance(i, region) for i, region in regions),  # an empty one is left out by the sample
            read=partial(read_picture, self.name, picture, size),
        )

    def annotation_digest(self) -> str:
        """Over ids and contents of the JSON files."""
        return content.files_digest(self._files(), self.name)

    def _files(self) -> dict[str, Path]:
        found = mask_files(self.root / self.annotations)
        if not found:
            expected, of_release = "a JSON of masks for each image", "unpack the archive again"
            raise DataError(f"there are no masks of {self.name}", where=self.root, expected=expected, of_release=of_release)
        return found

    def _file(self, image_id: str) -> Path:
        path = self.root / self.annotations / f"{image_id}.json"
        named = [p for p in (path, path.with_name(f"{path.stem}{SUFFIX}.json")) if p.is_file()]
        if len(named) == 1 and ".." not in image_id.split("/"):  # not found by a walk, for the folder may hold 100,000
            return named[0]
        files = self._files()
        if image_id not in files:
            raise unknown_image(self.name, image_id, list(files))
        return files[image_id]

    def _build(self, files: Mapping[str, Path], progress: Progress) -> list[ImageRecord]:
        records = []
        for done, (image_id, path) in enumerate(files.items()):
            progress(done, len(files))
            try:
                held = read_mask_file(path)
                records.append(ImageRecord(image_id, len(held.annotations), file=str(self._picture(image_id, held))))
            except DataError:  # `load` says what is wrong
                records.append(ImageRecord(image_id, 1))
        return records

    def _picture(self, image_id: str, held: MaskFile, *, there: bool = False) -> Path:
        """Where the picture is, or should be. there: it must be (DataError)."""
        folder = self.root / self.images
        beside = (folder / image_id).parent
        names = list(dict.fromkeys([(beside, held.file_name), (folder, held.file_name)]))
        path = locate(names, self.root, where=f"image.file_name of {held.path}", beside=held.path.parent).checked()
        if there and not path.is_file():
            raise DataError(
                f"an image of {self.name} is missing",
                where=path,
                expected=f"the image of {held.path.name}",
                found="no such file",
                of_release="unpack the archive with the images again",
                remedy="name the folder of the images: sa1b:JSONS,IMAGES",
            )
        return path
