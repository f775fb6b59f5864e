"""A dataset whose splits are COCO JSON files of their own, with ids that begin anew in each, evaluated as one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sambench.errors import DataError
from sambench.files.content import file_sha256
from sambench.loaders.clusters import Cluster
from sambench.loaders.coco import CocoJson
from sambench.loaders.coco_file import read_coco
from sambench.loaders.open import unknown_image
from sambench.types import ImageRecord, Sample


@dataclass(frozen=True)
class CocoSplits:
    """Several annotation files one after the other; image_id is "<stem of the file>/<id>".

    An image that several files list (by its path) counts in the first of them. annotations: the files, below `base`; base,
    images, cluster, exact: as `CocoJson` has them.
    """

    root: Path
    name: str
    variant: str = "default"
    annotations: Sequence[str] = ()
    images: str = ""
    base: Sequence[str] = ("",)
    cluster: Cluster = ""
    exact: bool = False

    @staticmethod
    def fits(root: Path, *, annotations: Sequence[str] = (), base: Sequence[str] = ("",), **_: Any) -> bool:
        """Whether the first annotation file is here; that the others are too is checked when they are read."""
        return any((root / b / a).is_file() for b in base for a in annotations[:1])

    def index(self) -> Sequence[ImageRecord]:
        """Images with at least one mask, file by file. Raises DataError naming a file that is missing."""
        return [
            dataclasses.replace(r, image_id=f"{split}/{r.image_id}")
            for split, reader, images in self._splits()
            for r in reader.index()
            if r.image_id in images
        ]

    def load(self, image_id: str) -> Sample:
        """Raises DataError as `CocoJson.load` does."""
        for split, reader, images in self._splits():
            inner = image_id.removeprefix(f"{split}/")
            if inner != image_id and inner in images:
                sample = reader.load(inner)
                cluster = image_id if sample.cluster_id == inner else sample.cluster_id
                return dataclasses.replace(sample, image_id=image_id, cluster_id=cluster)
        raise unknown_image(self.name, image_id, [r.image_id for r in self.index()])

    def annotation_digest(self) -> str:
        """sha256 over the digests of all annotation files."""
        return hashlib.sha256("".join(r.annotation_digest() for _, r, _ in self._splits()).encode()).hexdigest()

    def _splits(self) -> Iterator[tuple[str, CocoJson, set[str]]]:
        """(stem, reader, ids of the images that no earlier file has) of every annotation file."""
        base = next((b for b in self.base if (self.root / b / self.annotations[0]).is_file()), self.base[0])
        seen: set[str] = set()
        for place in self.annotations:
            path = self.root / base / place
            if not path.is_file():
                raise DataError(
                    f"an annotation file of {self.name} is missing",
                    where=path,
                    expected=" and ".join(self.annotations),
                    found="no such file",
                    of_release="unpack the archive again",
                )
            files = _file_names(path, file_sha256(path))
            new = {i for i, file in files.items() if file not in seen}
            seen.update(files.values())
            reader = CocoJson(
                self.root,
                self.name,
                self.variant,
                annotations=place,
                images=self.images,
                base=base,
                cluster=self.cluster,
                exact=self.exact,
            )
            yield path.stem, reader, new


@lru_cache(maxsize=16)
def _file_names(path: Path, _sha256: str) -> dict[str, str]:
    """Image paths by image id, read once a process for each version of the file."""
    content = read_coco(path, "file_name")
    return {i: str(content.image(i)[0]["file_name"]) for i in content.image_ids()}
