"""Datasets with one file an object: a binary mask for each, in a folder of the image's or with the image's name in its own.

A user's own card can name this reader:

    reader = "sambench.loaders.object_files:ObjectFiles"
    [options]
    images = "images/{id}.jpg"
    masks = "masks/{id}_{object}.png"    # or "masks/{id}/{object}.png"; or, for images in "{id}/images/", "{id}/masks/{object}.png"
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from sambench.errors import CardError, DataError
from sambench.files import content
from sambench.files.opening import cannot_open
from sambench.loaders import images as image_files
from sambench.loaders.clusters import Cluster, cluster_of
from sambench.loaders.coco_file import naming
from sambench.loaders.file_patterns import SUFFIXES, candidates, fill, why_absent
from sambench.loaders.mask_files import Channel, MaskFiles
from sambench.loaders.open import unknown_image
from sambench.loaders.turned import Orientation, frame_of, read_turned
from sambench.pixels.region import union
from sambench.types import EMPTY, ImageRecord, Instance, Sample

_OBJECT = "{object}"


@dataclass(frozen=True)
class ObjectFiles:
    """Every mask file is one object of the image whose id is in its path; object_id is what stands for `{object}`.

    images: pattern of the images' paths, with `{id}` once or more, and `.*` for any image suffix. masks: of the masks' paths, with
    `{id}` and one `{object}`. Masks without a foreground pixel are left out and counted; images without masks are in the index.
    above, channel, lossy, ignore: how a mask file is read (`sambench.loaders.mask_files`). category: of every object.
    orientation: which frame the masks are in (`sambench.loaders.turned`). cluster: a regular expression searched in the image's id,
    whose first group is the cluster_id.
    """

    root: Path
    name: str
    variant: str = "default"
    images: str = "images/{id}.*"
    masks: str = "masks/{id}/{object}.png"
    above: int = 127
    channel: Channel = "first"
    lossy: bool = False
    ignore: int = -1
    category: str = ""
    orientation: Orientation = "stored"
    cluster: Cluster = ""

    def __post_init__(self) -> None:
        if self.masks.count(_OBJECT) != 1 or "{id}" not in self.masks or "{id}" not in self.images or _OBJECT in self.images:
            raise CardError(
                "a pattern of files does not fit",
                where="options images and masks",
                expected="images with {id}, masks with {id} and one {object}",
                found=f"images = {self.images!r}, masks = {self.masks!r}",
            )

    @staticmethod
    def fits(root: Path, *, images: str = "images/{id}.*", masks: str = "masks/{id}/{object}.png", **_: Any) -> bool:
        """Whether the folders in which the patterns begin to vary are here, and a mask fits."""
        return all((root / _start(p)).is_dir() for p in (images, masks)) and next(_search(root, masks), None) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All images by id, with the number of their mask files; those of masks whose image is not there too."""
        found = self._found
        return [ImageRecord(i, len(masks), cluster_of(self.cluster, i), self._image_path(i)) for i, masks in found.items()]

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image, or a mask that is broken or of another size."""
        found = self._found
        if image_id not in found:
            raise unknown_image(self.name, image_id, list(found))
        with naming(self.name):
            image_file = self._image_file(image_id)
            files = found[image_id]
            size = image_files.read_size(next(iter(files.values()))) if files else None
            frame = frame_of(image_file, self.orientation, size, than="its masks")
            reading = MaskFiles(self.above, self.channel, self.lossy, self.ignore)
            instances, ignored, empty = [], [], 0
            for object_id, path in files.items():
                _check_size(path, frame.size)
                mask, ignore = reading.read(path)
                empty += not mask.area
                instances += [Instance(object_id, mask, category=self.category)] if mask.area else []
                ignored += [ignore] if ignore is not None and ignore.area else []
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=frame.size[0],
            width=frame.size[1],
            instances=tuple(instances),
            read=partial(read_turned, self.name, image_file, frame.turn),
            cluster_id=cluster_of(self.cluster, image_id),
            ignore=union(ignored, *frame.size) if ignored else None,
            left_out={EMPTY: empty} if empty else {},
        )

    def annotation_digest(self) -> str:
        """Over ids of images and objects, and bytes of the mask files."""
        files = {f"{i}/{o}": path for i, masks in self._found.items() for o, path in masks.items()}
        return content.files_digest(files, self.name)

    @cached_property
    def _found(self) -> Mapping[str, Mapping[str, Path]]:
        """Mask files by image id and object id, both sorted; of images without masks none."""
        found: dict[str, dict[str, Path]] = {match["id"]: {} for match, _ in _search(self.root, self.images)}
        if not found:
            message, again = f"there are no images of {self.name}", "unpack the archive again"
            raise DataError(message, where=self.root, expected=self.images, found="no such file", of_release=again)
        for match, path in _search(self.root, self.masks):
            image_id, object_id = _split(match["id"], match["object"], self.masks, found)
            found.setdefault(image_id, {})[object_id] = path
        return {i: dict(sorted(found[i].items())) for i in sorted(found)}

    def _image_file(self, image_id: str) -> Path:
        found = candidates(self.root, self.images, image_id)
        if len(found) == 1:
            return found[0]
        path = self.root / fill(self.images, image_id)
        raise DataError(
            f"an annotated image of {self.name} is missing" if not found else f"several files of {self.name} fit as one image",
            where=path,
            expected=f"one image for {self.images}",
            found=" and ".join(p.name for p in found) or why_absent(path),
            remedy="put the image there, or give the images' place in the option `images`",
        )

    def _image_path(self, image_id: str) -> str:
        found = candidates(self.root, self.images, image_id)
        return str(found[0] if found else self.root / fill(self.images, image_id))


def _check_size(path: Path, size: tuple[int, int]) -> None:
    found = image_files.read_size(path)
    if found != size:
        expected, there = (f"{s[1]} x {s[0]} (width x height)" for s in (size, found))
        raise DataError("a mask has another size than its image", where=path, expected=expected, found=there)


def _start(pattern: str) -> str:
    """The folder in which a pattern begins to vary."""
    return pattern[: pattern.index("{")].rpartition("/")[0]


def _split(image_id: str, object_id: str, pattern: str, images: Mapping[str, Any]) -> tuple[str, str]:
    """Where a name ends and an object's begins, in `a_1_2` say: such that there is an image of that id, the longest that is."""
    between = pattern.partition("{id}")[2].rpartition(_OBJECT)[0]
    if image_id in images or not between or "/" in between or "{" in between:
        return image_id, object_id
    whole = f"{image_id}{between}{object_id}"
    cuts = [m.start() for m in re.finditer(re.escape(between), whole)]
    known = [c for c in cuts if whole[:c] in images]
    return (whole[: known[-1]], whole[known[-1] + len(between) :]) if known else (image_id, object_id)


def _search(root: Path, pattern: str) -> Iterator[tuple[dict[str, str], Path]]:
    """What the placeholders stand for, and the path, of every file that fits a pattern, in the order of the paths."""
    any_suffix = pattern.endswith(".*")
    stem, suffix = (pattern[:-2], "") if any_suffix else os.path.splitext(pattern)
    seen: set[str] = set()
    expression = ""
    for part in re.split(r"(\{id\}|\{object\})", stem):
        name = part[1:-1]
        if part in ("{id}", _OBJECT):
            expression += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
            seen.add(name)
        else:
            expression += re.escape(part)
    ends = "|".join(map(re.escape, SUFFIXES)) if any_suffix else re.escape(suffix)
    compiled = re.compile(f"{expression}(?i:{ends})")
    start = _start(pattern)
    for path in sorted(_files(root / start, depth=pattern.removeprefix(start).strip("/").count("/"))):
        match = compiled.fullmatch(path.relative_to(root).as_posix())
        if match:
            yield match.groupdict(), path


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """The files so many folders below a folder, but hidden ones. Raises DataError where one cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            for e in entries:
                if e.name.startswith((".", "__MACOSX")):
                    continue
                if depth and e.is_dir():
                    yield from _files(Path(e.path), depth - 1)
                elif not depth and not e.is_dir():
                    yield Path(e.path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as e:
        raise cannot_open(folder, e, "a folder") from e
