"""Datasets of Hugging Face: a column of pictures, and a column of label maps, of masks, or of lists of masks.

A user's own card can name this reader:

    reader = "sambench.loaders.hugging_face:HuggingFace"
    [options]
    dataset = "org/name"      # or the path of a folder
    split = "test"
    [access]
    state = "embedded"

The split is written once, as files, into the cache, byte for byte as it is stored; then it is read as any folder of pictures and
masks.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sambench import paths, provenance
from sambench.errors import DataError, install, message_of, near_names, shown
from sambench.files import content
from sambench.files.picture import opened_bytes
from sambench.files.writing import replacing
from sambench.loaders.label_png import LabelPng
from sambench.loaders.mask_files import Channel
from sambench.loaders.mask_png import MaskPng
from sambench.loaders.object_files import ObjectFiles
from sambench.types import ImageRecord, Sample

_SPLITS = ("test", "validation", "val", "train")
_PICTURES = ("image", "img", "picture", "photo", "pixel_values")
_MASKS = (
    "masks", "mask", "label_map", "labels", "label", "annotation", "annotations", "segmentation", "segmentation_mask", "instances",
    "objects", "gt",
)  # fmt: skip
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif"}
_DONE = "complete.json"


@dataclass(frozen=True)
class HuggingFace:
    """Each row is one picture. One mask is, by the column of masks: each value but 0 of a label map, or each file of a list.

    dataset: its id, or the path of a folder, below root where that is not absolute. config, split, revision: as in
    `datasets.load_dataset`; without a split test, validation or train, the first that there is. image, masks: columns; found by
    their kind and name where they are not given. one_mask: "value": each value of a label map is one; "foreground": its pixels
    above 127 are the picture's one mask. skip, ignore: values of label maps that are no object, and whose pixels count nowhere.
    above, channel: how masks are read (`sambench.loaders.mask_files`). id: a column whose texts are the image ids; else these are
    numbers of rows.
    """

    root: Path
    name: str
    variant: str = "default"
    dataset: str = ""
    config: str = ""
    split: str = ""
    revision: str = ""
    image: str = ""
    masks: str = ""
    one_mask: Literal["value", "foreground"] = "value"
    skip: Sequence[int] = (0,)
    ignore: Sequence[int] = ()
    above: int = 127
    channel: Channel = "first"
    id: str = ""

    def index(self) -> Sequence[ImageRecord]:
        """All rows. The split is fetched and written into the cache the first time."""
        return self._files.index()

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, or a broken picture or mask."""
        return self._files.load(image_id)

    def annotation_digest(self) -> str:
        """Over ids and bytes of the masks."""
        return self._files.annotation_digest()

    @cached_property
    def _files(self) -> ObjectFiles | MaskPng | LabelPng:
        """The reader of the files that the rows were written to."""
        table = self._table()
        image, masks, several = self._columns(table)
        told = [1, self.dataset, self.config, self.split, table._fingerprint, image, masks, self.id]
        folder = paths.cache() / "hugging_face" / provenance.digest(told)[:24]
        if not (folder / _DONE).is_file():
            _write(folder, table, image, masks, self.id, several, self.name)
        layouts = [{"images": "images/{id}.*", "labels": "masks/{id}.*"}]
        if several:
            shared: dict[str, Any] = {"images": "images/{id}.*", "masks": "masks/{id}/{object}.*"}
            return ObjectFiles(folder, self.name, self.variant, above=self.above, channel=self.channel, **shared)
        if self.one_mask == "foreground":
            return MaskPng(folder, self.name, self.variant, layouts=layouts, above=self.above, channel=self.channel)
        return LabelPng(folder, self.name, self.variant, layouts=layouts, skip=self.skip, ignore=self.ignore)

    def _table(self) -> Any:
        library = _library()
        local = Path(self.root, self.dataset)
        place = str(local) if self.dataset.startswith((".", "/", "~")) or local.is_dir() else self.dataset
        with _explained(f"{self.dataset} of Hugging Face"):
            if (local / "state.json").is_file():  # as `save_to_disk` writes it
                return library.load_from_disk(place)
            names = library.get_dataset_split_names(place, self.config or None, revision=self.revision or None)
        split = self.split or next((s for s in _SPLITS if s in names), min(names, default=""))
        if split not in names:
            raise _no_such("split", split, names, self.dataset)
        with _explained(f"{self.dataset} of Hugging Face, split {split}"):
            return library.load_dataset(place, self.config or None, split=split, revision=self.revision or None)

    def _columns(self, table: Any) -> tuple[str, str, bool]:
        """(column of pictures, column of masks, whether that has lists). Raises DataError where it is not clear which they are."""
        kinds = {name: _kind(feature) for name, feature in table.features.items()}
        for given in (self.image, self.masks, self.id):
            if given and given not in kinds:
                raise _no_such("column", given, kinds, self.dataset)
        single = [n for n, k in kinds.items() if k == "picture"]
        image = self.image or _named(single, _PICTURES)
        others = [n for n, k in kinds.items() if k and n != image]
        masks = self.masks or _named(others, _MASKS)
        if not image or not masks or not kinds[image] or not kinds[masks]:
            raise DataError(
                "it is not clear which columns of a dataset are its pictures and its masks",
                where=self.dataset,
                expected="a column of pictures, and one of label maps or of lists of masks (Image, or a list of Image)",
                found=shown("; ".join(f"{n}: {f}" for n, f in table.features.items())),
                remedy="name them: hf:ORG/NAME,image=COLUMN,masks=COLUMN; masks that are polygons or run lengths are not read",
            )
        return image, masks, kinds[masks] == "pictures"


def _no_such(what: str, given: str, known: Iterable[str], where: str) -> DataError:
    names = list(known)
    near = near_names(given, names)
    remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else None
    return DataError(f"a dataset has no such {what}", where=where, expected=", ".join(names), found=given, remedy=remedy)


def _named(columns: Sequence[str], usual: Sequence[str]) -> str:
    found = [c for u in usual for c in columns if c.lower() == u]
    return found[0] if found else columns[0] if len(columns) == 1 else ""


def _kind(feature: Any) -> str:
    """Whether a column has a picture in each row, or a list of pictures; '' of others."""
    if type(feature).__name__ == "Image":
        return "picture"
    inner = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", None)
    return "pictures" if type(inner).__name__ == "Image" else ""


def _library() -> Any:
    try:
        import datasets
    except ImportError as e:
        message = "datasets of Hugging Face need the package datasets"
        raise DataError(message, found=message_of(e), remedy=install("hf")) from e
    return datasets


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Within it Hugging Face's library works; what it raises is an error of the dataset."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as e:
        remedy = "check its name and the connection; private ones need a login (hf auth login)"
        raise DataError("a dataset of Hugging Face cannot be had", where=where, found=message_of(e), remedy=remedy) from e


def _write(folder: Path, table: Any, image: str, masks: str, id_column: str, several: bool, name: str) -> None:
    """The rows as files: pictures as images/<id>, masks as masks/<id> or masks/<id>/<number>. Raises DataError."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    rows = _raw(table, image, masks, several)
    ids: set[str] = set()
    try:
        for number, row in enumerate(rows):
            image_id = f"{number:06d}" if not id_column else _safe(row[id_column], f"row {number}", ids)
            ids.add(image_id)
            _put(row[image], aside / "images" / image_id, f"{image} of row {number}")
            given = row[masks] or []
            for n, one in enumerate(given if several else [given]):
                place = aside / "masks" / (f"{image_id}/{n:04d}" if several else image_id)
                _put(one, place, f"{masks} of row {number}")
            if number % 100 == 99:
                content.report_progress(name, number + 1, len(table))
        (aside / "masks").mkdir(exist_ok=True)
        with replacing(aside / _DONE) as done:
            done.write_text(json.dumps({"rows": len(ids)}), encoding="utf-8")
        with contextlib.suppress(OSError):  # a folder; another process was faster: its copy is the same
            os.rename(aside, folder)
    except OSError as e:
        remedy = "make room, or set SAMBENCH_CACHE to a folder on another disk"
        raise DataError("a dataset cannot be written to the cache", where=folder, found=e.strerror or repr(e), remedy=remedy) from e
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _raw(table: Any, image: str, masks: str, several: bool) -> Iterator[dict[str, Any]]:
    library = _library()
    stored = library.Image(decode=False)
    lists: Callable[[Any], Any] = getattr(library, "List", None) or library.Sequence
    with _explained("its rows"):
        table = table.cast_column(image, stored).cast_column(masks, lists(stored) if several else stored)
        yield from table


def _put(value: Any, stem: Path, where: str) -> None:
    """Write an encoded picture; its suffix is that of its format."""
    if not isinstance(value, dict) or not (value.get("bytes") or value.get("path")):
        raise DataError("a row of a dataset has no picture", where=where, expected="an encoded picture", found=shown(repr(value)))
    raw = value["bytes"] or content.read_bytes(Path(value["path"]))
    with opened_bytes(raw, where) as opened:
        suffix = _SUFFIXES.get(opened.format or "", ".png")
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_name(f"{stem.name}{suffix}").write_bytes(raw)


def _safe(value: Any, where: str, taken: set[str]) -> str:
    """A text as the name of a file. Raises DataError where it cannot be one, or is one already."""
    text = str(value)
    if not re.fullmatch(r"[^/\\\0-\x1f.{}][^/\\\0-\x1f{}]{0,199}", text) or text in taken:
        found = f"{shown(repr(value))}{', a second time' if text in taken else ''}"
        remedy = "leave the option id out: rows are numbered then"
        raise DataError("an id does not fit", where=where, expected="texts that can be names of files", found=found, remedy=remedy)
    return text
