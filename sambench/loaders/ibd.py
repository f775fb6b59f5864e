"""InstanceBuilding 2D, whose layout on the disk nobody has published: the three forms that it may have are looked for, in order.

    COCO       <root>/[2D/]<split>/annotations.json, <split>.json or annotations/[instances_]<split>.json; images in <split>/
    LabelMe    <root>/[2D/]<split>/<name>.json beside <name>.jpg or .png
    maps       <root>/[2D/]<split>/<name>.png and <split>_labels/<name>.png, one value or colour a roof
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sambench.errors import DataError
from sambench.loaders.coco import CocoJson
from sambench.loaders.label_png import LabelPng
from sambench.loaders.labelme import LabelmeJson
from sambench.loaders.pairs import has_labels
from sambench.types import ImageRecord, Sample

_TREES = ("", "2D", "InstanceBuilding", "InstanceBuilding/2D", "IBD")


@dataclass(frozen=True)
class InstanceBuilding:
    """One annotated roof is one mask, in whichever of the forms the split is found. Height maps have no annotation of their own."""

    root: Path
    name: str
    variant: str = "default"
    split: str = "train"

    @staticmethod
    def fits(root: Path, *, split: str = "train", **_: Any) -> bool:
        """Whether one of the forms is here."""
        return _reader(root, "", "", split) is not None

    def index(self) -> Sequence[ImageRecord]:
        """As the reader of the form that is found."""
        return self._found().index()

    def load(self, image_id: str) -> Sample:
        """As the reader of the form that is found."""
        return self._found().load(image_id)

    def annotation_digest(self) -> str:
        """As the reader of the form that is found."""
        return self._found().annotation_digest()

    def _found(self) -> CocoJson | LabelmeJson | LabelPng:
        reader = _reader(self.root, self.name, self.variant, self.split)
        if reader is None:
            raise DataError(
                f"the annotations of {self.name} are not here, or in a form that is not known yet",
                where=self.root,
                expected=f"{self.split}.json (COCO), {self.split}/*.json (LabelMe) or {self.split}_labels/*.png",
                of_release="unpack the 2D part; if its layout is another, please report what the folder holds",
            )
        return reader


def _reader(root: Path, name: str, variant: str, split: str) -> CocoJson | LabelmeJson | LabelPng | None:
    s = split
    files = [f"{s}/annotations.json", f"{s}.json", f"annotations/{s}.json", f"annotations/instances_{s}.json"]
    if CocoJson.fits(root, annotations=files, base=_TREES):
        folders = [f"{s}/images", s, "images", f"images/{s}"]
        return CocoJson(root, name, variant, annotations=files, images=folders, base=_TREES, exact=True)
    labelme = [{"images": f"{s}/{d}{{id}}.*", "labels": f"{s}/{e}{{id}}.json"} for d, e in (("", ""), ("images/", "labels/"))]
    maps = [
        {"images": f"{s}/{{id}}.*", "labels": f"{s}_labels/{{id}}.*"},
        {"images": f"{s}/images/{{id}}.*", "labels": f"{s}/labels/{{id}}.*"},
        {"images": f"{s}/image/{{id}}.*", "labels": f"{s}/label/{{id}}.*"},
    ]
    for layout in labelme:
        if has_labels(root, [layout], _TREES):
            return LabelmeJson(root, name, variant, layouts=[layout], trees=_TREES)
    for layout in maps:
        if has_labels(root, [layout], _TREES):
            return LabelPng(root, name, variant, layouts=[layout], trees=_TREES, colours=True, categories={"*": "roof"})
    return None
