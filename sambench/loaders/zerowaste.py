"""ZeroWaste-f: a conveyor belt of recyclables, with a map of materials and with instances beside one another.

    <root>/[splits_final_deblurred/]train/data/<name>.PNG       8-bit RGB
                                          sem_seg/<name>.PNG    8-bit gray: 0 background, 1 to 4 materials
                                          labels.json           COCO instances
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sambench.errors import unknown_name
from sambench.loaders.coco import CocoJson
from sambench.loaders.label_png import LabelPng
from sambench.types import ImageRecord, Sample

_TREES = ("", "splits_final_deblurred", "zerowaste-f-final/splits_final_deblurred")
_MATERIALS = {"1": "rigid_plastic", "2": "cardboard", "3": "metal", "4": "soft_plastic"}


@dataclass(frozen=True)
class ZeroWasteF:
    """One split. mode 'semantic': all pixels of one material are one mask, object_id its number, image_id the file's stem;
    255 is ignored. mode 'instance': one annotation of labels.json is one mask; image_id and object_id are the file's."""

    root: Path
    name: str
    variant: str = "default"
    split: str = "train"
    mode: Literal["semantic", "instance"] = "semantic"

    def __post_init__(self) -> None:
        if self.mode not in ("semantic", "instance"):
            raise unknown_name(f"mode of dataset {self.name}", self.mode, ["semantic", "instance"])

    @staticmethod
    def fits(root: Path, split: str = "train", mode: str = "semantic") -> bool:
        """Whether the split's pictures and the annotations of this mode are here."""
        beside = "sem_seg" if mode == "semantic" else "labels.json"
        return any((root / t / split / "data").is_dir() and (root / t / split / beside).exists() for t in _TREES)

    def index(self) -> Sequence[ImageRecord]:
        """Semantic: every map is read the first time; images without a material have n_masks 0. Instance: as CocoJson."""
        return self._reader().index()

    def load(self, image_id: str) -> Sample:
        """Raises DataError as LabelPng and CocoJson do."""
        return self._reader().load(image_id)

    def annotation_digest(self) -> str:
        """Semantic: over ids and sizes of the maps. Instance: sha256 of labels.json."""
        return self._reader().annotation_digest()

    def _reader(self) -> LabelPng | CocoJson:
        if self.mode == "instance":
            bases = [f"{t}/{self.split}".lstrip("/") for t in _TREES]
            return CocoJson(
                self.root,
                self.name,
                self.variant,
                annotations="labels.json",
                images="data",
                base=bases,
                exact=True,
                skip_short=True,
            )
        layout = {"images": f"{self.split}/data/{{id}}.*", "labels": f"{self.split}/sem_seg/{{id}}.*"}
        return LabelPng(
            self.root,
            self.name,
            self.variant,
            layouts=[layout],
            trees=_TREES,
            ignore=[255],
            categories=_MATERIALS,
        )
